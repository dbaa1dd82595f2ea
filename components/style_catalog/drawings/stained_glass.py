"""A rose window: panes of saturated glass in dark leading, warm in the middle and blue at the edge."""

import numpy as np
from PIL import Image

from components.style_catalog.drawings.brush import find_cells, make_grid, make_noise, parse_palette, to_bytes


def draw(rng: np.random.Generator) -> Image.Image:
    """Draws it: the same image for the same state of `rng`."""
    x, y = make_grid()
    radius, turn = np.hypot(x - 0.5, y - 0.5), np.arctan2(y - 0.5, x - 0.5)
    first, second, pane = find_cells(rng, 17, 0.85)
    petal = radius + 0.055 * np.cos(8 * turn)
    mean = np.bincount(pane.ravel(), petal.ravel()) / np.maximum(1, np.bincount(pane.ravel()))
    spread = rng.normal(0, 0.035, mean.size)
    colors = parse_palette("fff0b0 f9b516 e8651a c2161e 7d1a66 1e3fae 127ea8 0f7a4d 123a86 0b2a6b")
    chosen = colors[np.clip((mean + spread) / 0.72 * len(colors), 0, len(colors) - 1).astype(int)]
    shade = rng.uniform(0.82, 1.12, mean.size)[pane] + 0.10 * make_noise(rng, 24) + 0.07 * make_noise(rng, 70)
    # Light falls through the middle of a pane more than through its rim.
    edge = second - first
    light = shade * (0.86 + 0.2 * np.clip(edge / 0.03, 0, 1))
    glass = chosen[pane] * light[..., None] + 26 * np.clip(light - 1, 0, 1)[..., None]
    lead = np.clip((edge - 0.0055) / 0.0022, 0, 1)[..., None]
    relief = 24 + 26 * np.clip(1 - edge / 0.004, 0, 1)[..., None] * np.array([1.0, 1.0, 1.15])
    return Image.fromarray(to_bytes(glass * lead + relief * (1 - lead)))
