"""Loss and gradient of an image that does not fit into memory in one piece, exactly as if it did.

Gram matrices are sums over positions, so they add up over tiles. Once those of the whole image are known, so is the
total loss's derivative by them, and each tile can be differentiated alone: a tile owns some positions of every layer
and sees, by its halo, all pixels that they see. What it gives to the halo's pixels is added to what their own tiles
give.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from atelier.files import mapped
from compat import freed_memory
from components.style_renderer.engine import losses
from components.style_renderer.engine.guidance import Guides
from components.style_renderer.engine.networks import FeatureNetwork
from components.style_renderer.engine.objective import Losses, Objective, Weights


class Tile(NamedTuple):
    """Where a tile lies: the pixels that it reads, and within them the core that it owns."""

    rows: slice
    columns: slice
    core: tuple[int, int, int, int]
    """Top, left, bottom, right, from the tile's own corner."""


class TiledObjective:
    """As `Objective`, for images [H, W, 3] whose sides are multiples of the network's stride."""

    def __init__(self, objective: Objective, height: int, width: int, tile: int, guides: Guides | None = None) -> None:
        """Lays out the tiles.

        Args:
          objective: its network, layers and weights.
          height: of the image.
          width: of the image.
          tile: side of a tile's core, a multiple of the stride.
          guides: of regions; None: the style goes everywhere.
        """
        self._objective = objective
        self._strides = objective.network.strides
        self.height, self.width, self.tile = height, width, tile
        self.tiles = list(_lay_out_tiles(height, width, tile, objective.network))
        image, box = tf.TensorSpec([1, None, None, 3], tf.float32), tf.TensorSpec([4], tf.int32)
        masks = [tf.TensorSpec([None, None, None, 1], tf.float32)] * (len(objective.style_layers) if guides else 0)
        self._compute_core_grams = tf.function(
            self._compute_gram_sums, input_signature=[image, box, masks], autograph=False
        )
        self._compute_core_contents = tf.function(
            self._compute_content_features, input_signature=[image, box], autograph=False
        )
        self._compute_core_gradient = tf.function(
            self._compute_surrogate_gradient, autograph=False, reduce_retracing=True
        )
        self._contents: list[np.memmap] = []
        self._shares = tf.constant(guides.shares if guides else [1.0])
        self._guides = [_keep(layer) for layer in (guides.layers if guides else ())]
        self._sizes = [
            np.square(layer).sum(axis=(1, 2, 3), dtype=np.float64)[:, np.newaxis, np.newaxis] for layer in self._guides
        ] or [
            np.full((1, 1, 1), (height // self._strides[name]) * (width // self._strides[name]), np.float64)
            for name in objective.style_layers
        ]
        """What Gram matrices are divided by, [R, 1, 1] by style layer."""

    def set_content(self, content: np.ndarray) -> None:
        """Keeps the features of the content [H, W, 3] of 0..255, tile by tile, in files."""
        channels = self._objective.network.channels
        self._contents = [
            mapped.create((self.height // self._strides[name], self.width // self._strides[name], channels[name]))
            for name in self._objective.content_layers
        ]
        for tile in self.tiles:
            found = self._compute_core_contents(_cut_tile(content, tile), tf.constant(tile.core))
            for name, kept, features in zip(self._objective.content_layers, self._contents, found, strict=True):
                kept[_locate_core(tile, self._strides[name])] = features[0].numpy()
            freed_memory.unmap(*self._contents)

    def evaluate(self, image: np.ndarray, grams: Sequence[tf.Tensor], weights: Weights, gradient: np.ndarray) -> Losses:
        """The losses of the whole image; its gradient goes to `gradient`.

        Args:
          image: [H, W, 3] float32 of 0..255, in memory or in a file.
          grams: the style's [1, C, C], by layer; with regions, [R, C, C].
          weights: of the three terms.
          gradient: [H, W, 3] float32, overwritten.
        """
        found = self._compute_grams(image)
        with tf.GradientTape() as tape:
            tape.watch(found)
            style = tf.tensordot(self._shares, losses.style_loss(found, grams, self._objective.layer_weights), 1)
            weighted = weights.style * style
        slopes = tape.gradient(weighted, found)
        slopes = [slope / size for slope, size in zip(slopes, self._sizes, strict=True)]

        gradient[:] = 0
        shares = np.zeros(2)
        scales = tf.constant([weights.content, weights.tv / (self.height * self.width * 3)], tf.float32)
        for tile in self.tiles:
            contents = [
                tf.constant(kept[_locate_core(tile, self._strides[name])][np.newaxis])
                for name, kept in zip(self._objective.content_layers, self._contents, strict=True)
            ]
            sizes = tf.constant([kept.size for kept in self._contents], tf.float32)
            share, slope = self._compute_core_gradient(
                _cut_tile(image, tile), tf.constant(tile.core), self._cut_masks(tile), contents, sizes, slopes, scales
            )
            gradient[tile.rows, tile.columns] += slope[0].numpy()
            shares += share.numpy()
            freed_memory.unmap(image, gradient, *self._contents, *self._guides)
        content, tv = shares[0], shares[1] / (self.height * self.width * 3)
        total = weights.content * content + weights.style * float(style) + weights.tv * tv
        return Losses(float(total), float(content), float(style), float(tv))

    def _compute_grams(self, image: np.ndarray) -> list[tf.Tensor]:
        sums = [np.zeros(1)] * len(self._objective.style_layers)
        for tile in self.tiles:
            found = self._compute_core_grams(_cut_tile(image, tile), tf.constant(tile.core), self._cut_masks(tile))
            # float64: a sum of many tiles' sums.
            sums = [total + part.numpy().astype(np.float64) for total, part in zip(sums, found, strict=True)]
            freed_memory.unmap(image, *self._guides)
        return [tf.constant(total / size, tf.float32) for total, size in zip(sums, self._sizes, strict=True)]

    def _cut_masks(self, tile: Tile) -> list[tf.Tensor]:
        """The regions' masks of the core, [R, h, w, 1] by style layer; none without regions."""
        return [
            tf.constant(kept[(slice(None), *_locate_core(tile, self._strides[name]))])
            for name, kept in zip(self._objective.style_layers, self._guides, strict=bool(self._guides))
        ]

    def _compute_gram_sums(self, pixels: tf.Tensor, core: tf.Tensor, masks: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return self._compute_masked_sums(self._objective.network(pixels), core, masks)

    def _compute_masked_sums(
        self, features: dict[str, tf.Tensor], core: tf.Tensor, masks: Sequence[tf.Tensor]
    ) -> list[tf.Tensor]:
        owned = [self._cut_core(features, name, core) for name in self._objective.style_layers]
        if masks:
            owned = [found * mask for found, mask in zip(owned, masks, strict=True)]
        return [losses.gram_sum(found) for found in owned]

    def _compute_content_features(self, pixels: tf.Tensor, core: tf.Tensor) -> list[tf.Tensor]:
        features = self._objective.network(pixels)
        return [self._cut_core(features, name, core) for name in self._objective.content_layers]

    def _compute_surrogate_gradient(
        self,
        pixels: tf.Tensor,
        core: tf.Tensor,
        masks: Sequence[tf.Tensor],
        contents: Sequence[tf.Tensor],
        sizes: tf.Tensor,
        slopes: Sequence[tf.Tensor],
        scales: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Content loss and sum of variation of the core, and the tile's share of the total's gradient.

        Args:
          pixels: [1, h, w, 3].
          core: [4].
          masks: of the regions, see `_cut_masks`.
          contents: target features of the core, by content layer.
          sizes: number of values of the whole image's content features, by layer.
          slopes: the total's derivative by the sum of f_i f_j, by style layer.
          scales: [2]: weight of the content loss; of a squared difference between neighbors.
        """
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            features = self._objective.network(pixels)
            content = tf.add_n(
                [
                    tf.reduce_sum(tf.math.squared_difference(self._cut_core(features, name, core), wanted)) / size
                    for name, wanted, size in zip(
                        self._objective.content_layers, contents, tf.unstack(sizes), strict=True
                    )
                ]
            ) / len(contents)
            style = tf.add_n(
                [
                    tf.reduce_sum(slope * found)
                    for found, slope in zip(self._compute_masked_sums(features, core, masks), slopes, strict=True)
                ]
            )
            tv = _compute_core_variation(pixels, core)
            surrogate = scales[0] * content + style + scales[1] * tv
        return tf.stack([content, tv]), tape.gradient(surrogate, pixels)

    def _cut_core(self, features: dict[str, tf.Tensor], name: str, core: tf.Tensor) -> tf.Tensor:
        top, left, bottom, right = tf.unstack(core // self._strides[name])
        return features[name][:, top:bottom, left:right]


def measure_seams(image: np.ndarray, tile: int) -> float:
    """How much rougher an image [H, W, 3] is across the borders of tiles than elsewhere: 1 is no seam.

    The mean absolute difference between neighbors on either side of a border, by that of all neighbors.
    """
    ratios = []
    for oriented in (image, np.swapaxes(image, 0, 1)):
        steps = np.array([_compute_mean_difference(one, next_one) for one, next_one in itertools.pairwise(oriented)])
        borders = steps[tile - 1 :: tile]
        if len(borders):
            ratios.append(borders.mean() / max(steps.mean(), 1e-9))
    return float(max(ratios, default=1.0))


def _compute_mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(np.subtract(one, other, dtype=np.float32)).mean())


def _keep(array: np.ndarray) -> np.memmap:
    kept = mapped.create(array.shape)
    kept[:] = array
    return kept


def _lay_out_tiles(height: int, width: int, tile: int, network: FeatureNetwork) -> Iterator[Tile]:
    halo = -(-network.radius // network.stride) * network.stride
    for top, left in itertools.product(range(0, height, tile), range(0, width, tile)):
        bottom, right = min(top + tile, height), min(left + tile, width)
        y, x = max(0, top - halo), max(0, left - halo)
        yield Tile(
            rows=slice(y, min(height, bottom + halo)),
            columns=slice(x, min(width, right + halo)),
            core=(top - y, left - x, bottom - y, right - x),
        )


def _cut_tile(image: np.ndarray, tile: Tile) -> tf.Tensor:
    return tf.constant(image[tile.rows, tile.columns][np.newaxis].astype(np.float32))


def _locate_core(tile: Tile, stride: int) -> tuple[slice, slice]:
    """Where the core's features lie in those of the whole image."""
    top, left, bottom, right = tile.core
    y, x = tile.rows.start, tile.columns.start
    return slice((y + top) // stride, (y + bottom) // stride), slice((x + left) // stride, (x + right) // stride)


def _compute_core_variation(pixels: tf.Tensor, core: tf.Tensor) -> tf.Tensor:
    """Sum of squared differences between the core's pixels and the neighbors below and to the right of them."""
    top, left, bottom, right = tf.unstack(core)
    tall = pixels[:, top : bottom + 1, left:right]
    wide = pixels[:, top:bottom, left : right + 1]
    return tf.reduce_sum(tf.math.squared_difference(tall[:, 1:], tall[:, :-1])) + tf.reduce_sum(
        tf.math.squared_difference(wide[:, :, 1:], wide[:, :, :-1])
    )
