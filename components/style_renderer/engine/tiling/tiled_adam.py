"""Adam over an image that lies in files, with the gradient of `tiles.TiledObjective`."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from atelier.files import mapped
from compat import freed_memory
from components.style_renderer.engine.guidance import Guides
from components.style_renderer.engine.objective import Losses, Objective, Weights
from components.style_renderer.engine.optimizers import Notify
from components.style_renderer.engine.tiling import tiles

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
_STRIP = 256
"""Rows that are updated at a time."""


def minimize(
    objective: Objective,
    content: np.ndarray,
    image: np.ndarray,
    grams: Sequence[tf.Tensor],
    weights: Callable[[], Weights],
    iterations: int,
    learning_rate: float,
    tile: int,
    keep: Callable[[Losses], None],
    notify: Notify,
    guides: Guides | None = None,
) -> tuple[np.ndarray, float]:
    """Adam (Kingma and Ba 2015, algorithm 1), the image cut to 0..255 after each step.

    L-BFGS would keep twenty more images of float64.

    Args:
      objective: whose network, layers and layer weights are used.
      content: [H, W, 3] of 0..255, sides multiples of the network's stride.
      image: [H, W, 3] float32 of 0..255, where to start.
      grams: the style's.
      weights: asked before each step.
      iterations: steps.
      learning_rate: in units of 0..255.
      tile: side of the tiles.
      keep: given the losses of each step.
      notify: given the image after each step.
      guides: of regions; None: the style goes everywhere.

    Returns:
      The image [H, W, 3] float32, and its seam score.
    """
    freed_memory.give_back()  # what coarser scales, in one piece, have left
    height, width = image.shape[:2]
    tiled = tiles.TiledObjective(objective, height, width, tile, guides)
    tiled.set_content(content)

    current, gradient, mean, square = (mapped.create(image.shape) for _ in range(4))
    current[:] = image
    steps = 0
    for _ in range(iterations):
        steps += 1
        keep(tiled.evaluate(current, grams, weights(), gradient))
        for top in range(0, height, _STRIP):
            rows = slice(top, top + _STRIP)
            step(current[rows], gradient[rows], mean[rows], square[rows], steps, learning_rate)
            freed_memory.unmap(current, gradient, mean, square)
        if notify(current):
            mean[:], square[:], steps = 0, 0, 0
    return np.array(current), tiles.measure_seams(current, tile)


def step(
    image: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    number: int,
    learning_rate: float,
) -> None:
    """Takes step `number` (from 1), in place; all arrays have the image's shape."""
    mean *= _BETA_1
    mean += (1 - _BETA_1) * gradient
    square *= _BETA_2
    square += (1 - _BETA_2) * np.square(gradient)
    rate = learning_rate * np.sqrt(1 - _BETA_2**number) / (1 - _BETA_1**number)
    image -= rate * mean / (np.sqrt(square) + _EPSILON)
    np.clip(image, 0, 255, out=image)
