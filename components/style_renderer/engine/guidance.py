"""Regions: where in the image each style goes.

Gatys, Ecker, Bethge, Hertzmann and Shechtman 2017, "Controlling perceptual factors in neural style transfer"
(arXiv:1611.07865), section 4. A region has a mask, which is scaled down to each layer and multiplied into the layer's
features; the Gram matrix of what is left is compared with that of the region's style. Departures: the style is looked
at as a whole, without a mask of its own; and a region counts by its share of the image, so that one style is as strong
in a small region as in a large one. Outside of all regions the content stays as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from components.style_renderer.engine.networks import FeatureNetwork


@dataclass(frozen=True)
class Region:
    """Where a blend of styles goes."""

    mask: np.ndarray
    """[h, w] uint8, stretched over the content: 255 is the style in full, 0 none."""
    styles: Sequence[tuple[np.ndarray, float]]
    """Images [H, W, 3] and their weights in the blend."""


@dataclass(frozen=True)
class Guides:
    """The masks of all regions at the size of each layer."""

    layers: Sequence[np.ndarray]
    """By style layer, [R, h, w, 1] float32 of 0..1."""
    shares: np.ndarray
    """[R] float32: how much each region counts."""

    @property
    def tensors(self) -> list[tf.Tensor]:
        """The layers, for `Objective.evaluate_guided`."""
        return [tf.constant(layer) for layer in self.layers]


def group(styles: Sequence[tuple[np.ndarray, float]], masks: Sequence[np.ndarray]) -> list[Region]:
    """Makes a region of each mask; styles of equal masks blend in it, and a style of the weight 0 has none."""
    regions: dict[tuple, list[int]] = {}
    for number, mask in enumerate(masks):
        if styles[number][1] > 0:
            regions.setdefault((mask.shape, mask.tobytes()), []).append(number)
    return [Region(masks[members[0]], [styles[number] for number in members]) for members in regions.values()]


def scale(
    regions: Sequence[Region],
    sides: tuple[int, int],
    padded: tuple[int, int],
    network: FeatureNetwork,
    layers: Sequence[str],
) -> Guides:
    """Scales the masks to each layer.

    Args:
      regions: their masks are stretched over the image.
      sides: height and width of the image in pixels.
      padded: the same with what is added at the end, where a mask's last row and column are repeated.
      network: tells how much smaller its layers are.
      layers: the style layers.
    """
    strides = [network.strides[name] for name in layers]
    found = []
    for stride in strides:
        height, width = (side // stride for side in padded)
        found.append(np.stack([_resize(region.mask, sides, padded, height, width) for region in regions])[..., None])
    shares = [np.square(region.mask / 255).mean() for region in regions]
    return Guides(found, np.array(shares, np.float32))


def cover(image: np.ndarray, content: np.ndarray, regions: Sequence[Region]) -> np.ndarray:
    """The image inside of the regions, and the content outside: all are [H, W, 3] uint8."""
    sides = image.shape[:2]
    covered = np.minimum(sum(_resize(region.mask, sides, sides, *sides) for region in regions), 1)[..., None]
    mixed = image * covered
    mixed += content * (1 - covered)
    return np.rint(mixed, out=mixed).astype(np.uint8)


def _resize(mask: np.ndarray, sides: tuple[int, int], padded: tuple[int, int], height: int, width: int) -> np.ndarray:
    """The mask over the padded image, [height, width] float32 of 0..1; no value above 0 becomes 0."""
    rows, columns = (have * whole / side for have, side, whole in zip(mask.shape, sides, padded, strict=True))
    more = ((0, math.ceil(rows) - mask.shape[0]), (0, math.ceil(columns) - mask.shape[1]))
    whole = Image.fromarray(np.pad(mask, more, mode="edge").astype(np.float32) / np.float32(255))
    scaled = whole.resize((width, height), Image.Resampling.BILINEAR, box=(0, 0, columns, rows))
    return np.clip(np.asarray(scaled), 0, 1)
