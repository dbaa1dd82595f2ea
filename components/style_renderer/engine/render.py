"""Renders a content image in a style, coarse to fine.

    rendering = render(content, [(style, 1.0)], Settings())

Gatys, Ecker and Bethge 2016, "Image style transfer using convolutional neural networks". Departures: several scales,
as in Gatys et al. 2017, "Controlling perceptual factors in neural style transfer", section 6; total variation.
"""

import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.style_renderer.engine import canvas, checks, colors, guidance, memory, networks, objective, optimizers
from components.style_renderer.engine.callbacks import Callback, Controls, Iterate
from components.style_renderer.engine.objective import Losses, Objective, Weights
from components.style_renderer.engine.settings import Scale, Settings
from components.style_renderer.engine.tiling import tiled_adam


@dataclass(frozen=True)
class Rendering:
    """What came out."""

    image: np.ndarray
    """[H, W, 3] uint8, the longer side as the last scale says."""
    losses: Mapping[str, float]
    """total, content, style and tv at the last iteration; empty at a strength of 0."""
    iterations: int
    seconds: float
    seam_score: float | None
    """Of an image that was worked on in tiles: see `tiles.measure_seams`."""


_EXACT_SHARE = 0.25
"""Of the last scale's iterations, in float32 whatever the precision: they are finer than bfloat16 can tell.
VGG19 at 96 px, 80 iterations: a loss up to 5 % above float32's without, 1 % with it."""


def render(
    content: np.ndarray,
    styles: Sequence[tuple[np.ndarray, float]],
    settings: Settings,
    *,
    masks: Sequence[np.ndarray] = (),
    start: np.ndarray | None = None,
    callback: Callback | None = None,
) -> Rendering:
    """Renders `content` in a style, or in a blend of several.

    Args:
      content: [H, W, 3] uint8 RGB; may be a memory map.
      styles: images [h, w, 3] uint8 RGB and their weights in the blend, whose sum is divided out.
      settings: everything else; equal settings give equal images on the same machine.
      masks: where each style goes, a mask for each of `styles`: [h, w] uint8 of any size, stretched over the content;
        255 is the style in full. Styles of equal masks blend. Outside of all masks the content stays. Empty: the
        styles go everywhere.
      start: an image to start from instead of `settings.start`.
      callback: see `Callback`.

    Raises:
      ValueError: no style, a weight below 0, a sum of 0, an image that is not [H, W, 3] uint8, a
        style with a side below 32, a mask that is not [h, w] uint8 or is empty, or a layer that the network does not
        have.
      WeightsError: the network's weights cannot be had.
    """
    began = time.perf_counter()
    checks.check_images(content, styles, start)
    checks.check_masks(masks, len(styles))
    work = _Work(content, styles, settings, masks, start, callback)
    for number, scale in enumerate(settings.scales):
        work.render_scale(number, scale)
    return Rendering(work.finish(), work.losses, work.iterations, time.perf_counter() - began, work.seam_score)


