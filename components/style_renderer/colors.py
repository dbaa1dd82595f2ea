"""Keeping the content's colours.

Gatys, Bethge, Hertzmann and Shechtman 2016, "Preserving color in neural artistic style transfer" (arXiv:1606.05897).
"""

import numpy as np
from PIL import Image

_REGULARISER = 1e-3
"""Added to the variances, in squared units of 0..255: a picture of one colour has none to divide by."""


def with_brightness_of(rendering: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The content's colours with the rendering's brightness (section 4): both [H, W, 3] uint8, so is the result.

    Rec. 601 luma and chroma, as in JPEG.
    """
    brightness = Image.fromarray(rendering).convert("YCbCr").getchannel("Y")
    _, blue, red = Image.fromarray(content).convert("YCbCr").split()
    return np.asarray(Image.merge("YCbCr", (brightness, blue, red)).convert("RGB"))


def matched(style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The style recoloured: mean and covariance of its pixels become the content's (section 3, "Image Analogies").

    The square roots of the covariances are symmetric, which the authors found to distort colours least.

    Args:
      style: [h, w, 3] uint8.
      content: [H, W, 3] uint8.

    Returns:
      [h, w, 3] float32, cut to 0..255.
    """
    have, want = (picture.reshape(-1, 3).astype(np.float64) for picture in (style, content))
    root_have, root_want = (_symmetric_root(np.cov(pixels.T) + _REGULARISER * np.eye(3)) for pixels in (have, want))
    recoloured = (have - have.mean(0)) @ (root_want @ np.linalg.inv(root_have)).T + want.mean(0)
    return np.clip(recoloured, 0, 255).astype(np.float32).reshape(style.shape)


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T
