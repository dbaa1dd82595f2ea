"""A trained stylizer: the network, the ids of its styles, and the file that holds both.

stylizer = load_base()
stylized = stylizer.stylize(image, {"great-wave": 1.0}, strength=0.8)
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from atelier import images
from atelier.layout import MAX_PIXELS
from atelier.stylization import StylizerError, check_strength, weigh_styles
from components.style_catalog import builtin
from components.stylizer import network, strips
from components.stylizer.base import BASE, BASE_SHA256
from components.stylizer.settings import TrainingSettings

_FORMAT = 2
_HEADER = "header"
IN_ONE_PIECE = 2**20
"""Pixels. The features of so many take half a gigabyte; larger images are worked on in strips."""


@dataclass(frozen=True)
class Stylizer:
    """A network and the ids of its styles, in the order of its rows."""

    model: keras.Model
    styles: tuple[str, ...]
    images: Mapping[str, str] = field(default_factory=dict)
    """What `identify` gives for the image that a style was learned from, by style id; where it is known."""
    reached: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What the optimizer reaches in a style, by style id, where it is known; see `objective.Reached`."""

    def stylize(
        self,
        image: np.ndarray,
        weights: Mapping[str, float],
        strength: float = 1.0,
        notify: Callable[[float], object] = lambda _: None,
    ) -> np.ndarray:
        """Restyles an image.

        Args:
          image: [H, W, 3] uint8 RGB of any size.
          weights: by style id; their sum is divided out.
          strength: 0 gives the image back, 1 the style in full.
          notify: told the share of the work that is done, if the image is large; what it raises ends the work.

        Returns:
          [H, W, 3] uint8.

        Raises:
          StylizerError: the image, a style or the strength is not what it should be.
          OSError: the disk has no space for the features of a large image.
        """
        if image.ndim != 3 or image.shape[2] != 3 or not image.size or image.dtype != np.uint8:
            raise StylizerError(f"the image is {image.dtype} of shape {image.shape}: expected uint8 [H, W, 3]")
        check_strength(strength)
        height, width = image.shape[:2]
        padded, row = pad(image), self.build_row(weights)
        if height * width > IN_ONE_PIECE:
            parts = strips.stylize(self.model, padded, row, strength, notify=notify)
        else:
            amount = np.array([strength], np.float32)
            batch = {"image": padded[np.newaxis], "style": row[np.newaxis], "strength": amount}
            parts = iter([self.model.predict_on_batch(batch)[0]])
        stylized, top = np.empty(padded.shape, np.uint8), 0
        for rows in parts:
            stylized[top : top + len(rows)] = np.clip(np.rint(rows), 0, 255)
            top += len(rows)
        return stylized[:height, :width]

    def check_style(self, style: str, pixels: np.ndarray) -> None:
        """Checks that the network has learned a style, and from this image at the default size.

        Args:
          style: its id.
          pixels: [H, W, 3] uint8, the style's image.

        Raises:
          StylizerError: it has not.
        """
        remedy = "teach it with `atelier styles train`, or use the engine `finest`"
        if style not in self.styles:
            raise StylizerError(f"the stylizer does not know the style {style}: {remedy}")
        learned = self.images.get(style, "")
        size = TrainingSettings.model_fields["style_size"].default
        if learned != identify(pixels, size) and not _is_drawn_here(style, learned, pixels):
            raise StylizerError(
                f"the stylizer has learned the style {style} from another image than the catalog's, or at another size "
                f"than {size} pixels: give the style another id, and {remedy}"
            )

    def build_row(self, weights: Mapping[str, float]) -> np.ndarray:
        """The network's input [S] for style weights by id: their sum is 1.

        Raises:
          StylizerError: an id is unknown, a weight is below 0 or no number, or none is above 0.
        """
        return np.array(weigh_styles(weights, self.styles), np.float32)

    def rebuild(self, *, size: tuple[int | None, int | None] = (None, None), batch: int | None = None) -> keras.Model:
        """Returns a network of its own with the same weights, float32, for images of this size; see `network.build`."""
        model = network.build(len(self.styles), **_read_shape(self.model), size=size, batch=batch)
        model.set_weights(self.model.get_weights())
        return model

    def save(self, path: Path) -> None:
        """Writes the file: weights as float16, ids and shape of the network as JSON; whole or not at all."""
        variables = {variable.path: variable for variable in self.model.variables}
        arrays = {name: np.asarray(keras.ops.convert_to_numpy(value), np.float16) for name, value in variables.items()}
        header = {"format": _FORMAT, "styles": self.styles, "images": dict(self.images), "reached": dict(self.reached)}
        header |= _read_shape(self.model)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **{_HEADER: np.array(json.dumps(header))}, **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)


