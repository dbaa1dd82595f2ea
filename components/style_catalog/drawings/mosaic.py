"""A Byzantine pavement: rings of hand-set tesserae around a rosette, in gold, crimson, green and blue."""

import numpy as np
from PIL import Image, ImageDraw

from components.style_catalog.drawings.brush import INK, SIZE, make_noise, parse_palette, to_bytes, to_rgb


def draw(rng: np.random.Generator) -> Image.Image:
    """Draws it: the same image for the same state of `rng`."""
    scale = SIZE * INK
    image = Image.new("RGB", (scale, scale), (206, 194, 172))
    pen = ImageDraw.Draw(image)
    gold, cream, crimson, rust, green, teal, blue, night = parse_palette(
        "dba520 f2e2b6 a81e2d c9622b 4d8a4f 2b8c8c 2257a5 16284f"
    )
    side = 15 * INK
    for ring in range(1, 40):
        radius = ring * side
        count = max(6, round(2 * np.pi * radius / side))
        for step in range(count):
            turn = 2 * np.pi * (step + 0.5 * (ring % 2)) / count
            wave = ring + 3.2 * np.cos(8 * turn) * np.clip(ring / 9, 0, 1)
            band = int(wave // 2.6) % 8
            color = (gold, crimson, cream, blue, teal, night, rust, green)[band]
            if wave % 2.6 < 0.55:
                color = (night, gold, rust, cream, gold, cream, night, gold)[band]
            middle = scale / 2 + radius * np.array([np.cos(turn), np.sin(turn)]) + rng.normal(0, 1.1, 2)
            along = np.array([-np.sin(turn), np.cos(turn)]) * (side * rng.uniform(0.40, 0.46))
            across = np.array([np.cos(turn), np.sin(turn)]) * (side * rng.uniform(0.40, 0.46))
            corners = [middle + a * along + b * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            shown = color * rng.uniform(0.80, 1.10) + rng.normal(0, 7, 3)
            pen.polygon([tuple(c + rng.normal(0, 1.2, 2)) for c in corners], fill=to_rgb(shown))
            glint = [corners[0], corners[1], (corners[0] + corners[1]) / 2 * 0.8 + middle * 0.2]
            pen.polygon([tuple(c) for c in glint], fill=to_rgb(shown * 1.14 + 8))
    worn = 1 + 0.05 * make_noise(rng, 60)[..., None]
    return Image.fromarray(to_bytes(np.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)) * worn))
