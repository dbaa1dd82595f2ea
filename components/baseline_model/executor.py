"""The work of BaselineModel."""

import os

from tfx import types
from tfx.dsl.io import fileio
from tfx.utils import io_utils, path_utils

from components import versions

LATEST = "latest"


def publish(candidate: types.Artifact, baseline: types.Artifact, serving_directory: str, version: str) -> None:
    """Copies the pushed `version` ("": the candidate) to `baseline`.

    Raises:
      FileNotFoundError: that version is not in `serving_directory`.
    """
    if version == LATEST:
        version = (pushed_versions(serving_directory) or [""])[-1]
    if not version:
        source = path_utils.serving_model_path(candidate.uri)
    elif version in pushed_versions(serving_directory):
        source = os.path.join(serving_directory, version)  # noqa: PTH118  # may be a gs:// path
    else:
        raise FileNotFoundError(f"the baseline, version {version}, is not in {serving_directory}")
    io_utils.copy_dir(source, path_utils.serving_model_dir(baseline.uri))
    baseline.set_int_custom_property("is_candidate", int(not version))
    baseline.set_string_custom_property("version", version)


def pushed_versions(serving_directory: str) -> list[str]:
    """Returns the names of the version folders below `serving_directory`, lowest version first.

    There are none if it does not exist. What is a version is ModelServer's rule: see `components.versions`.
    """
    if not fileio.exists(serving_directory):
        return []
    names = (os.path.basename(name.rstrip("/")) for name in fileio.listdir(serving_directory))  # noqa: PTH119  # likewise
    return list(versions.by_number(names).values())
