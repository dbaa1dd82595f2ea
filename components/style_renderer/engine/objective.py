"""Loss and gradient of an image in one piece, with respect to its pixels."""

import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.style_renderer.engine import canvas, losses, networks
from components.style_renderer.engine.networks import FeatureNetwork
from components.style_renderer.engine.settings import Settings

_KEPT_TARGETS = 64
"""Style targets, some 2 MB each."""


class Weights(NamedTuple):
    """Of the three terms of the total loss."""

    content: float
    style: float
    tv: float

    def with_strength(self, strength: float) -> "Weights":
        """`strength` of 0 leaves nothing but the content, 1 leaves all as it is.

        The cube makes the change that one sees about even along the way: the style's pull saturates.
        """
        return self._replace(style=self.style * strength**3, tv=self.tv * strength**3)


class Losses(NamedTuple):
    """The weighted sum and its unweighted terms."""

    total: float
    content: float
    style: float
    tv: float


def get_objective(settings: Settings, precision: str) -> "Objective":
    """The objective of the settings' network and layers, which a process builds once.

    Raises:
      ValueError: the network has no such layer.
      WeightsError: its weights cannot be had.
    """
    used = networks.choose_recipe(settings)
    return _build_objective(networks.build(settings, precision), used.content_layers, tuple(used.style_layers.items()))


class Objective:
    """The total loss of equation 7, with total variation, for one network and its layers."""

    def __init__(
        self, network: FeatureNetwork, content_layers: Sequence[str], style_layers: Sequence[tuple[str, float]]
    ) -> None:
        """Traces, for images of any size; style layers come with their weights in the mean."""
        self.network = network
        self.content_layers = tuple(content_layers)
        self.style_layers = tuple(name for name, _ in style_layers)
        self.layer_weights = tuple(weight for _, weight in style_layers)
        self._targets: dict[tuple[bytes, int], list[tf.Tensor]] = {}
        image = tf.TensorSpec([1, None, None, 3], tf.float32)
        channels = network.channels
        contents = [tf.TensorSpec([1, None, None, channels[name]], tf.float32) for name in self.content_layers]
        styles = [tf.TensorSpec([1, channels[name], channels[name]], tf.float32) for name in self.style_layers]
        weights = tf.TensorSpec([3], tf.float32)
        self.compute_contents = tf.function(self._compute_contents, input_signature=[image], autograph=False)
        self.compute_grams = tf.function(self._compute_grams, input_signature=[image], autograph=False)
        self.evaluate = tf.function(self._evaluate, input_signature=[image, contents, styles, weights], autograph=False)
        regions = [tf.TensorSpec([None, channels[name], channels[name]], tf.float32) for name in self.style_layers]
        guides = [tf.TensorSpec([None, None, None, 1], tf.float32) for _ in self.style_layers]
        shares = tf.TensorSpec([None], tf.float32)
        self.evaluate_guided = tf.function(
            self._evaluate, input_signature=[image, contents, regions, weights, guides, shares], autograph=False
        )

    def compute_style_targets(self, style: np.ndarray, size: int) -> list[tf.Tensor]:
        """Gram matrices [1, C, C], by style layer, of a style at a size; computed once in a process.

        The style is never enlarged: there is no finer stroke in it to be found.

        Args:
          style: [H, W, 3] uint8.
          size: longer side at which it is looked at, in pixels.
        """
        height, width = canvas.compute_sides(style.shape, min(size, max(style.shape[:2])))
        key = (hashlib.sha256(style.tobytes()).digest() + str(style.shape).encode(), max(height, width))
        if key not in self._targets:
            if len(self._targets) >= _KEPT_TARGETS:
                del self._targets[next(iter(self._targets))]
            scaled = canvas.resize(style, height, width)
            self._targets[key] = self.compute_grams(
                tf.constant(canvas.crop(scaled, self.network.stride)[np.newaxis].astype(np.float32))
            )
        return self._targets[key]

    def _compute_contents(self, image: tf.Tensor) -> list[tf.Tensor]:
        """Content targets [1, h, w, C], by content layer, of an image [1, H, W, 3]."""
        features = self.network(image)
        return [features[name] for name in self.content_layers]

    def _compute_grams(self, image: tf.Tensor) -> list[tf.Tensor]:
        """Gram matrices [1, C, C], by style layer, of an image [1, H, W, 3]."""
        features = self.network(image)
        return [losses.gram(features[name]) for name in self.style_layers]

    def _evaluate(
        self,
        image: tf.Tensor,
        contents: Sequence[tf.Tensor],
        grams: Sequence[tf.Tensor],
        weights: tf.Tensor,
        guides: Sequence[tf.Tensor] = (),
        shares: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Losses [4] (the fields of `Losses`) and the total's gradient [1, H, W, 3].

        Args:
          image: [1, H, W, 3], 0..255.
          contents: what `compute_contents` gave for the content image at this size.
          grams: what `compute_grams` gave for the style, or the weighted mean of several; with regions, [R, C, C].
          weights: [3], the fields of `Weights`.
          guides: masks of regions by style layer, see `guidance.Guides`; none: the style goes everywhere.
          shares: [R], how much each region counts.
        """
        with tf.GradientTape() as tape:
            tape.watch(image)
            features = self.network(image)
            content = tf.add_n(
                [
                    losses.content_loss(features[name], wanted)
                    for name, wanted in zip(self.content_layers, contents, strict=True)
                ]
            ) / len(self.content_layers)
            if shares is None:
                found = [losses.gram(features[name]) for name in self.style_layers]
                style = losses.style_loss(found, grams, self.layer_weights)[0]
            else:
                found = [
                    losses.guided_gram(features[name], guide)
                    for name, guide in zip(self.style_layers, guides, strict=True)
                ]
                style = tf.tensordot(shares, losses.style_loss(found, grams, self.layer_weights), 1)
            terms = tf.stack([content[0], style, losses.total_variation(image)[0]])
            total = tf.tensordot(weights, terms, 1)
        return tf.concat([total[tf.newaxis], terms], 0), tape.gradient(total, image)


@functools.lru_cache(maxsize=4)
def _build_objective(
    network: FeatureNetwork, content_layers: tuple[str, ...], style_layers: tuple[tuple[str, float], ...]
) -> Objective:
    return Objective(network, content_layers, style_layers)
