"""A night sky of brush strokes that follow eddies, in blues and yellows."""

import numpy as np
from PIL import Image

from components.style_catalog.drawings.brush import (
    INK,
    SIZE,
    blend,
    draw_strokes,
    make_grid,
    make_noise,
    parse_palette,
    to_bytes,
)


def draw(rng: np.random.Generator) -> Image.Image:
    """Draws it: the same image for the same state of `rng`."""
    x, y = make_grid()
    eddies = [(0.30, 0.36, 0.21, 1), (0.70, 0.24, 0.15, -1), (0.66, 0.66, 0.23, 1), (0.14, 0.80, 0.14, -1)]
    u, v = np.ones_like(x) * 0.35, 0.30 * np.sin(6 * x + 2)
    glow = np.zeros_like(x)
    for cx, cy, radius, sense in eddies:
        distance = np.hypot(x - cx, y - cy)
        pull = np.exp(-((distance / radius) ** 2)) * 4
        u += sense * pull * (cy - y) / radius
        v += sense * pull * (x - cx) / radius
        rings = 0.72 + 0.28 * np.cos(distance / radius * 11)
        glow = np.maximum(glow, np.exp(-((distance / radius / 0.95) ** 2)) * rings)
    tone = np.clip(glow + 0.16 * make_noise(rng, 6) + 0.05, 0, 1)
    colors = parse_palette("0c1a4b 163a86 2f66b4 6aa6cf b9d8cf f3e6a0 f6c531 ef9a1f")
    image = Image.fromarray(to_bytes(blend(colors, tone * 0.6))).resize((SIZE * INK, SIZE * INK))
    for width, length, count in ((22, 80, 1500), (12, 60, 4200), (6, 44, 5200)):
        draw_strokes(rng, image, np.arctan2(v, u), colors, tone, width, length, count)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
