"""The reference of drift: what held-out images of the training data look like, and what the model answers for them.

One `.npz` file for each version, in the folder `monitor/` of a run's output folder.
"""

import functools
import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from serving.ab.image_statistics import NUMBERS
from serving.monitor.drift import find_bandwidth
from serving.monitor.errors import MonitorError

FORMAT = 1
FOLDER = "monitor"
MAX_FEATURES = 1000
"""Rows of features that are stored."""


@dataclass(frozen=True)
class Reference:
    """Of one version.

    Attributes:
      version: of the model.
      classes: [K] names.
      class_counts: [K] how often the model names each class.
      numbers: [images, 4] of `NUMBERS`.
      formats: [images] jpeg or png.
      features: [rows, channels] float16 penultimate features of images as `Samples` keeps them; no rows if the model
        has no signature for them.
    """

    version: int
    classes: np.ndarray
    class_counts: np.ndarray
    numbers: np.ndarray
    formats: np.ndarray
    features: np.ndarray

    @property
    def images(self) -> int:
        """How many images were measured."""
        return len(self.numbers)

    @functools.cached_property
    def bandwidth(self) -> float:
        """Of the kernel; see `drift`."""
        return find_bandwidth(self.features)


def locate(output: Path, version: int) -> Path:
    """Returns the path of a version's reference.

    Args:
      output: output folder of the run.
      version: of the model.
    """
    return output / FOLDER / f"reference-{version}.npz"


def save(file: Path, reference: Reference) -> None:
    """Writes a reference; an existing one is replaced.

    Raises:
      MonitorError: it cannot be written.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as stream:
                np.savez_compressed(
                    stream, format=FORMAT, **{each.name: getattr(reference, each.name) for each in fields(Reference)}
                )
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise MonitorError(f"{file}: cannot be written: {error.strerror}") from None


def load(file: Path) -> Reference | None:
    """Reads a reference; None if there is no such file.

    Raises:
      MonitorError: it is none, or of another version of Atelier.
    """
    remedy = "write it again with `atelier models reference`"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if int(arrays["format"]) != FORMAT:
                raise MonitorError(f"{file}: a reference of format {int(arrays['format'])}, not {FORMAT}; {remedy}")
            found = {each.name: arrays[each.name] for each in fields(Reference)}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MonitorError(f"{file}: cannot be read: {error.strerror or error}; {remedy}") from None
    except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        raise MonitorError(f"{file}: not a reference of drift; {remedy}") from None
    reference = Reference(**found | {"version": int(found["version"])})
    if not _fits(reference):
        raise MonitorError(f"{file}: the sizes of its arrays do not fit together; {remedy}")
    return reference


def _fits(reference: Reference) -> bool:
    return (
        reference.classes.shape == reference.class_counts.shape
        and reference.numbers.shape == (reference.images, len(NUMBERS))
        and reference.images > 0
        and reference.formats.shape == (reference.images,)
        and reference.features.ndim == 2
    )
