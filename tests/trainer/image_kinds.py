"""Images of every kind that preprocessing must take, built in memory, and what Pillow makes of them.

`IMAGES` maps the name of a kind to the encoded bytes; `compute_expected` decodes them without TensorFlow.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from tests.atelier import icc

INEXACT = ("jpeg_cmyk", "jpeg_display_p3", "png_display_p3_alpha")
TOLERANCE = 1
"""Levels by which these may differ from `compute_expected`, the others by none.

Of CMYK, Pillow rounds where TensorFlow truncates; and colors are converted in float32.
"""


def compute_expected(encoded: bytes) -> np.ndarray:
    """Upright [height, width, 3] uint8 sRGB of the first frame by Pillow, alpha composited over white.

    What Pillow does not do is worked out where the image is made.
    """
    if encoded in _WORKED_OUT:
        return _WORKED_OUT[encoded]
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    if image.mode.startswith("I;16"):
        # Pillow would clip 16-bit gray to 255 instead of scaling it.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def draw_scene(width: int, height: int) -> Image.Image:
    """An image with no symmetry: smooth color, edges, fine grain, and a mark in the upper left corner."""
    y, x = np.mgrid[:height, :width]
    grain = np.random.default_rng(width * 1000 + height).integers(-9, 10, (height, width, 3))
    red = 128 + 100 * np.sin(x / 9 + y / 23)
    green = 255 * x / max(width - 1, 1)
    blue = 255 * y / max(height - 1, 1)
    pixels = np.stack([red, green, blue], axis=-1) + grain
    pixels[(x - width * 0.7) ** 2 + (y - height * 0.4) ** 2 < (min(width, height) / 5) ** 2] = (250, 240, 20)
    pixels[: height // 4, : width // 6] = (20, 30, 200)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def build_exif(orientation: int, byte_order: str = "<") -> bytes:
    """The smallest EXIF block with an orientation; `byte_order` as in struct."""
    signature = b"II*\0" if byte_order == "<" else b"MM\0*"
    make = (271, 2, 2, b"A\0\0\0")
    entries = [make, (274, 3, 1, struct.pack(byte_order + "HH", orientation, 0))]
    directory = b"".join(struct.pack(byte_order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    header = signature + struct.pack(byte_order + "IH", 8, len(entries))
    return b"Exif\0\0" + header + directory + bytes(4)


def build_jpeg(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG whose first segments, after the start of image, are `segments`: (marker's second byte, content)."""
    plain = _encode(draw_scene(41, 30), "JPEG")
    added = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in segments)
    return plain[:2] + added + plain[2:]


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _add_alpha(image: Image.Image) -> Image.Image:
    """The same with every alpha from 0 to 255 in it."""
    alpha = np.linspace(0, 255, image.width * image.height).reshape(image.height, image.width)
    image = image.copy()
    image.putalpha(Image.fromarray(np.round(alpha).astype(np.uint8)))
    return image


def _build_palette_png() -> bytes:
    image = draw_scene(45, 37).quantize(16)
    return _encode(image, "PNG", transparency=bytes([0, 90, 180, 255]))


