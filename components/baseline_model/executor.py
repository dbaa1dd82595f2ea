"""The work of BaselineModel."""

import logging
import os

from tfx import types
from tfx.dsl.io import fileio
from tfx.utils import io_utils, path_utils

from atelier.files import versions
from atelier.layout import ASSETS_EXTRA, LABELS_FILE

LATEST = "latest"
_LOGGER = logging.getLogger("atelier.baseline_model")


def publish(candidate: types.Artifact, baseline: types.Artifact, serving_directory: str, version: str) -> None:
    """Copies the pushed `version` ("": the candidate) to `baseline`.

    Where the candidate has other classes than that version, or has them in another order, the two cannot be compared
    by their ids: the candidate itself is copied, and the log says why.

    Raises:
      FileNotFoundError: that version is not in `serving_directory`.
    """
    if version == LATEST:
        version = (list_pushed_versions(serving_directory) or [""])[-1]
    candidate_path = path_utils.serving_model_path(candidate.uri)
    source = os.path.join(serving_directory, version) if version else candidate_path  # noqa: PTH118  # may be gs://
    if version and version not in list_pushed_versions(serving_directory):
        raise FileNotFoundError(f"the baseline, version {version}, is not in {serving_directory}")
    if len({_read_labels(source), _read_labels(candidate_path)} - {b""}) > 1:
        _LOGGER.info("version %s has other classes, so that it is no baseline for this model", version)
        source, version = candidate_path, ""
    io_utils.copy_dir(source, path_utils.serving_model_dir(baseline.uri))
    baseline.set_int_custom_property("is_candidate", int(not version))
    baseline.set_string_custom_property("version", version)


def list_pushed_versions(serving_directory: str) -> list[str]:
    """Returns the names of the version folders below `serving_directory`, lowest version first.

    There are none if it does not exist. What is a version is ModelServer's rule: see `atelier.files.versions`.
    """
    if not fileio.exists(serving_directory):
        return []
    names = (os.path.basename(name.rstrip("/")) for name in fileio.listdir(serving_directory))  # noqa: PTH119  # likewise
    return list(versions.sort_by_number(names).values())


def _read_labels(model: str) -> bytes:
    """The names of a model's classes as they are pushed with it; b"" where none were, which others may do."""
    file = os.path.join(model, ASSETS_EXTRA, LABELS_FILE)  # noqa: PTH118  # may be a gs:// path
    return io_utils.read_bytes_file(file) if fileio.exists(file) else b""
