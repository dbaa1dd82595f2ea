"""What `render` takes."""

from collections.abc import Sequence

import numpy as np

MIN_STYLE_SIDE = 32
"""Pixels."""


def check_images(content: np.ndarray, styles: Sequence[tuple[np.ndarray, float]], start: np.ndarray | None) -> None:
    """Raises ValueError unless all are images, and the weights of a blend.

    Args:
      content: [H, W, 3] uint8.
      styles: images [h, w, 3] uint8, and their weights.
      start: [H, W, 3] uint8, or None.
    """
    images = {"content": content, **{f"style {n}": style for n, (style, _) in enumerate(styles)}}
    if start is not None:
        images["start"] = start
    for name, image in images.items():
        if image.ndim != 3 or image.shape[2] != 3 or not image.size or image.dtype != np.uint8:
            raise ValueError(f"{name} is {image.dtype} of shape {image.shape}: expected uint8 [H, W, 3]")
        if name.startswith("style") and min(image.shape[:2]) < MIN_STYLE_SIDE:
            raise ValueError(f"{name} is {image.shape[1]} x {image.shape[0]} pixels: a side is below {MIN_STYLE_SIDE}")
    weights = [weight for _, weight in styles]
    if min(weights, default=0) < 0 or not 0 < sum(weights) < float("inf"):
        raise ValueError(f"the styles' weights are {weights}: expected at least one above 0 and none below")


def check_masks(masks: Sequence[np.ndarray], styles: int) -> None:
    """Raises ValueError unless there is a mask [h, w] uint8 for each style, or none."""
    if masks and len(masks) != styles:
        raise ValueError(f"there are {len(masks)} masks for {styles} styles: expected one for each, or none")
    for number, mask in enumerate(masks):
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise ValueError(f"mask {number} is {mask.dtype} of shape {mask.shape}: expected uint8 [h, w]")
        if not mask.any():
            raise ValueError(f"mask {number} is 0 everywhere: its style goes nowhere")
