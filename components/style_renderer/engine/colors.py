"""Keeping the content's colors.

Gatys, Bethge, Hertzmann and Shechtman 2016, "Preserving color in neural artistic style transfer" (arXiv:1606.05897).
"""

import numpy as np
from PIL import Image

_REGULARIZER = 1e-3
"""Added to the variances, in squared units of 0..255: an image of one color has none to divide by."""


def keep_content_colors(rendering: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The content's colors with the rendering's brightness (section 4): both [H, W, 3] uint8, so is the result.

    Rec. 601 luma and chroma, as in JPEG.
    """
    brightness = Image.fromarray(rendering).convert("YCbCr").getchannel("Y")
    _, blue, red = Image.fromarray(content).convert("YCbCr").split()
    return np.asarray(Image.merge("YCbCr", (brightness, blue, red)).convert("RGB"))


def match_colors(style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The style recolored: mean and covariance of its pixels become the content's (section 3, "Image Analogies").

    The square roots of the covariances are symmetric, which the authors found to distort colors least.

    Args:
      style: [h, w, 3] uint8.
      content: [H, W, 3] uint8.

    Returns:
      [h, w, 3] float32, cut to 0..255.
    """
    (have, root_have), (want, root_want) = _compute_mean_and_root(style), _compute_mean_and_root(content)
    transform = (root_want @ np.linalg.inv(root_have)).T
    recolored = (style - have.astype(np.float32)) @ transform.astype(np.float32)
    recolored += want.astype(np.float32)
    return np.clip(recolored, 0, 255, out=recolored)


def _compute_mean_and_root(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [3] of the pixels and symmetric root [3, 3] of their covariance."""
    mean = image.mean(axis=(0, 1), dtype=np.float64)
    # Row by row: an image may be large, and as float64 it is eight times that.
    scatter = sum((row - mean).T @ (row - mean) for row in image)
    # One pixel alone has no spread: only its color is matched.
    covariance = scatter / max(image.shape[0] * image.shape[1] - 1, 1) + _REGULARIZER * np.eye(3)
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors @ np.diag(np.sqrt(values)) @ vectors.T
