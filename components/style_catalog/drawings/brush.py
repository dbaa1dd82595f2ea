"""What the drawings share: grids, noise, palettes, strokes and cells."""

import numpy as np
from PIL import Image, ImageDraw

SIZE = 768
"""Height and width of each drawing in pixels."""
INK = 2
"""Pillow draws without antialiasing: strokes are drawn this many times larger."""


def draw_strokes(
    rng: np.random.Generator,
    image: Image.Image,
    angle: np.ndarray,
    colors: np.ndarray,
    tone: np.ndarray,
    width: int,
    length: int,
    count: int,
) -> None:
    """Draws strokes that follow `angle` (radians, [SIZE, SIZE]), each of three bristles of slightly different shade."""
    pen = ImageDraw.Draw(image)
    steps = 8
    points = np.empty((count, steps, 2))
    points[:, 0] = rng.uniform(0, SIZE, (count, 2))
    for step in range(1, steps):
        column, row = np.clip(points[:, step - 1].astype(int), 0, SIZE - 1).T
        heading = angle[row, column]
        points[:, step] = points[:, step - 1] + length / steps * np.stack([np.cos(heading), np.sin(heading)], -1)
    column, row = np.clip(points[:, steps // 2].astype(int), 0, SIZE - 1).T
    shades = np.clip(tone[row, column] + rng.normal(0, 0.09, count), 0, 1)
    heading = angle[row, column]
    aside = np.stack([-np.sin(heading), np.cos(heading)], -1)[:, None] * width / 3
    for offset, brightness in ((-1, 0.88), (1, 1.04), (0, 1.12)):
        lines = ((points + offset * aside) * INK).reshape(count, -1)
        fills = to_bytes(blend(colors, shades) * brightness)
        for line, fill in zip(lines.tolist(), fills.tolist(), strict=True):
            pen.line(line, fill=tuple(fill), width=round(width * INK * 0.45), joint="curve")


def find_cells(rng: np.random.Generator, count: int, jitter: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voronoi cells of a jittered grid: distance to the nearest and second nearest seed, and the nearest's number."""
    x, y = make_grid()
    seeds = (np.stack(np.meshgrid(np.arange(-2, count + 2), np.arange(-2, count + 2)), -1) + 0.5) / count
    seeds = seeds + rng.uniform(-0.5, 0.5, seeds.shape) * jitter / count
    column, row = (x * count).astype(int) + 2, (y * count).astype(int) + 2
    first, second = np.full_like(x, np.inf), np.full_like(x, np.inf)
    nearest = np.zeros(x.shape, int)
    for down in (-2, -1, 0, 1, 2):
        for right in (-2, -1, 0, 1, 2):
            seed = seeds[row + down, column + right]
            distance = np.hypot(x - seed[..., 0], y - seed[..., 1])
            closer = distance < first
            second = np.where(closer, first, np.minimum(second, distance))
            first = np.where(closer, distance, first)
            nearest = np.where(closer, (row + down) * (count + 4) + column + right, nearest)
    return first, second, nearest


def make_grid() -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of all pixels, from 0 to 1."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    return x, y


def make_noise(rng: np.random.Generator, columns: int, rows: int | None = None) -> np.ndarray:
    """Smooth noise of about unit range, with so many bumps across and down."""
    coarse = rng.uniform(-1, 1, (rows or columns, columns)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float64)


def find_window(center: float, half: float) -> slice:
    """Returns the pixels from `center - half` to `center + half`, shares of a side, as far as the image has them."""
    return slice(max(0, int((center - half) * SIZE)), max(0, min(SIZE, int((center + half) * SIZE) + 2)))


def parse_palette(colors: str) -> np.ndarray:
    """[N, 3] float64, 0-255, from hexadecimal colors."""
    return np.array([list(bytes.fromhex(color)) for color in colors.split()], np.float64)


def blend(palette: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Colors between those of the palette: `tone` runs from 0 (the first) to 1 (the last)."""
    place = np.clip(tone, 0, 1) * (len(palette) - 1)
    low = np.minimum(place.astype(int), len(palette) - 2)
    share = (place - low)[..., None]
    return palette[low] * (1 - share) + palette[low + 1] * share


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Rounds and cuts to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def to_rgb(color: np.ndarray) -> tuple[int, ...]:
    """Rounds a color [3] for Pillow."""
    return tuple(to_bytes(color).tolist())
