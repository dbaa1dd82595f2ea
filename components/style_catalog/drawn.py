"""Style pictures drawn by programme: strokes, glass, tesserae and washes of 8 to 40 pixels, each from a fixed seed.

Photographs have colours but no strokes. These have strokes, and no rights of others.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

SIZE = 768
"""Height and width of each picture in pixels."""

_INK = 2
"""Pillow draws without antialiasing: strokes are drawn this many times larger."""


def draw(name: str) -> bytes:
    """The PNG of one of `DRAWINGS`: the same bytes every time with the same Pillow and NumPy."""
    seed = list(DRAWINGS).index(name) + 1
    stream = io.BytesIO()
    DRAWINGS[name](np.random.default_rng(seed)).save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def swirls(rng: np.random.Generator) -> Image.Image:
    """A night sky of brush strokes that follow eddies, in blues and yellows."""
    x, y = _grid()
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
    tone = np.clip(glow + 0.16 * _noise(rng, 6) + 0.05, 0, 1)
    colours = _palette("0c1a4b 163a86 2f66b4 6aa6cf b9d8cf f3e6a0 f6c531 ef9a1f")
    image = Image.fromarray(_bytes(_ramp(colours, tone * 0.6))).resize((SIZE * _INK, SIZE * _INK))
    for width, length, count in ((22, 80, 1500), (12, 60, 4200), (6, 44, 5200)):
        _stroke_along(rng, image, np.arctan2(v, u), colours, tone, width, length, count)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def stained_glass(rng: np.random.Generator) -> Image.Image:
    """A rose window: panes of saturated glass in dark leading, warm in the middle and blue at the edge."""
    x, y = _grid()
    radius, turn = np.hypot(x - 0.5, y - 0.5), np.arctan2(y - 0.5, x - 0.5)
    first, second, pane = _cells(rng, 17, 0.85)
    petal = radius + 0.055 * np.cos(8 * turn)
    mean = np.bincount(pane.ravel(), petal.ravel()) / np.maximum(1, np.bincount(pane.ravel()))
    spread = rng.normal(0, 0.035, mean.size)
    colours = _palette("fff0b0 f9b516 e8651a c2161e 7d1a66 1e3fae 127ea8 0f7a4d 123a86 0b2a6b")
    chosen = colours[np.clip((mean + spread) / 0.72 * len(colours), 0, len(colours) - 1).astype(int)]
    shade = rng.uniform(0.82, 1.12, mean.size)[pane] + 0.10 * _noise(rng, 24) + 0.07 * _noise(rng, 70)
    # Light falls through the middle of a pane more than through its rim.
    edge = second - first
    light = shade * (0.86 + 0.2 * np.clip(edge / 0.03, 0, 1))
    glass = chosen[pane] * light[..., None] + 26 * np.clip(light - 1, 0, 1)[..., None]
    lead = np.clip((edge - 0.0055) / 0.0022, 0, 1)[..., None]
    relief = 24 + 26 * np.clip(1 - edge / 0.004, 0, 1)[..., None] * np.array([1.0, 1.0, 1.15])
    return Image.fromarray(_bytes(glass * lead + relief * (1 - lead)))


def woodcut(rng: np.random.Generator) -> Image.Image:
    """Hills, a red sun and water cut into wood: swelling lines of ink over flat colours."""
    x, y = _grid()
    warp = 0.012 * _noise(rng, 5) + 0.004 * _noise(rng, 16)
    sky, pale, sun, ochre, green, sea = _palette("f2e3c2 e9c98f d1402a d99a3d 6f8f5b 3f7f93")
    ink = np.array([28.0, 26.0, 40.0])
    colour = sky + (pale - sky) * np.clip((y - 0.1) / 0.4, 0, 1)[..., None]
    disc = np.hypot(x - 0.64, y - 0.27)
    rays = np.sin(np.arctan2(y - 0.27, x - 0.64) * 36 + 60 * warp)
    line = rays - 1.25 + 1.1 * np.clip((disc - 0.16) / 0.5, 0, 1)
    inside = disc < 0.15
    colour[inside] = sun
    line = np.where(inside, np.sin((y + warp) * 210) - 0.95 + 2.2 * np.clip(y - 0.27, 0, 1), line)
    ridges = [(0.47, 0.07, 4.2, ochre), (0.58, 0.06, 5.5, green), (0.68, 0.05, 3.7, ochre), (0.78, 0.03, 6.5, sea)]
    for number, (base, height, waves, fill) in enumerate(ridges):
        top = base + height * np.sin(waves * x * 2 + number * 1.9) + 0.5 * height * np.sin(waves * 5 * x + number) * 0.4
        below = y > top
        depth = y - top
        colour[below] = fill
        if number < 3:
            cut = np.sin((depth + 0.55 * (number % 2 - 0.4) * x + warp * 2) * 235) - 0.62 + 5.5 * depth
        else:
            cut = np.sin((depth + 0.008 * np.sin(26 * x + 40 * depth) + warp) * 190) - 0.35 + 2.0 * depth
        line = np.where(below, np.where(np.abs(depth) < 0.0062, 2.0, cut), line)
    worn = line + 0.35 * _noise(rng, 110) * (np.abs(line) < 0.6)
    black = np.clip(worn * 2.2 + 0.5, 0, 1)[..., None]
    grain = 1 + 0.04 * _noise(rng, 90, 8)[..., None]
    return Image.fromarray(_bytes((colour * (1 - black) + ink * black) * grain))


def mosaic(rng: np.random.Generator) -> Image.Image:
    """A Byzantine pavement: rings of hand-set tesserae around a rosette, in gold, crimson, green and blue."""
    scale = SIZE * _INK
    image = Image.new("RGB", (scale, scale), (206, 194, 172))
    pen = ImageDraw.Draw(image)
    gold, cream, crimson, rust, green, teal, blue, night = _palette(
        "dba520 f2e2b6 a81e2d c9622b 4d8a4f 2b8c8c 2257a5 16284f"
    )
    side = 15 * _INK
    for ring in range(1, 40):
        radius = ring * side
        count = max(6, round(2 * np.pi * radius / side))
        for step in range(count):
            turn = 2 * np.pi * (step + 0.5 * (ring % 2)) / count
            wave = ring + 3.2 * np.cos(8 * turn) * np.clip(ring / 9, 0, 1)
            band = int(wave // 2.6) % 8
            colour = (gold, crimson, cream, blue, teal, night, rust, green)[band]
            if wave % 2.6 < 0.55:
                colour = (night, gold, rust, cream, gold, cream, night, gold)[band]
            middle = scale / 2 + radius * np.array([np.cos(turn), np.sin(turn)]) + rng.normal(0, 1.1, 2)
            along = np.array([-np.sin(turn), np.cos(turn)]) * (side * rng.uniform(0.40, 0.46))
            across = np.array([np.cos(turn), np.sin(turn)]) * (side * rng.uniform(0.40, 0.46))
            corners = [middle + a * along + b * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            shown = colour * rng.uniform(0.80, 1.10) + rng.normal(0, 7, 3)
            pen.polygon([tuple(c + rng.normal(0, 1.2, 2)) for c in corners], fill=_rgb(shown))
            glint = [corners[0], corners[1], (corners[0] + corners[1]) / 2 * 0.8 + middle * 0.2]
            pen.polygon([tuple(c) for c in glint], fill=_rgb(shown * 1.14 + 8))
    worn = 1 + 0.05 * _noise(rng, 60)[..., None]
    return Image.fromarray(_bytes(np.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)) * worn))


def watercolour(rng: np.random.Generator) -> Image.Image:
    """Wet washes over white paper: blooms that run into each other, dark at their dried edges."""
    paper = 1 + 0.025 * _noise(rng, 190) + 0.015 * _noise(rng, 90)
    canvas = np.ones((SIZE, SIZE, 3)) * np.array([0.985, 0.97, 0.935])
    colours = _palette("2a6fa8 4fb3a9 86b049 f0c24b ee8a5b d4567a 7a5ba6") / 255
    x, y = _grid()
    hue = np.clip(0.5 * x + 0.4 * y + 0.12 * _noise(rng, 4) + 0.06, 0, 1)
    canvas *= 1 - 0.36 * np.clip(0.55 + 0.6 * _noise(rng, 6), 0, 1)[..., None] * (1 - _ramp(colours, hue))
    for number, place in enumerate(rng.permutation(100)):
        cx, cy = (np.array([place % 10, place // 10]) + rng.uniform(-0.2, 1.2, 2)) / 10
        radius = rng.uniform(0.07, 0.19) * (1 - number / 140)
        rows, columns = (_window(centre, radius * 1.7) for centre in (cy, cx))
        runs = 0.34 * _noise(rng, 7)[rows, columns] + 0.14 * _noise(rng, 26)[rows, columns]
        flow = 1 - np.hypot(x[rows, columns] - cx, (y[rows, columns] - cy) * rng.uniform(0.8, 1.3)) / radius + runs
        wash = np.clip(flow / 0.05, 0, 1)
        rim = np.exp(-(((flow - 0.05) / 0.045) ** 2))
        pigment = wash * (0.26 + 0.16 * np.clip(flow, 0, 1)) + 0.30 * rim
        pigment = pigment * (1 + 4.5 * (paper[rows, columns] - 1))
        across = (0.55 * cx + 0.45 * cy + rng.normal(0, 0.16)) % 1.0
        tint = colours[int(across * len(colours))]
        canvas[rows, columns] *= 1 - np.clip(pigment, 0, 1)[..., None] * (1 - tint)
    for _ in range(240):  # splashes
        cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.gamma(2, 0.0028)
        rows, columns = (_window(centre, radius * 1.5) for centre in (cy, cx))
        drop = np.clip((radius - np.hypot(x[rows, columns] - cx, y[rows, columns] - cy)) / 0.002, 0, 1)
        canvas[rows, columns] *= 1 - 0.5 * drop[..., None] * (1 - colours[rng.integers(len(colours))])
    return Image.fromarray(_bytes(canvas * paper[..., None] * 255))


def pointillism(rng: np.random.Generator) -> Image.Image:
    """A river bank in the evening, in dots of pure colour with their complements between them."""
    x, y = _grid()
    sky = _ramp(_palette("5b7fc4 8fa9d8 e9b7b0 f7cf7b fbe6a2"), np.clip(y / 0.42, 0, 1))
    glint = np.exp(-(((x - 0.62) / 0.10) ** 2)) * (0.55 + 0.45 * np.sin(y * 130 + 4 * np.sin(x * 9)))
    water = _ramp(_palette("f3c27a 6aa7b8 2c6f9c 23497f"), np.clip((y - 0.42) / 0.36 - 0.45 * glint + 0.1, 0, 1))
    meadow = _ramp(_palette("d9c64a 8fb43c 3f8a4a 1f5a4a"), np.clip((y - 0.70) / 0.3 + 0.22 * _noise(rng, 9), 0, 1))
    scene = np.where((y < 0.42)[..., None], sky, water)
    scene[np.hypot(x - 0.62, y - 0.34) < 0.07] = (255, 214, 92)
    scene = np.where((y > 0.74 + 0.05 * np.sin(5 * x + 1))[..., None], meadow, scene)
    for cx, cy, radius in ((0.10, 0.28, 0.17), (0.27, 0.36, 0.11), (0.93, 0.36, 0.10), (0.20, 0.20, 0.12)):
        crown = np.hypot(x - cx, (y - cy) * 0.85) + 0.02 * _noise(rng, 14) < radius
        leaf = _ramp(_palette("1d4f4f 2f7d4f 8fb240 e0b84a"), np.clip(0.5 + (x - cx - y + cy) / radius * 0.45, 0, 1))
        scene = np.where(crown[..., None], leaf, scene)
    trunk = (np.abs(x - 0.16 - 0.02 * np.sin(9 * y)) < 0.013 + 0.012 * np.abs(y - 0.5)) & (y > 0.36) & (y < 0.84)
    scene[trunk & (y > 0.41)] = (92, 52, 74)
    image = Image.fromarray(_bytes(scene * 0.55 + 110)).resize((SIZE * _INK, SIZE * _INK))
    pen = ImageDraw.Draw(image)
    for radius, count in ((6.5, 9000), (4.5, 14000)):
        centres = rng.uniform(0, SIZE, (count, 2))
        radii = rng.uniform(0.75, 1.2, count) * radius
        seen = scene[centres[:, 1].astype(int), centres[:, 0].astype(int)]
        dots = seen + rng.normal(0, 20, (count, 3))
        grey = dots.mean(axis=1, keepdims=True)
        dots = grey + (dots - grey) * 1.35
        # Between them the complement, as bright as its neighbours and as pure: not the grey that mixing would give.
        complement = rng.random(count) < 0.13
        dots[complement] = np.clip(grey + (grey - seen) * 1.1 + (12, -8, 12), 40, 255)[complement]
        for (cx, cy), r, dot in zip(centres * _INK, radii * _INK, _bytes(dots).tolist(), strict=True):
            pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=tuple(dot))
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def marbling(rng: np.random.Generator) -> Image.Image:
    """Marbled paper: veins of floating ink, combed and curled."""
    x, y = _grid()
    for frequency, strength in ((2, 0.10), (4, 0.055), (9, 0.02)):
        x = x + strength * _noise(rng, frequency)
        y = y + strength * _noise(rng, frequency)
    for _ in range(14):  # curls
        cx, cy, radius, turn = *rng.uniform(-0.1, 1.1, 2), rng.uniform(0.05, 0.15), rng.choice([-1, 1])
        turn = turn * 3.6 * np.exp(-((np.hypot(x - cx, y - cy) / radius) ** 2))
        across, down = x - cx, y - cy
        x = cx + across * np.cos(turn) - down * np.sin(turn)
        y = cy + across * np.sin(turn) + down * np.cos(turn)
    vein = (y + 0.03 * np.abs((x * 7) % 2 - 1)) * 15 + 0.6 * np.sin(7 * x)
    colours = _palette("173a5e 2d7f9d f3ead6 d9a441 b8402f f3ead6 6d2440 1f5f5b")
    step = np.floor(vein).astype(int)
    inside = vein - step
    base = colours[step % len(colours)]
    other = colours[(step + 3) % len(colours)]
    thread = (np.abs(inside - 0.55 - 0.15 * _noise(rng, 22)) < 0.085)[..., None]
    rim = np.clip(np.minimum(inside, 1 - inside) / 0.06, 0, 1)[..., None]
    shaded = np.where(thread, other, base) * (0.80 + 0.20 * rim) * (1 + 0.035 * _noise(rng, 130)[..., None])
    return Image.fromarray(_bytes(shaded))


DRAWINGS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "swirls": swirls,
    "stained-glass": stained_glass,
    "woodcut": woodcut,
    "mosaic": mosaic,
    "watercolour": watercolour,
    "pointillism": pointillism,
    "marbling": marbling,
}


def _stroke_along(
    rng: np.random.Generator,
    image: Image.Image,
    angle: np.ndarray,
    colours: np.ndarray,
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
        lines = ((points + offset * aside) * _INK).reshape(count, -1)
        fills = _bytes(_ramp(colours, shades) * brightness)
        for line, fill in zip(lines.tolist(), fills.tolist(), strict=True):
            pen.line(line, fill=tuple(fill), width=round(width * _INK * 0.45), joint="curve")


def _cells(rng: np.random.Generator, count: int, jitter: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voronoi cells of a jittered grid: distance to the nearest and second nearest seed, and the nearest's number."""
    x, y = _grid()
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


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of all pixels, from 0 to 1."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    return x, y


def _noise(rng: np.random.Generator, columns: int, rows: int | None = None) -> np.ndarray:
    """Smooth noise of about unit range, with so many bumps across and down."""
    coarse = rng.uniform(-1, 1, (rows or columns, columns)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float64)


def _window(centre: float, half: float) -> slice:
    return slice(max(0, int((centre - half) * SIZE)), max(0, min(SIZE, int((centre + half) * SIZE) + 2)))


def _palette(colours: str) -> np.ndarray:
    """[N, 3] float64, 0-255, from hexadecimal colours."""
    return np.array([list(bytes.fromhex(colour)) for colour in colours.split()], np.float64)


def _ramp(palette: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Colours between those of the palette: `tone` runs from 0 (the first) to 1 (the last)."""
    place = np.clip(tone, 0, 1) * (len(palette) - 1)
    low = np.minimum(place.astype(int), len(palette) - 2)
    share = (place - low)[..., None]
    return palette[low] * (1 - share) + palette[low + 1] * share


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _rgb(colour: np.ndarray) -> tuple[int, ...]:
    return tuple(_bytes(colour).tolist())
