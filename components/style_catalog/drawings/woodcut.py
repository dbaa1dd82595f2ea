"""Hills, a red sun and water cut into wood: swelling lines of ink over flat colors."""

import numpy as np
from PIL import Image

from components.style_catalog.drawings.brush import make_grid, make_noise, parse_palette, to_bytes


def draw(rng: np.random.Generator) -> Image.Image:
    """Draws it: the same image for the same state of `rng`."""
    x, y = make_grid()
    warp = 0.012 * make_noise(rng, 5) + 0.004 * make_noise(rng, 16)
    sky, pale, sun, ochre, green, sea = parse_palette("f2e3c2 e9c98f d1402a d99a3d 6f8f5b 3f7f93")
    ink = np.array([28.0, 26.0, 40.0])
    color = sky + (pale - sky) * np.clip((y - 0.1) / 0.4, 0, 1)[..., None]
    disc = np.hypot(x - 0.64, y - 0.27)
    rays = np.sin(np.arctan2(y - 0.27, x - 0.64) * 36 + 60 * warp)
    line = rays - 1.25 + 1.1 * np.clip((disc - 0.16) / 0.5, 0, 1)
    inside = disc < 0.15
    color[inside] = sun
    line = np.where(inside, np.sin((y + warp) * 210) - 0.95 + 2.2 * np.clip(y - 0.27, 0, 1), line)
    ridges = [(0.47, 0.07, 4.2, ochre), (0.58, 0.06, 5.5, green), (0.68, 0.05, 3.7, ochre), (0.78, 0.03, 6.5, sea)]
    for number, (base, height, waves, fill) in enumerate(ridges):
        top = base + height * np.sin(waves * x * 2 + number * 1.9) + 0.5 * height * np.sin(waves * 5 * x + number) * 0.4
        below = y > top
        depth = y - top
        color[below] = fill
        if number < 3:
            cut = np.sin((depth + 0.55 * (number % 2 - 0.4) * x + warp * 2) * 235) - 0.62 + 5.5 * depth
        else:
            cut = np.sin((depth + 0.008 * np.sin(26 * x + 40 * depth) + warp) * 190) - 0.35 + 2.0 * depth
        line = np.where(below, np.where(np.abs(depth) < 0.0062, 2.0, cut), line)
    worn = line + 0.35 * make_noise(rng, 110) * (np.abs(line) < 0.6)
    black = np.clip(worn * 2.2 + 0.5, 0, 1)[..., None]
    grain = 1 + 0.04 * make_noise(rng, 90, 8)[..., None]
    return Image.fromarray(to_bytes((color * (1 - black) + ink * black) * grain))