def build_16_bit_png(color_type: int, samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """Written by hand: Pillow writes 16 bits for gray only. `chunks` are put before the pixels."""
    height, width = samples.shape[:2]

    def build_chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    body = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(build_chunk(*one) for one in body)


def _build_16_bit_ramp(channels: int) -> np.ndarray:
    """[29, 35, channels] uint16 that covers the range and steps through the low byte."""
    return (np.arange(29 * 35 * channels) * 0x9E37 % 65536).reshape(29, 35, channels)


def _build_oriented(orientation: int, byte_order: str = "<") -> bytes:
    return _encode(draw_scene(52, 35), "JPEG", exif=build_exif(orientation, byte_order))


_WORKED_OUT: dict[bytes, np.ndarray] = {}


def _note_pixels(encoded: bytes, pixels: np.ndarray) -> bytes:
    _WORKED_OUT[encoded] = np.round(pixels).astype(np.uint8)
    return encoded


def build_xmp(orientation: int) -> bytes:
    """A packet with nothing but an orientation."""
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation


def _build_xmp_info() -> PngInfo:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", build_xmp(8).decode())
    return info


def _build_few_bits(color_type: int, bits: int) -> bytes:
    samples = _build_16_bit_ramp(3 if color_type == 2 else 1) >> (16 - bits)
    return _note_pixels(build_16_bit_png(color_type, samples), np.broadcast_to(samples >> (bits - 8), (29, 35, 3)))


def _build_display_p3(kind: str) -> bytes:
    encoded = _encode(draw_scene(31, 44), kind, icc_profile=icc.matrix_profile("p3"))
    return _note_pixels(encoded, icc.to_srgb(np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")), "p3"))


def _build_display_p3_with_alpha() -> bytes:
    image = _add_alpha(draw_scene(31, 44))
    *colors, alpha = np.moveaxis(np.asarray(image).astype(float), -1, 0)
    alpha = alpha[..., np.newaxis] / 255
    converted = np.round(icc.to_srgb(np.stack(colors, axis=-1), "p3"))
    return _note_pixels(
        _encode(image, "PNG", icc_profile=icc.matrix_profile("p3")), converted * alpha + 255 * (1 - alpha)
    )


def _build_bmp(alpha: int) -> bytes:
    """Version 4 of the header, whose masks name an alpha."""
    pixels = np.asarray(draw_scene(20, 13))
    bgra = np.concatenate([pixels[::-1, :, ::-1], np.full((13, 20, 1), alpha, np.uint8)], axis=-1).tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, 20, 13, 1, 32, 3, len(bgra), 2835, 2835, 0, 0)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    file = b"BM" + struct.pack("<IHHI", 122 + len(bgra), 0, 0, 122) + header + bgra
    share = (alpha or 255) / 255
    return _note_pixels(file, np.floor(pixels * share + 255 * (1 - share) + 0.5))


def _build() -> dict[str, bytes]:
    odd = draw_scene(67, 43)
    turned = {value: build_exif(value)[6:] for value in (3, 6)}
    return {
        "jpeg": _encode(odd, "JPEG", quality=80),
        "jpeg_444": _encode(odd, "JPEG", quality=95, subsampling=0),
        "jpeg_progressive": _encode(odd, "JPEG", progressive=True),
        "jpeg_gray": _encode(odd.convert("L"), "JPEG"),
        "jpeg_cmyk": _encode(odd.convert("CMYK"), "JPEG", quality=90),
        **{f"jpeg_orientation_{value}": _build_oriented(value) for value in range(1, 9)},
        "jpeg_orientation_6_big_endian": _build_oriented(6, ">"),
        "jpeg_orientation_8_after_others": build_jpeg(
            (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            (0xFE, b"Exif\0\0 in a comment"),
            (0xE1, b"http:x\0"),
            (0xE1, build_exif(8)),
        ),
        "jpeg_one_pixel": _encode(draw_scene(1, 1), "JPEG"),
        "jpeg_tiny": _encode(draw_scene(3, 5), "JPEG"),
        "jpeg_tall": _encode(draw_scene(9, 211), "JPEG"),
        "jpeg_wide": _encode(draw_scene(301, 12), "JPEG"),
        "jpeg_large": _encode(draw_scene(640, 480), "JPEG"),
        "jpeg_xmp_orientation_6": build_jpeg((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + build_xmp(6))),
        "jpeg_display_p3": _build_display_p3("JPEG"),
        "jpeg_srgb_profile": _encode(odd, "JPEG", icc_profile=icc.matrix_profile("srgb")),
        "png_orientation_6": _encode(draw_scene(50, 31), "PNG", exif=turned[6]),
        "png_xmp_orientation_8": _encode(draw_scene(50, 31), "PNG", pnginfo=_build_xmp_info()),
        "png_display_p3_alpha": _build_display_p3_with_alpha(),
        "png_12_bit_gray": _build_few_bits(0, 12),
        "png_10_bit": _build_few_bits(2, 10),
        "bmp_alpha": _build_bmp(51),
        "bmp_alpha_unset": _build_bmp(0),
        "gif_transparent": _encode(odd.quantize(16), "GIF", transparency=5),
        "webp_orientation_3": _encode(odd, "WEBP", exif=turned[3]),
        "png": _encode(odd, "PNG"),
        "png_one_pixel": _encode(draw_scene(1, 1), "PNG"),
        "png_gray": _encode(odd.convert("L"), "PNG"),
        "png_alpha": _encode(_add_alpha(odd), "PNG"),
        "png_gray_alpha": _encode(_add_alpha(odd.convert("L")), "PNG"),
        "png_palette": _encode(odd.quantize(200), "PNG"),
        "png_palette_2_colors": _encode(odd.quantize(2), "PNG"),
        "png_palette_4_bit": _encode(odd.quantize(13), "PNG"),
        "png_palette_transparent": _build_palette_png(),
        "png_gray_transparent": _encode(odd.convert("L"), "PNG", transparency=128),
        "png_black_and_white": _encode(odd.convert("1"), "PNG"),
        "png_16_bit": build_16_bit_png(2, _build_16_bit_ramp(3)),
        "png_16_bit_gray": build_16_bit_png(0, _build_16_bit_ramp(1)),
        "png_16_bit_alpha": build_16_bit_png(6, _build_16_bit_ramp(4)),
        "bmp": _encode(odd, "BMP"),
        "bmp_32_bit": _encode(_add_alpha(odd), "BMP"),
        "bmp_gray": _encode(odd.convert("L"), "BMP"),
        "bmp_palette": _encode(odd.quantize(100), "BMP"),
        "gif": _encode(odd.quantize(128), "GIF"),
        "gif_animated": _encode(odd.quantize(128), "GIF", save_all=True, append_images=[odd.rotate(180).quantize(8)]),
        "webp": _encode(odd, "WEBP"),
        "webp_alpha": _encode(_add_alpha(odd), "WEBP", lossless=True),
    }


IMAGES = _build()
ANIMATED_WEBP = _encode(draw_scene(67, 43), "WEBP", save_all=True, append_images=[draw_scene(67, 43).rotate(180)])
"""Must be rejected: TensorFlow 2.21 corrupts memory when it decodes one."""
