"""Runs an exported stylizer in this process: the answers that a server gives."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from atelier import stylization
from atelier.files import versions
from atelier.files.plain_path import provide_plain_path
from atelier.layout import ASSETS_EXTRA, STYLIZATION_FILE
from atelier.stylization import STRENGTH, STYLE_WEIGHTS, StylizerError, check_strength, weigh_styles
from components.stylizer.exports.saved_model import PIXELS, STYLIZED


class SavedStylizer:
    """An exported stylizer; see `Stylizer` for the one that is trained."""

    def __init__(self, path: Path) -> None:
        """Loads the SavedModel.

        Args:
          path: its folder, or a folder of versions, of which the newest is taken.

        Raises:
          StylizerError: there is none, or none of a stylizer.
        """
        directory = _find(path)
        file = directory / ASSETS_EXTRA / STYLIZATION_FILE
        try:
            told = stylization.parse(file.read_bytes())
        except OSError as error:
            raise StylizerError(f"{directory}: the model is not a stylizer: {file}: {error.strerror}") from None
        except StylizerError as error:
            raise StylizerError(f"{file}: {error}") from None
        self.styles, self.max_pixels = told.styles, told.max_pixels
        try:
            with provide_plain_path(directory) as plain:
                self._loaded = tf.saved_model.load(plain)  # it holds the variables of its signatures
            self._restyle = self._loaded.signatures["serving_pixels"]
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            raise StylizerError(f"{directory}: the model cannot be loaded: {str(error).splitlines()[0]}") from None

    def stylize(self, image: np.ndarray, weights: Mapping[str, float], strength: float = 1.0) -> np.ndarray:
        """See `Stylizer.stylize`.

        Raises:
          StylizerError: the image has too many pixels, or a style or the strength is not what it should be.
        """
        check_strength(strength)
        height, width = image.shape[:2]
        if height * width > self.max_pixels:
            raise StylizerError(
                f"{height * width} pixels are more than the {self.max_pixels} that the model takes: scale the image "
                "down (--size)"
            )
        inputs = {
            PIXELS: tf.constant(image[np.newaxis]),
            STYLE_WEIGHTS: tf.constant([weigh_styles(weights, self.styles)], tf.float32),
            STRENGTH: tf.constant([strength], tf.float32),
        }
        return self._restyle(**inputs)[STYLIZED].numpy()[0]


def _find(path: Path) -> Path:
    """The folder of the SavedModel.

    Raises:
      StylizerError: there is none.
    """
    if (path / "saved_model.pb").is_file():
        return path
    try:
        found = [folder for folder in versions.list_folders(path).values() if (folder / "saved_model.pb").is_file()]
        if found:
            return found[-1]
        raise StylizerError(f"{path}: no SavedModel: {versions.explain_none(path)}")
    except OSError as error:
        raise StylizerError(f"{path}: the folder cannot be listed: {error.strerror}") from None
