"""Wet washes over white paper: blooms that run into each other, dark at their dried edges."""

import numpy as np
from PIL import Image

from components.style_catalog.drawings.brush import (
    SIZE,
    blend,
    find_window,
    make_grid,
    make_noise,
    parse_palette,
    to_bytes,
)


def draw(rng: np.random.Generator) -> Image.Image:
    """Draws it: the same image for the same state of `rng`."""
    paper = 1 + 0.025 * make_noise(rng, 190) + 0.015 * make_noise(rng, 90)
    canvas = np.ones((SIZE, SIZE, 3)) * np.array([0.985, 0.97, 0.935])
    colors = parse_palette("2a6fa8 4fb3a9 86b049 f0c24b ee8a5b d4567a 7a5ba6") / 255
    x, y = make_grid()
    hue = np.clip(0.5 * x + 0.4 * y + 0.12 * make_noise(rng, 4) + 0.06, 0, 1)
    canvas *= 1 - 0.36 * np.clip(0.55 + 0.6 * make_noise(rng, 6), 0, 1)[..., None] * (1 - blend(colors, hue))
    for number, place in enumerate(rng.permutation(100)):
        cx, cy = (np.array([place % 10, place // 10]) + rng.uniform(-0.2, 1.2, 2)) / 10
        radius = rng.uniform(0.07, 0.19) * (1 - number / 140)
        rows, columns = (find_window(center, radius * 1.7) for center in (cy, cx))
        runs = 0.34 * make_noise(rng, 7)[rows, columns] + 0.14 * make_noise(rng, 26)[rows, columns]
        flow = 1 - np.hypot(x[rows, columns] - cx, (y[rows, columns] - cy) * rng.uniform(0.8, 1.3)) / radius + runs
        wash = np.clip(flow / 0.05, 0, 1)
        rim = np.exp(-(((flow - 0.05) / 0.045) ** 2))
        pigment = wash * (0.26 + 0.16 * np.clip(flow, 0, 1)) + 0.30 * rim
        pigment = pigment * (1 + 4.5 * (paper[rows, columns] - 1))
        across = (0.55 * cx + 0.45 * cy + rng.normal(0, 0.16)) % 1.0
        tint = colors[int(across * len(colors))]
        canvas[rows, columns] *= 1 - np.clip(pigment, 0, 1)[..., None] * (1 - tint)
    for _ in range(240):  # splashes
        cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.gamma(2, 0.0028)
        rows, columns = (find_window(center, radius * 1.5) for center in (cy, cx))
        drop = np.clip((radius - np.hypot(x[rows, columns] - cx, y[rows, columns] - cy)) / 0.002, 0, 1)
        canvas[rows, columns] *= 1 - 0.5 * drop[..., None] * (1 - colors[rng.integers(len(colors))])
    return Image.fromarray(to_bytes(canvas * paper[..., None] * 255))
