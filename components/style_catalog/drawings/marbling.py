"""Marbled paper: veins of floating ink, combed and curled."""

import numpy as np
from PIL import Image

from components.style_catalog.drawings.brush import make_grid, make_noise, parse_palette, to_bytes


def draw(rng: np.random.Generator) -> Image.Image:
    """Draws it: the same image for the same state of `rng`."""
    x, y = make_grid()
    for frequency, strength in ((2, 0.10), (4, 0.055), (9, 0.02)):
        x = x + strength * make_noise(rng, frequency)
        y = y + strength * make_noise(rng, frequency)
    for _ in range(14):  # curls
        cx, cy, radius, turn = *rng.uniform(-0.1, 1.1, 2), rng.uniform(0.05, 0.15), rng.choice([-1, 1])
        turn = turn * 3.6 * np.exp(-((np.hypot(x - cx, y - cy) / radius) ** 2))
        across, down = x - cx, y - cy
        x = cx + across * np.cos(turn) - down * np.sin(turn)
        y = cy + across * np.sin(turn) + down * np.cos(turn)
    vein = (y + 0.03 * np.abs((x * 7) % 2 - 1)) * 15 + 0.6 * np.sin(7 * x)
    colors = parse_palette("173a5e 2d7f9d f3ead6 d9a441 b8402f f3ead6 6d2440 1f5f5b")
    step = np.floor(vein).astype(int)
    inside = vein - step
    base = colors[step % len(colors)]
    other = colors[(step + 3) % len(colors)]
    thread = (np.abs(inside - 0.55 - 0.15 * make_noise(rng, 22)) < 0.085)[..., None]
    rim = np.clip(np.minimum(inside, 1 - inside) / 0.06, 0, 1)[..., None]
    shaded = np.where(thread, other, base) * (0.80 + 0.20 * rim) * (1 + 0.035 * make_noise(rng, 130)[..., None])
    return Image.fromarray(to_bytes(shaded))