class _Work:
    """One rendering: what changes while it goes on."""

    def __init__(
        self,
        content: np.ndarray,
        styles: Sequence[tuple[np.ndarray, float]],
        settings: Settings,
        masks: Sequence[np.ndarray],
        start: np.ndarray | None,
        callback: Callback | None,
    ) -> None:
        self._content, self._settings = content, settings
        self._styles = styles
        if settings.colors == "match":
            self._styles = [(colors.match_colors(style, content), weight) for style, weight in styles]
        self._regions = guidance.group(self._styles, masks)
        self._start, self._callback = start, callback
        self._precision = settings.precision
        self._objective = objective.get_objective(settings, self._precision)
        recipe = networks.choose_recipe(settings)
        self._weights = Weights(recipe.content_weight, recipe.style_weight, recipe.tv_weight)
        self._costs = [scale.iterations * scale.size**2 for scale in settings.scales]
        self._strength = settings.strength
        self._tv_weight: float | None = None
        """What the callback wants, at all scales."""
        self._image: np.ndarray | None = None
        """[H, W, 3] float32, of the scale done last."""
        self._step = 0
        """Iterations done of the scale in work."""
        self.losses: dict[str, float] = {}
        self._evaluated: dict[str, float] = {}
        self.iterations = 0
        self.seam_score: float | None = None

    def render_scale(self, number: int, scale: Scale) -> None:
        """Takes the image from the scale before to this one."""
        height, width = canvas.compute_sides(self._content.shape, scale.size)
        content = canvas.resize(self._content, height, width)
        image = self._make_start(content) if self._image is None else canvas.resize(self._image, height, width)
        self._image = image
        self.losses = {}
        self._notify(number, scale, 0, image)
        if self._strength > 0:
            self._image = self._optimize(number, scale, content, image)
        if self._strength == 0:
            self._image = content.astype(np.float32)

    def finish(self) -> np.ndarray:
        """What there is, as [H, W, 3] uint8."""
        if self._image is None:
            raise RuntimeError("no scale was worked on")
        return self._finish_image(self._image)

    def _optimize(self, number: int, scale: Scale, content: np.ndarray, image: np.ndarray) -> np.ndarray:
        stride = self._objective.network.stride
        height, width = image.shape[:2]
        padded_content, padded = canvas.pad(content, stride), canvas.pad(image, stride)
        network = self._objective.network
        tile = memory.choose_tile(padded.shape, network, self._settings, len(self._regions))
        guides = None
        if self._regions:
            layers = self._objective.style_layers
            guides = guidance.scale(self._regions, (height, width), padded.shape[:2], network, layers)
        self._step = 0

        def notify(current: np.ndarray) -> bool:
            self._step += 1
            self.iterations += 1
            self.losses = self._evaluated
            return self._notify(number, scale, self._step, current.reshape(padded.shape)[:height, :width])

        if tile is None:
            found = self._optimize_whole(scale, padded_content, padded, guides, notify)
        else:
            found, self.seam_score = tiled_adam.minimize(
                self._objective,
                padded_content,
                padded,
                self._compute_style_targets(self._objective, scale.size),
                lambda: self._compute_weights(scale),
                scale.iterations,
                self._settings.learning_rate,
                tile,
                self._keep,
                notify,
                guides,
            )
        return np.ascontiguousarray(found[:height, :width])

    def _optimize_whole(
        self,
        scale: Scale,
        content: np.ndarray,
        image: np.ndarray,
        guides: guidance.Guides | None,
        notify: optimizers.Notify,
    ) -> np.ndarray:
        is_last = scale is self._settings.scales[-1]
        exact_from = scale.iterations * (1 - _EXACT_SHARE) if is_last and self._precision != "float32" else math.inf

        guided = (guides.tensors, tf.constant(guides.shares)) if guides else ()

        @functools.lru_cache(maxsize=1)  # the other's targets are not needed again
        def compute_targets(exact: bool) -> tuple[Objective, list[tf.Tensor], list[tf.Tensor]]:
            loss = objective.get_objective(self._settings, "float32") if exact else self._objective
            return (
                loss,
                loss.compute_contents(tf.constant(content[np.newaxis].astype(np.float32))),
                self._compute_style_targets(loss, scale.size),
            )

        def evaluate(pixels: np.ndarray) -> tuple[float, np.ndarray]:
            loss, contents, grams = compute_targets(self._step >= exact_from)
            weights = tf.constant(self._compute_weights(scale), tf.float32)
            arguments = (tf.constant(pixels), contents, grams, weights)
            found, gradient = loss.evaluate_guided(*arguments, *guided) if guided else loss.evaluate(*arguments)
            self._keep(Losses(*(float(value) for value in found.numpy())))
            return self._evaluated["total"], gradient.numpy()

        arguments = (evaluate, image[np.newaxis], scale.iterations, notify)
        if self._settings.optimizer == "adam":
            return optimizers.run_adam(*arguments, learning_rate=self._settings.learning_rate)[0]
        return optimizers.run_lbfgs(*arguments, frequency_slope=networks.choose_recipe(self._settings).frequency_slope)[
            0
        ]

    def _keep(self, found: Losses) -> None:
        """Takes note of what was evaluated; it counts once the optimizer has accepted it."""
        if not math.isfinite(found.total):
            raise FloatingPointError(f"{found}: a weight is too large for float32")
        self._evaluated = found._asdict()
        self.losses = self.losses or self._evaluated

    def _compute_weights(self, scale: Scale) -> Weights:
        tv_weight = scale.tv_weight if self._tv_weight is None else self._tv_weight
        own = self._weights if tv_weight is None else self._weights._replace(tv=tv_weight)
        return own.with_strength(self._strength)

    def _notify(self, number: int, scale: Scale, iteration: int, image: np.ndarray) -> bool:
        """Tells the callback; returns whether what it answers changes the total loss."""
        if self._callback is None:
            return False
        done = sum(self._costs[:number]) + self._costs[number] * iteration / scale.iterations
        answer = self._callback(
            Iterate(
                scale=number,
                size=scale.size,
                iteration=iteration,
                iterations=scale.iterations,
                done=done / sum(self._costs),
                losses=self.losses,
                image=functools.partial(self._finish_image, image),
            )
        )
        if answer is None:
            return False
        return self._apply_controls(answer if isinstance(answer, Controls) else Controls(float(answer)))

    def _apply_controls(self, wanted: Controls) -> bool:
        """Takes over what the callback wants; returns whether anything changes."""
        before = (self._strength, self._weights, self._tv_weight)
        if wanted.strength is not None:
            if not 0 <= wanted.strength <= 1:
                raise ValueError(f"the callback returned the strength {wanted.strength}: expected 0..1")
            self._strength = wanted.strength
        for name, weight in (("style weight", wanted.style_weight), ("weight of total variation", wanted.tv_weight)):
            if weight is not None and not 0 <= weight < math.inf:
                raise ValueError(f"the callback returned the {name} {weight}: expected a number of at least 0")
        if wanted.style_weight is not None:
            self._weights = self._weights._replace(style=wanted.style_weight)
        if wanted.tv_weight is not None:
            self._tv_weight = wanted.tv_weight
        return before != (self._strength, self._weights, self._tv_weight)

    def _finish_image(self, image: np.ndarray) -> np.ndarray:
        pixels = np.clip(image, 0, 255)
        pixels = np.rint(pixels, out=pixels).astype(np.uint8)
        if self._settings.colors == "luminance" and self._strength > 0:
            pixels = colors.keep_content_colors(pixels, self._resize_content(pixels))
        return guidance.cover(pixels, self._resize_content(pixels), self._regions) if self._regions else pixels

    def _resize_content(self, pixels: np.ndarray) -> np.ndarray:
        return canvas.resize(self._content, *pixels.shape[:2])

    def _make_start(self, content: np.ndarray) -> np.ndarray:
        if self._start is not None:
            return canvas.resize(self._start, *content.shape[:2]).astype(np.float32)
        if self._settings.start == "noise":
            return np.random.default_rng(self._settings.seed).uniform(0, 255, content.shape).astype(np.float32)
        return content.astype(np.float32)

    def _compute_style_targets(self, loss: Objective, size: int) -> list[tf.Tensor]:
        """Gram matrices of the blend, [1, C, C] by style layer; with regions, those of each: [R, C, C]."""
        blends = [region.styles for region in self._regions] or [self._styles]
        return [
            tf.concat(layer, 0) for layer in zip(*(self._blend(loss, blend, size) for blend in blends), strict=True)
        ]

    def _blend(self, loss: Objective, styles: Sequence[tuple[np.ndarray, float]], size: int) -> list[tf.Tensor]:
        """The mean of the styles' matrices, since a weighted sum of squared distances is least at the mean."""
        total = sum(weight for _, weight in styles)
        blend: list[tf.Tensor] = []
        for style, weight in styles:
            grams = loss.compute_style_targets(
                style, max(checks.MIN_STYLE_SIDE, round(size * self._settings.style_scale))
            )
            part = [gram * (weight / total) for gram in grams]
            blend = [have + more for have, more in zip(blend, part, strict=True)] if blend else part
        return blend
