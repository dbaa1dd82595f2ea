import hashlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from components import pictures
from components.pictures import Reason, RefusedError

MAX_PIXELS = 1_000_000
NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def encoded(image, pillow_format, **options):
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()


def pixels_of(data):
    return np.asarray(pictures.decode(data, MAX_PIXELS).image)


def reason_for(data, max_pixels=MAX_PIXELS):
    with pytest.raises(RefusedError) as refused:
        pictures.normalize(data, 512, max_pixels)
    return refused.value.reason


def smooth(height, width):
    """A picture that JPEG changes by a level or two."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([255 * x / width, 255 * y / height, 0 * x + 90], -1).astype(np.uint8))


# Conversions, against values worked out by hand.


@pytest.mark.parametrize("pillow_format", ["PNG", "BMP", "TIFF"])
def test_grey_and_bilevel_become_three_equal_channels(pillow_format):
    grey = np.array([[0, 7], [128, 255]], np.uint8)
    assert pixels_of(encoded(Image.fromarray(grey), pillow_format))[..., 2].tolist() == grey.tolist()
    bilevel = Image.fromarray(grey > 100)
    assert pixels_of(encoded(bilevel, pillow_format)).tolist() == [[[0] * 3] * 2, [[255] * 3] * 2]


def test_palette_is_looked_up():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    for pillow_format in ("PNG", "GIF", "BMP"):
        assert pixels_of(encoded(image, pillow_format)).tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_16_bit_grey_keeps_the_high_byte():
    values = np.array([[0x0000, 0x00FF, 0x12FF, 0xFFFF]], np.uint16)
    expected = [[[0] * 3, [0] * 3, [0x12] * 3, [0xFF] * 3]]
    assert pixels_of(encoded(Image.fromarray(values), "PNG")).tolist() == expected
    assert pixels_of(encoded(Image.fromarray(values), "TIFF")).tolist() == expected
    assert pixels_of(encoded(Image.fromarray(values.astype(">u2")), "TIFF")).tolist() == expected


def test_16_bit_rgb_png_keeps_the_high_byte_and_is_not_stored_as_it_is():
    row = b"\0" + struct.pack(">6H", 0x1234, 0x56FF, 0x9A00, 0, 0xFFFF, 0x80FF)
    data = png(width=2, height=1, depth=16, colour=2, rows=row)
    assert pixels_of(data).tolist() == [[[0x12, 0x56, 0x9A], [0, 0xFF, 0x80]]]
    stored = pictures.normalize(data, 512, MAX_PIXELS).encoded
    assert stored[24] == 8  # the header's bit depth


def test_alpha_is_laid_over_white():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(0, 0, 0, 0), (200, 100, 0, 64), (9, 8, 7, 255)])
    # 200 * 64 / 255 + 255 * 191 / 255 = 241.2; 100: 216.1; 0: 191.
    expected = np.array([[[255, 255, 255], [241, 216, 191], [9, 8, 7]]])
    for pillow_format, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert np.abs(pixels_of(encoded(image, pillow_format, **options)) - expected).max() <= 1
    grey = Image.new("LA", (1, 1), (100, 51))  # 100 / 5 + 255 * 4 / 5 = 224
    assert np.abs(pixels_of(encoded(grey, "PNG")).astype(int) - 224).max() <= 1


def test_a_transparent_colour_becomes_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([1, 0])
    white_then_dark = [[[255, 255, 255], [10, 20, 30]]]
    assert pixels_of(encoded(palette, "PNG", transparency=1)).tolist() == white_then_dark
    assert pixels_of(encoded(palette, "GIF", transparency=1)).tolist() == white_then_dark
    rgb = Image.new("RGB", (2, 1))
    rgb.putdata([(1, 2, 3), (10, 20, 30)])
    assert pixels_of(encoded(rgb, "PNG", transparency=(1, 2, 3))).tolist() == white_then_dark
    deep = Image.fromarray(np.array([[0x1234, 0x1235]], np.uint16))
    assert pixels_of(encoded(deep, "PNG", transparency=0x1234))[0, :, 0].tolist() == [255, 0x12]


def test_cmyk_becomes_rgb():
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255), (0, 128, 0, 64)]
    expected = np.array([[255 * (255 - i) * (255 - k) / 255**2 for i in (c, m, y)] for c, m, y, k in inks])
    image = Image.new("CMYK", (4, 1))
    image.putdata(inks)
    assert np.abs(pixels_of(encoded(image, "TIFF"))[0] - expected).max() <= 1
    for ink, colour in zip(inks, expected, strict=True):
        data = encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
        assert np.abs(pixels_of(data) - colour).max() <= 2
        stored = pictures.normalize(data, 512, MAX_PIXELS)
        assert Image.open(io.BytesIO(stored.encoded)).mode == "RGB"


# A corner of each orientation, from the EXIF standard: where row 0 and column 0 of the stored pixels are shown.
TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = TURNS[orientation](NOISE)
    for pillow_format, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = encoded(Image.fromarray(NOISE), pillow_format, exif=exif, **options)
        assert np.array_equal(pixels_of(data), upright), pillow_format
    turned = encoded(smooth(32, 64), "JPEG", exif=exif, quality=95)
    stored = pictures.normalize(turned, 512, MAX_PIXELS)
    reread = Image.open(io.BytesIO(stored.encoded))
    assert reread.getexif().get(0x0112, 1) == 1
    assert np.abs(np.asarray(reread) - TURNS[orientation](np.asarray(smooth(32, 64))).astype(int)).max() <= 8
    assert (stored.height, stored.width) == ((64, 32) if orientation >= 5 else (32, 64))
    assert (stored.encoded == turned) == (orientation == 1)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for pillow_format, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = encoded(frames[0], pillow_format, save_all=True, append_images=frames[1:], duration=50, **options)
        assert np.array_equal(pixels_of(data), np.full((4, 4, 3), (255, 0, 0)))
        assert getattr(Image.open(io.BytesIO(pictures.normalize(data, 9, 99).encoded)), "n_frames", 1) == 1


# What is stored.


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG"])
def test_plain_pictures_keep_their_bytes(mode, pillow_format):
    data = encoded(Image.fromarray(NOISE).convert(mode), pillow_format)
    stored = pictures.normalize(data, 40, MAX_PIXELS)
    assert stored.encoded == data
    assert (stored.format, stored.height, stored.width) == (pillow_format.lower(), 24, 40)


@pytest.mark.parametrize("pillow_format", ["BMP", "TIFF", "GIF"])
def test_lossless_sources_become_png_without_loss(pillow_format):
    image = Image.fromarray(NOISE).quantize(64)
    stored = pictures.normalize(encoded(image, pillow_format), 512, MAX_PIXELS)
    assert stored.format == "png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored.encoded))), np.asarray(image.convert("RGB")))


def test_webp_and_scaled_pictures_become_jpeg():
    assert pictures.normalize(encoded(smooth(20, 20), "WEBP"), 512, MAX_PIXELS).format == "jpeg"
    assert pictures.normalize(encoded(smooth(20, 20), "PNG"), 19, MAX_PIXELS).format == "jpeg"


@pytest.mark.parametrize(
    ("height", "width", "stored_size"),
    [(300, 400, (75, 100)), (400, 300, (100, 75)), (101, 100, (100, 99)), (1, 1000, (1, 100)), (100, 100, (100, 100))],
)
def test_the_longer_side_is_at_most_store_size(height, width, stored_size):
    stored = pictures.normalize(encoded(smooth(height, width), "PNG"), 100, MAX_PIXELS)
    assert (stored.height, stored.width) == stored_size
    assert Image.open(io.BytesIO(stored.encoded)).size == stored_size[::-1]


def test_scaling_averages():
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 200
    stored = pictures.normalize(encoded(Image.fromarray(halves), "PNG"), 16, MAX_PIXELS)
    small = np.asarray(Image.open(io.BytesIO(stored.encoded))).astype(int)
    assert np.abs(small[:, :6]).max() <= 6
    assert np.abs(small[:, 10:] - 200).max() <= 6


# What identifies a picture.


def test_the_digest_depends_on_the_pixels_alone():
    image = Image.fromarray(NOISE)
    expected = hashlib.sha256(b"24x40:" + NOISE.tobytes()).hexdigest()
    for pillow_format in ("PNG", "BMP", "TIFF", "WEBP"):
        for store_size in (16, 512):
            assert pictures.normalize(encoded(image, pillow_format, lossless=True), store_size, 9999).digest == expected
    reshaped = Image.fromarray(NOISE.reshape(40, 24, 3))
    assert pictures.normalize(encoded(reshaped, "PNG"), 512, MAX_PIXELS).digest != expected


def test_the_thumbnail_is_a_box_average():
    noise = np.random.default_rng(1).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    thumbnail = pictures.normalize(encoded(Image.fromarray(noise), "PNG"), 512, MAX_PIXELS).thumbnail
    luma = noise @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    expected = luma.reshape(8, 8, 9, 8).mean(axis=(1, 3))
    assert np.abs(np.frombuffer(thumbnail, np.uint8).reshape(8, 9) - expected).max() <= 2


# What is refused.


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_cut_files_are_truncated(pillow_format, share):
    data = encoded(Image.fromarray(NOISE), pillow_format, **({"lossless": True} if pillow_format == "WEBP" else {}))
    assert reason_for(data[: max(4, int(share * len(data)))]) in (Reason.TRUNCATED, Reason.NOT_AN_IMAGE)
    if share > 0.1:
        assert reason_for(data[: int(share * len(data))]) == Reason.TRUNCATED


def test_ends_that_pillow_does_not_miss_are_missed():
    jpeg = encoded(smooth(200, 200), "JPEG", progressive=True)
    assert reason_for(jpeg[:-2]) == Reason.TRUNCATED
    assert reason_for(jpeg[:-400] + b"\0" * 400) in (Reason.TRUNCATED, Reason.CORRUPT)
    baseline = encoded(smooth(200, 200), "JPEG")
    assert reason_for(baseline[:-400] + b"\0" * 400) == Reason.TRUNCATED
    assert reason_for(encoded(smooth(9, 9), "PNG")[:-1]) == Reason.TRUNCATED


def test_what_follows_the_end_is_ignored():
    for pillow_format in ("JPEG", "PNG"):
        data = encoded(smooth(9, 9), pillow_format)
        trailed = data + b"\xff\xda trailer"
        assert pictures.normalize(trailed, 512, MAX_PIXELS).digest == pictures.normalize(data, 512, MAX_PIXELS).digest


def test_a_wrong_checksum_is_corrupt():
    data = bytearray(encoded(Image.fromarray(NOISE), "PNG"))
    data[len(data) // 2] ^= 1
    assert reason_for(bytes(data)) == Reason.CORRUPT
    data = bytearray(png(width=1, height=1, depth=8, colour=0, rows=b"\0\7"))
    data[-13] ^= 1  # the last byte of the pixels' own checksum: decoding alone never looks at it
    assert reason_for(bytes(data)) == Reason.CORRUPT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"hello, I am a text", Reason.NOT_AN_IMAGE),
        (b"\0" * 1000, Reason.NOT_AN_IMAGE),
        (b"\0\0\0\x18ftypheic" + b"\0" * 50, Reason.UNSUPPORTED),
        (b"\n <svg xmlns='http://www.w3.org/2000/svg'/>", Reason.UNSUPPORTED),
        (b"8BPS\0\1" + b"\0" * 50, Reason.UNSUPPORTED),
        (b"\xff\xd8\xff", Reason.TRUNCATED),
        (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), Reason.UNSUPPORTED),
        (encoded(Image.fromarray(np.ones((2, 2), np.int32)), "TIFF"), Reason.UNSUPPORTED),
    ],
)
def test_what_is_no_picture_of_ours_is_named(data, reason):
    assert reason_for(data) == reason


def test_too_many_pixels_are_refused_by_the_header_alone():
    bomb = png(width=50_000, height=50_000, depth=8, colour=2, rows=b"")
    assert reason_for(bomb) == Reason.TOO_LARGE
    assert reason_for(encoded(smooth(10, 10), "PNG"), max_pixels=99) == Reason.TOO_LARGE
    assert pictures.normalize(encoded(smooth(10, 10), "PNG"), 512, max_pixels=100).height == 10


def test_pillows_own_limit_neither_warns_nor_rules():
    large = png(width=20_000, height=20_000, depth=8, colour=0, rows=b"")[:-1]  # and cut: nothing is decoded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_for(large, max_pixels=500_000_000) == Reason.TRUNCATED


def test_damaged_exif_is_no_reason_to_refuse():
    data = encoded(smooth(20, 30), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert pictures.normalize(data, 512, MAX_PIXELS).height == 20


def png(width, height, depth, colour, rows):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
