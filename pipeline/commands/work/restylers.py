"""What restyles an image for `atelier stylize`: a network in this process, or a model server."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atelier import images
from atelier.errors import AtelierError
from atelier.files import image_files, path_text
from atelier.layout import MAX_PIXELS, compute_max_file_bytes
from atelier.stylization import StylizerError, weigh_styles

Restyle = Callable[[Path], bytes]
"""Returns the stylized image of a file as JPEG.

Raises:
  ImageError: this image cannot be restyled.
"""


class ImageError(AtelierError):
    """An image cannot be restyled, and the next one may be; the message names it."""


@contextlib.contextmanager
def open_model(model: Path | None, weights: Mapping[str, float], strength: float, size: int) -> Iterator[Restyle]:
    """Loads a network.

    Args:
      model: a stylizer's file, a SavedModel, or a folder of versions of one; None takes the base network.
      weights: of the styles, by id.
      strength: 0..1.
      size: longer side in pixels to which larger images are scaled down.

    Raises:
      StylizerError: it cannot be used, or lacks a style.
    """
    from components.style_renderer.gallery import previews
    from components.stylizer import stylizer
    from components.stylizer.exports import saved_stylizer

    loaded: stylizer.Stylizer | saved_stylizer.SavedStylizer
    if model and model.is_dir():
        loaded = saved_stylizer.SavedStylizer(model)
    else:
        loaded = stylizer.load(model) if model else stylizer.load_base()
    weigh_styles(weights, loaded.styles)  # a style that is unknown is no fault of each image

    def restyle(file: Path) -> bytes:
        try:
            stylized = loaded.stylize(_read(file, size), weights, strength)
        except (images.RejectedImageError, StylizerError) as error:
            raise ImageError(f"{path_text.format_path(str(file))}: {error}") from None
        return previews.encode(Image.fromarray(stylized), "jpeg")

    yield restyle


@contextlib.contextmanager
def open_server(
    connection: Mapping[str, Any], weights: Mapping[str, float], strength: float, size: int
) -> Iterator[Restyle]:
    """Connects to a server; see `open_model` for the other arguments.

    Args:
      connection: arguments of `StylizerClient`.
      weights: of the styles, by id.
      strength: 0..1.
      size: longer side in pixels to which larger images are scaled down before they are sent.

    Raises:
      StylizerError: the model lacks a style.
      ServingError: the server cannot be asked, or the model is no stylizer.
    """
    from serving.client import ServingError, StylizerClient
    from serving.client.stylizer_client import ABOUT_THE_IMAGE

    with StylizerClient(**connection, size=size) as client:
        weigh_styles(weights, client.stylization().styles)

        def restyle(file: Path) -> bytes:
            try:
                prepared = client.prepare(file)
            except ServingError as error:
                raise ImageError(str(error)) from None
            try:
                return client.stylize(prepared, weights, strength).encoded
            except ServingError as error:
                if error.code in ABOUT_THE_IMAGE:
                    raise ImageError(str(error)) from None
                raise

        yield restyle


def _read(file: Path, size: int) -> np.ndarray:
    image = images.decode(image_files.read_image_file(file, compute_max_file_bytes(MAX_PIXELS)), MAX_PIXELS).image
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)