def load_base() -> Stylizer:
    """The base network that comes with the project.

    Raises:
      StylizerError: its file is missing or damaged.
    """
    return load(BASE, BASE_SHA256)


def load(path: Path, sha256: str = "") -> Stylizer:
    """Reads a file that `Stylizer.save` wrote. Nothing in it can run code.

    Args:
      path: the file.
      sha256: the hash that it must have; "" takes any.

    Raises:
      StylizerError: it cannot be read, has another hash, or is no stylizer.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StylizerError(f"{path}: the stylizer cannot be read: {error.strerror}") from None
    if sha256 and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise StylizerError(f"{path}: its SHA-256 is {found}, expected {sha256}; restore the file")
    return parse(content, str(path))


def parse(content: bytes, path: str) -> Stylizer:
    """Reads the bytes of a file that `Stylizer.save` wrote.

    Args:
      content: the bytes.
      path: for the message.

    Raises:
      StylizerError: they are no stylizer.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            header = json.loads(str(arrays[_HEADER]))
            if header["format"] != _FORMAT:
                raise ValueError(f"its format is {header['format']}, expected {_FORMAT}")
            styles, style_images = tuple(header["styles"]), dict(header["images"])
            reached = {style: (float(one), float(other)) for style, (one, other) in header["reached"].items()}
            model = network.build(len(styles), channels=header["channels"], blocks=header["blocks"])
            values = {variable.path: arrays[variable.path] for variable in model.variables}
            for variable in model.variables:
                variable.assign(values[variable.path].astype(np.float32))
    except Exception as error:  # noqa: BLE001 (a damaged zip or array raises nearly anything)
        raise StylizerError(f"{path}: the file is not a stylizer, or it is damaged ({error})") from None
    return Stylizer(model, styles, style_images, reached)


def identify(image: np.ndarray, size: int) -> str:
    """SHA-256 of a style image [H, W, 3] uint8 and of the longer side at which it is learned, in hexadecimal.

    A style whose image has another one is another style, whatever its id.
    """
    return hashlib.sha256(f"{image.shape} at {size}".encode() + image.tobytes()).hexdigest()


def _is_drawn_here(style: str, learned: str, pixels: np.ndarray) -> bool:
    """Whether it is a built-in style that the base has learned, and the image that is drawn for it here.

    Another version of NumPy may draw it a little differently.
    """
    if style not in builtin.list_ids():
        return False
    with np.load(BASE, allow_pickle=False) as arrays:
        of_base = json.loads(str(arrays[_HEADER]))["images"].get(style)
    drawn = np.asarray(images.decode(builtin.read_image(style), MAX_PIXELS).image)
    return learned == of_base and np.array_equal(drawn, pixels)


def pad(image: np.ndarray) -> np.ndarray:
    """Reflects [H, W, 3] at its end until the sides are multiples of the network's stride."""
    height, width = image.shape[:2]
    if height % network.STRIDE == width % network.STRIDE == 0:
        return image
    return np.pad(image, ((0, -height % network.STRIDE), (0, -width % network.STRIDE), (0, 0)), mode="symmetric")


def _read_shape(model: keras.Model) -> dict[str, Any]:
    names = [layer.name for layer in model.layers]
    return {"channels": network.read_channels(model), "blocks": sum(name.endswith("_add") for name in names)}
