"""Images made up from a seed: blobs of color, so that networks see more than static."""

import numpy as np
from PIL import Image


def make_image(seed, height, width, low=0, high=256, grain=8):
    """[height, width, 3] uint8; blobs of some `grain` pixels, colors of low..high - 1."""
    random = np.random.default_rng(seed)
    coarse = random.integers(low, high, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def make_batch(seed, height, width):
    """The same as [1, height, width, 3] float32."""
    return make_image(seed, height, width)[np.newaxis].astype(np.float32)
