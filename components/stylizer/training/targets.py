"""What a network is trained towards: the Gram matrices of styles."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keras import ops

from components.style_renderer.engine import canvas, losses, networks
from components.style_renderer.engine.networks import FeatureNetwork
from components.style_renderer.engine.settings import Settings


def compute(
    recipe: networks.Recipe, styles: Sequence[np.ndarray], size: int, cache: Path | None = None
) -> list[np.ndarray]:
    """Gram matrices [S, C, C], by style layer, as `engine.objective.Objective.compute_style_targets` computes them.

    Args:
      recipe: the optimizer's.
      styles: images [H, W, 3] uint8.
      size: longer side in pixels at which they are looked at.
      cache: file that holds them between two trainings of the same styles.
    """
    digest = hashlib.sha256(repr((recipe, size)).encode())
    for style in styles:
        digest.update(repr(style.shape).encode() + style.tobytes())
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as kept:
            if str(kept["digest"]) == digest.hexdigest():
                return [kept[name] for name in recipe.style_layers]
    features = networks.build(Settings())  # in float32, whatever the training computes in
    grams = [_compute_grams(features, recipe, style, size) for style in styles]
    targets = {name: np.stack([gram[name] for gram in grams]) for name in recipe.style_layers}
    if cache is not None:
        write(cache, digest=np.array(digest.hexdigest()), **targets)
    return list(targets.values())


def _compute_grams(
    features: FeatureNetwork, recipe: networks.Recipe, style: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    height, width = canvas.compute_sides(style.shape, min(size, max(style.shape[:2])))
    pixels = canvas.crop(canvas.resize(style, height, width), features.stride).astype(np.float32)
    found = features.model.predict_on_batch(pixels[np.newaxis])
    return {name: ops.convert_to_numpy(losses.gram(found[name]))[0] for name in recipe.style_layers}


def write(file: Path, **arrays: np.ndarray) -> None:
    """Writes or replaces a file whole: a kill leaves the old one."""
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
