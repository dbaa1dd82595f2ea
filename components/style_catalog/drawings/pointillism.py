"""A river bank in the evening, in dots of pure color with their complements between them."""

import numpy as np
from PIL import Image, ImageDraw

from components.style_catalog.drawings.brush import (
    INK,
    SIZE,
    blend,
    make_grid,
    make_noise,
    parse_palette,
    to_bytes,
)


def draw(rng: np.random.Generator) -> Image.Image:
    """Draws it: the same image for the same state of `rng`."""
    x, y = make_grid()
    sky = blend(parse_palette("5b7fc4 8fa9d8 e9b7b0 f7cf7b fbe6a2"), np.clip(y / 0.42, 0, 1))
    glint = np.exp(-(((x - 0.62) / 0.10) ** 2)) * (0.55 + 0.45 * np.sin(y * 130 + 4 * np.sin(x * 9)))
    water = blend(parse_palette("f3c27a 6aa7b8 2c6f9c 23497f"), np.clip((y - 0.42) / 0.36 - 0.45 * glint + 0.1, 0, 1))
    meadow = blend(
        parse_palette("d9c64a 8fb43c 3f8a4a 1f5a4a"), np.clip((y - 0.70) / 0.3 + 0.22 * make_noise(rng, 9), 0, 1)
    )
    scene = np.where((y < 0.42)[..., None], sky, water)
    scene[np.hypot(x - 0.62, y - 0.34) < 0.07] = (255, 214, 92)
    scene = np.where((y > 0.74 + 0.05 * np.sin(5 * x + 1))[..., None], meadow, scene)
    for cx, cy, radius in ((0.10, 0.28, 0.17), (0.27, 0.36, 0.11), (0.93, 0.36, 0.10), (0.20, 0.20, 0.12)):
        crown = np.hypot(x - cx, (y - cy) * 0.85) + 0.02 * make_noise(rng, 14) < radius
        leaf = blend(
            parse_palette("1d4f4f 2f7d4f 8fb240 e0b84a"), np.clip(0.5 + (x - cx - y + cy) / radius * 0.45, 0, 1)
        )
        scene = np.where(crown[..., None], leaf, scene)
    trunk = (np.abs(x - 0.16 - 0.02 * np.sin(9 * y)) < 0.013 + 0.012 * np.abs(y - 0.5)) & (y > 0.36) & (y < 0.84)
    scene[trunk & (y > 0.41)] = (92, 52, 74)
    image = Image.fromarray(to_bytes(scene * 0.55 + 110)).resize((SIZE * INK, SIZE * INK))
    pen = ImageDraw.Draw(image)
    for radius, count in ((6.5, 9000), (4.5, 14000)):
        centers = rng.uniform(0, SIZE, (count, 2))
        radii = rng.uniform(0.75, 1.2, count) * radius
        seen = scene[centers[:, 1].astype(int), centers[:, 0].astype(int)]
        dots = seen + rng.normal(0, 20, (count, 3))
        gray = dots.mean(axis=1, keepdims=True)
        dots = gray + (dots - gray) * 1.35
        # Between them the complement, as bright as its neighbors and as pure: not the gray that mixing would give.
        complement = rng.random(count) < 0.13
        dots[complement] = np.clip(gray + (gray - seen) * 1.1 + (12, -8, 12), 40, 255)[complement]
        for (cx, cy), r, dot in zip(centers * INK, radii * INK, to_bytes(dots).tolist(), strict=True):
            pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=tuple(dot))
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
