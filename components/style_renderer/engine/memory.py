"""What a rendering takes: memory, by which it is worked on in one piece or in tiles, and time."""

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.style_renderer.engine import canvas, networks, objective, optimizers
from components.style_renderer.engine.networks import FeatureNetwork
from components.style_renderer.engine.objective import Objective
from components.style_renderer.engine.settings import Settings

_MB = 2**20
_PROCESS = 900 * _MB
"""Python, TensorFlow, the network."""
_PASSES = 2.5
"""Bytes that a gradient keeps, by those of the activations: some are there twice, with their own gradient."""
_LBFGS = 8 * 32
"""Bytes by unknown: SciPy keeps 2 x 10 corrections, and it and we work on some twelve vectors, all float64."""
_TILED = 4 * 4
"""Bytes by value of the image: the image, its gradient and Adam's two moments, in files that count when touched."""
_MIN_TILE, _MAX_TILE = 128, 1024


@dataclass(frozen=True)
class Estimate:
    """What to expect."""

    memory_mb: int
    """Resident at the peak."""
    seconds: float
    tiles: int
    """At the last scale; 1: in one piece."""
    disk_mb: int
    """In files, while it works in tiles."""


def estimate(shape: Sequence[int], settings: Settings, regions: int = 0) -> Estimate:
    """Measures a few small steps and scales them up.

    Args:
      shape: of the content image, [H, W, ...].
      settings: of the rendering.
      regions: number of masks.
    """
    loss = objective.get_objective(settings, settings.precision)
    per_pixel = _measure_seconds_per_pixel(loss)
    floats = _count_floats(loss.network, settings, regions)
    seconds, tiles, memory, disk = 0.0, 1, 0.0, 0.0
    for scale in settings.scales:
        height, width = canvas.compute_sides(shape, scale.size)
        side = choose_tile((height, width, 3), loss.network, settings, regions)
        cost = height * width * per_pixel
        tiles = 1
        if side is None:
            memory = max(memory, _estimate_whole(height * width, floats))
        else:
            tiles = math.ceil(height / side) * math.ceil(width / side)
            read = (1 + 2 * loss.network.radius / side) ** 2
            cost *= 1.5 * read  # the Gram matrices first: one more pass forward
            memory = max(memory, _estimate_tiled(height * width, side, loss.network, floats))
            disk = height * width * _count_file_bytes(loss.network, settings, regions)
        seconds += scale.iterations * cost
    return Estimate(round(memory / _MB), seconds, tiles, round(disk / _MB))


def choose_tile(shape: Sequence[int], network: FeatureNetwork, settings: Settings, regions: int = 0) -> int | None:
    """Side of the tiles that keep an image [H, W, 3] within `settings.memory_mb`; None: it fits in one piece."""
    floats = _count_floats(network, settings, regions)
    pixels = shape[0] * shape[1]
    budget = settings.memory_mb * _MB
    if _estimate_whole(pixels, floats) <= budget:
        return None
    side = _MAX_TILE
    while side > _MIN_TILE and _estimate_tiled(pixels, side, network, floats) > budget:
        side -= network.stride
    return side


def _count_floats(network: FeatureNetwork, settings: Settings, regions: int) -> float:
    """Activations by pixel; each region has the style layers once more, masked."""
    layers = networks.choose_recipe(settings).style_layers if regions else ()
    return network.floats_per_pixel + regions * sum(network.channels[n] / network.strides[n] ** 2 for n in layers)


def _count_file_bytes(network: FeatureNetwork, settings: Settings, regions: int) -> float:
    """By pixel: image, gradient and moments, the content's features, and the masks."""
    recipe = networks.choose_recipe(settings)
    features = sum(network.channels[name] / network.strides[name] ** 2 for name in recipe.content_layers)
    masks = regions * sum(1 / network.strides[name] ** 2 for name in recipe.style_layers)
    return 3 * _TILED + 4 * (features + masks)


def _estimate_whole(pixels: int, floats: float) -> float:
    return _PROCESS + pixels * (4 * _PASSES * floats + 3 * _LBFGS)


def _estimate_tiled(pixels: int, side: int, network: FeatureNetwork, floats: float) -> float:
    read = (side + 2 * network.radius) ** 2
    return _PROCESS + read * 4 * _PASSES * floats + pixels * 3 * _TILED


@functools.lru_cache(maxsize=4)
def _measure_seconds_per_pixel(loss: Objective) -> float:
    """Of an iteration: passes through the network, and the optimizer's own work."""
    side, iterations = 256, 5
    image = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    targets = loss.compute_contents(tf.constant(image)), loss.compute_grams(tf.constant(image[:, ::-1]))
    weights = tf.constant([1.0, 1.0, 1.0])

    def evaluate(pixels: np.ndarray) -> tuple[float, np.ndarray]:
        found, gradient = loss.evaluate(tf.constant(pixels), *targets, weights)
        return float(found[0]), gradient.numpy()

    evaluate(image)  # traces
    began = time.perf_counter()
    optimizers.run_lbfgs(evaluate, image, iterations, lambda _: False)
    return (time.perf_counter() - began) / iterations / side**2
