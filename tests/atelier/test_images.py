import hashlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from atelier import images
from atelier.images import Reason, RejectedImageError, Remark
from tests.atelier import icc
from tests.trainer.image_kinds import build_16_bit_png

MAX_PIXELS = 1_000_000
NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def encode(image, pillow_format, **options):
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()


def decode_pixels(data):
    return np.asarray(images.decode(data, MAX_PIXELS).image)


def find_reason(data, max_pixels=MAX_PIXELS):
    with pytest.raises(RejectedImageError) as refused:
        images.normalize(data, 512, max_pixels)
    return refused.value.reason


def draw_smooth(height, width):
    """An image that JPEG changes by a level or two."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([255 * x / width, 255 * y / height, 0 * x + 90], -1).astype(np.uint8))


# Conversions, against values worked out by hand.


@pytest.mark.parametrize("pillow_format", ["PNG", "BMP", "TIFF"])
def test_gray_and_bilevel_become_three_equal_channels(pillow_format):
    gray = np.array([[0, 7], [128, 255]], np.uint8)
    assert decode_pixels(encode(Image.fromarray(gray), pillow_format))[..., 2].tolist() == gray.tolist()
    bilevel = Image.fromarray(gray > 100)
    assert decode_pixels(encode(bilevel, pillow_format)).tolist() == [[[0] * 3] * 2, [[255] * 3] * 2]


def test_palette_is_looked_up():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    for pillow_format in ("PNG", "GIF", "BMP"):
        assert decode_pixels(encode(image, pillow_format)).tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_16_bit_gray_keeps_the_high_byte():
    values = np.array([[0x0000, 0x00FF, 0x12FF, 0xFFFF]], np.uint16)
    expected = [[[0] * 3, [0] * 3, [0x12] * 3, [0xFF] * 3]]
    assert decode_pixels(encode(Image.fromarray(values), "PNG")).tolist() == expected
    assert decode_pixels(encode(Image.fromarray(values), "TIFF")).tolist() == expected
    assert decode_pixels(encode(Image.fromarray(values.astype(">u2")), "TIFF")).tolist() == expected


def test_16_bit_rgb_png_keeps_the_high_byte_and_is_not_stored_as_it_is():
    row = b"\0" + struct.pack(">6H", 0x1234, 0x56FF, 0x9A00, 0, 0xFFFF, 0x80FF)
    data = build_png(width=2, height=1, depth=16, color=2, rows=row)
    assert decode_pixels(data).tolist() == [[[0x12, 0x56, 0x9A], [0, 0xFF, 0x80]]]
    stored = images.normalize(data, 512, MAX_PIXELS).encoded
    assert stored[24] == 8  # the header's bit depth


def test_alpha_is_laid_over_white():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(0, 0, 0, 0), (200, 100, 0, 64), (9, 8, 7, 255)])
    # 200 * 64 / 255 + 255 * 191 / 255 = 241.2; 100: 216.1; 0: 191.
    expected = np.array([[[255, 255, 255], [241, 216, 191], [9, 8, 7]]])
    for pillow_format, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert np.abs(decode_pixels(encode(image, pillow_format, **options)) - expected).max() <= 1
    gray = Image.new("LA", (1, 1), (100, 51))  # 100 / 5 + 255 * 4 / 5 = 224
    assert np.abs(decode_pixels(encode(gray, "PNG")).astype(int) - 224).max() <= 1


def test_a_transparent_color_becomes_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([1, 0])
    white_then_dark = [[[255, 255, 255], [10, 20, 30]]]
    assert decode_pixels(encode(palette, "PNG", transparency=1)).tolist() == white_then_dark
    assert decode_pixels(encode(palette, "GIF", transparency=1)).tolist() == white_then_dark
    rgb = Image.new("RGB", (2, 1))
    rgb.putdata([(1, 2, 3), (10, 20, 30)])
    assert decode_pixels(encode(rgb, "PNG", transparency=(1, 2, 3))).tolist() == white_then_dark
    deep = Image.fromarray(np.array([[0x1234, 0x1235]], np.uint16))
    # 14 bits are in use; the 8 highest are kept.
    assert decode_pixels(encode(deep, "PNG", transparency=0x1234))[0, :, 0].tolist() == [255, 0x1235 >> 6]


def test_cmyk_becomes_rgb():
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255), (0, 128, 0, 64)]
    expected = np.array([[255 * (255 - i) * (255 - k) / 255**2 for i in (c, m, y)] for c, m, y, k in inks])
    image = Image.new("CMYK", (4, 1))
    image.putdata(inks)
    assert np.abs(decode_pixels(encode(image, "TIFF"))[0] - expected).max() <= 1
    for ink, color in zip(inks, expected, strict=True):
        data = encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
        assert np.abs(decode_pixels(data) - color).max() <= 2
        stored = images.normalize(data, 512, MAX_PIXELS)
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
        data = encode(Image.fromarray(NOISE), pillow_format, exif=exif, **options)
        assert np.array_equal(decode_pixels(data), upright), pillow_format
    turned = encode(draw_smooth(32, 64), "JPEG", exif=exif, quality=95)
    stored = images.normalize(turned, 512, MAX_PIXELS)
    reread = Image.open(io.BytesIO(stored.encoded))
    assert reread.getexif().get(0x0112, 1) == 1
    assert np.abs(np.asarray(reread) - TURNS[orientation](np.asarray(draw_smooth(32, 64))).astype(int)).max() <= 8
    assert (stored.height, stored.width) == ((64, 32) if orientation >= 5 else (32, 64))
    assert (stored.encoded == turned) == (orientation == 1)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    for pillow_format, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = encode(frames[0], pillow_format, save_all=True, append_images=frames[1:], duration=50, **options)
        assert np.array_equal(decode_pixels(data), np.full((4, 4, 3), (255, 0, 0)))
        assert getattr(Image.open(io.BytesIO(images.normalize(data, 9, 99).encoded)), "n_frames", 1) == 1


# Color spaces. What conversion gives is tested in test_color_profiles.py; here, that it is done.

P3 = icc.matrix_profile("p3")
SRGB = icc.matrix_profile("srgb")
ONE_GREEN = (97, 197, 81), (40, 200, 60)
"""A color in Display P3, and the same in sRGB."""


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_profile_is_converted_and_not_stored(pillow_format):
    options = {"quality": 97, "subsampling": 0} if pillow_format == "JPEG" else {}
    options |= {"lossless": True} if pillow_format == "WEBP" else {}
    data = encode(Image.new("RGB", (16, 16), ONE_GREEN[0]), pillow_format, icc_profile=P3, **options)
    assert np.abs(decode_pixels(data).astype(int) - ONE_GREEN[1]).max() <= 2
    stored = images.normalize(data, 512, MAX_PIXELS)
    assert stored.remarks == (Remark.PROFILE_CONVERTED, Remark.ONE_COLOR)
    reread = Image.open(io.BytesIO(stored.encoded))
    assert "icc_profile" not in reread.info
    assert np.abs(np.asarray(reread).astype(int) - ONE_GREEN[1]).max() <= 3


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG"])
def test_an_srgb_profile_keeps_the_bytes(pillow_format):
    data = encode(Image.fromarray(NOISE), pillow_format, icc_profile=SRGB)
    found = images.normalize(data, 512, MAX_PIXELS)
    assert (found.encoded, found.remarks) == (data, ())


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG"])
def test_a_broken_profile_is_dropped_and_said(pillow_format):
    data = encode(Image.fromarray(NOISE), pillow_format, icc_profile=P3[:200])
    found = images.normalize(data, 512, MAX_PIXELS)
    assert found.remarks == (Remark.PROFILE_IGNORED,)
    assert b"made up" not in found.encoded
    assert "icc_profile" not in Image.open(io.BytesIO(found.encoded)).info
    assert np.array_equal(decode_pixels(data), np.asarray(Image.open(io.BytesIO(data))))


def test_a_profile_that_cannot_be_taken_out_of_its_file():
    plain = encode(Image.fromarray(NOISE), "JPEG")
    part = b"ICC_PROFILE\0\1\2" + P3[:100]  # the first of two parts
    cut = plain[:2] + b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part + plain[2:]
    squeezed = build_png(1, 1, 8, 2, b"\0\1\2\3", (b"iCCP", b"x\0\0no zlib"))
    for data in (cut, squeezed):
        assert images.normalize(data, 512, MAX_PIXELS).remarks[0] == Remark.PROFILE_IGNORED


def test_a_large_profile_in_a_png():
    data = encode(Image.fromarray(NOISE), "PNG", icc_profile=P3 + bytes(2 * 2**20))
    assert images.normalize(data, 512, MAX_PIXELS).remarks[0] in (Remark.PROFILE_CONVERTED, Remark.PROFILE_IGNORED)


def test_transparency_and_palettes_are_converted_too():
    halves = Image.new("RGBA", (2, 1), (*ONE_GREEN[0], 255))
    halves.putpixel((1, 0), (*ONE_GREEN[0], 0))
    gray = Image.new("LA", (2, 1), (100, 255))
    gray.putpixel((1, 0), (100, 0))
    palette = Image.new("P", (2, 1))
    palette.putpalette([*ONE_GREEN[0], 0, 0, 0])
    palette.putpixel((1, 0), 1)
    for image, options, color in (
        (halves, {"icc_profile": P3}, ONE_GREEN[1]),
        (palette, {"icc_profile": P3, "transparency": 1}, ONE_GREEN[1]),
        (gray, {"icc_profile": icc.gray_profile(1.0)}, [168] * 3),  # 1.055 (100 / 255)^(1 / 2.4) - 0.055
    ):
        data = encode(image, "PNG", **options)
        assert np.abs(decode_pixels(data)[0].astype(int) - [color, [255] * 3]).max() <= 1
    deep = build_16_bit_png(2, np.full((2, 2, 3), ONE_GREEN[0]) * 257)
    with_profile = deep[:33] + build_chunk(b"iCCP", b"x\0\0" + zlib.compress(P3)) + deep[33:]
    assert np.abs(decode_pixels(with_profile)[0].astype(int) - ONE_GREEN[1]).max() <= 1


def test_cmyk_by_its_profile():
    profile = icc.cmyk_profile(lambda c, _m, _y, k: (12, 0, 0) if k else (100 - 40 * c, 0, 0))
    for pillow_format in ("JPEG", "TIFF"):
        white, black = (encode(Image.new("CMYK", (16, 16), (0, 0, 0, k)), pillow_format) for k in (0, 255))
        assert [decode_pixels(data).mean() for data in (white, black)] == [255, 0]
        ink = encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), pillow_format, icc_profile=profile)
        red, green, blue = decode_pixels(ink)[0, 0].astype(int)
        assert max(red, green, blue) - min(red, green, blue) <= 3  # a gray ink; the plain formula gives (0, 255, 255)
        assert images.decode(ink, MAX_PIXELS).remarks == (Remark.PROFILE_CONVERTED,)


def test_png_says_its_color_space_by_code_points():
    rows = b"\0" + bytes(ONE_GREEN[0])
    found = images.decode(build_png(1, 1, 8, 2, rows, (b"cICP", b"\x0c\x0d\0\1")), MAX_PIXELS)
    assert np.abs(np.array(found.image.getpixel((0, 0))) - ONE_GREEN[1]).max() <= 1
    assert not found.is_plain
    # They go before a profile.
    p3 = (b"iCCP", b"x\0\0" + zlib.compress(P3))
    found = images.decode(build_png(1, 1, 8, 2, rows, (b"cICP", b"\x01\x0d\0\1"), p3), MAX_PIXELS)
    assert (found.image.getpixel((0, 0)), found.remarks) == (ONE_GREEN[0], ())
    with pytest.raises(RejectedImageError, match=r"cICP color primaries 9 and transfer function 16.*HDR"):
        images.decode(build_png(1, 1, 8, 2, rows, (b"cICP", b"\x09\x10\0\1")), MAX_PIXELS)


def test_gamma_and_primaries_of_png_are_ignored():
    rows = b"\0" + bytes(ONE_GREEN[0])
    data = build_png(
        1, 1, 8, 2, rows, (b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", struct.pack(">8I", *range(1, 9)))
    )
    assert images.decode(data, MAX_PIXELS).image.getpixel((0, 0)) == ONE_GREEN[0]


# Alpha that was never set, and images of one color.


def build_bmp(alpha):
    """32 bits with masks, version 4 of the header."""
    bgra = np.concatenate([NOISE[::-1, :, ::-1], np.full((24, 40, 1), alpha, np.uint8)], axis=-1).tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, 40, 24, 1, 32, 3, len(bgra), 2835, 2835, 0, 0)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return b"BM" + struct.pack("<IHHI", 122 + len(bgra), 0, 0, 122) + header + masks + bytes(52) + bgra


def test_a_bmp_whose_alpha_is_0_everywhere_is_opaque():
    found = images.decode(build_bmp(0), MAX_PIXELS)
    assert np.array_equal(np.asarray(found.image), NOISE)
    assert found.remarks == (Remark.ALPHA_IGNORED,)
    half = decode_pixels(build_bmp(51))  # a fifth, over white
    assert np.abs(half - (NOISE / 5 + 204)).max() <= 1


def test_other_formats_without_any_visible_pixel_are_white_and_said():
    for pillow_format in ("PNG", "WEBP", "TIFF"):
        hidden = Image.fromarray(np.concatenate([NOISE, np.zeros((24, 40, 1), np.uint8)], axis=-1))
        found = images.normalize(encode(hidden, pillow_format), 512, MAX_PIXELS)
        assert np.asarray(Image.open(io.BytesIO(found.encoded))).min() == 255
        assert found.remarks == (Remark.ONE_COLOR,)


@pytest.mark.parametrize(
    ("change", "is_one_color"),
    [
        (lambda _: None, True),
        (lambda pixels: pixels.__setitem__((0, 0), 255), True),  # a hot pixel
        (lambda pixels: pixels.__setitem__(slice(0, 3), 255), False),
        (lambda pixels: pixels.__iadd__(np.arange(100, dtype=np.uint8)[:, None] // 7), True),
        (lambda pixels: pixels.__iadd__(np.arange(100, dtype=np.uint8)[:, None] // 4), False),
        (lambda pixels: pixels.__setitem__((slice(None), slice(50, 100), 2), 200), False),  # in blue alone
    ],
)
def test_images_of_nearly_one_color(change, is_one_color):
    pixels = np.full((100, 100, 3), 60, np.uint8)
    change(pixels)
    remarks = images.normalize(encode(Image.fromarray(pixels), "PNG"), 512, MAX_PIXELS).remarks
    assert (Remark.ONE_COLOR in remarks) == is_one_color


# What is stored.


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG"])
def test_plain_images_keep_their_bytes(mode, pillow_format):
    data = encode(Image.fromarray(NOISE).convert(mode), pillow_format)
    stored = images.normalize(data, 40, MAX_PIXELS)
    assert stored.encoded == data
    assert (stored.format, stored.height, stored.width) == (pillow_format.lower(), 24, 40)


@pytest.mark.parametrize("pillow_format", ["BMP", "TIFF", "GIF"])
def test_lossless_sources_become_png_without_loss(pillow_format):
    image = Image.fromarray(NOISE).quantize(64)
    stored = images.normalize(encode(image, pillow_format), 512, MAX_PIXELS)
    assert stored.format == "png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored.encoded))), np.asarray(image.convert("RGB")))


def test_webp_and_scaled_images_become_jpeg():
    assert images.normalize(encode(draw_smooth(20, 20), "WEBP"), 512, MAX_PIXELS).format == "jpeg"
    assert images.normalize(encode(draw_smooth(20, 20), "PNG"), 19, MAX_PIXELS).format == "jpeg"


@pytest.mark.parametrize(
    ("height", "width", "stored_size"),
    [(300, 400, (75, 100)), (400, 300, (100, 75)), (101, 100, (100, 99)), (1, 1000, (1, 100)), (100, 100, (100, 100))],
)
def test_the_longer_side_is_at_most_store_size(height, width, stored_size):
    stored = images.normalize(encode(draw_smooth(height, width), "PNG"), 100, MAX_PIXELS)
    assert (stored.height, stored.width) == stored_size
    assert Image.open(io.BytesIO(stored.encoded)).size == stored_size[::-1]


def test_scaling_averages():
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 200
    stored = images.normalize(encode(Image.fromarray(halves), "PNG"), 16, MAX_PIXELS)
    small = np.asarray(Image.open(io.BytesIO(stored.encoded))).astype(int)
    assert np.abs(small[:, :6]).max() <= 6
    assert np.abs(small[:, 10:] - 200).max() <= 6


# What identifies an image.


def test_the_digest_depends_on_the_pixels_alone():
    image = Image.fromarray(NOISE)
    expected = hashlib.sha256(b"24x40:" + NOISE.tobytes()).hexdigest()
    for pillow_format in ("PNG", "BMP", "TIFF", "WEBP"):
        for store_size in (16, 512):
            assert images.normalize(encode(image, pillow_format, lossless=True), store_size, 9999).digest == expected
    reshaped = Image.fromarray(NOISE.reshape(40, 24, 3))
    assert images.normalize(encode(reshaped, "PNG"), 512, MAX_PIXELS).digest != expected


def test_the_thumbnail_is_a_box_average():
    noise = np.random.default_rng(1).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    thumbnail = images.normalize(encode(Image.fromarray(noise), "PNG"), 512, MAX_PIXELS).thumbnail
    luma = noise @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    expected = luma.reshape(8, 8, 9, 8).mean(axis=(1, 3))
    assert np.abs(np.frombuffer(thumbnail, np.uint8).reshape(8, 9) - expected).max() <= 2


# What is refused.


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_cut_files_are_truncated(pillow_format, share):
    data = encode(Image.fromarray(NOISE), pillow_format, **({"lossless": True} if pillow_format == "WEBP" else {}))
    assert find_reason(data[: max(4, int(share * len(data)))]) in (Reason.TRUNCATED, Reason.NOT_AN_IMAGE)
    if share > 0.1:
        assert find_reason(data[: int(share * len(data))]) == Reason.TRUNCATED


def test_ends_that_pillow_does_not_miss_are_missed():
    jpeg = encode(draw_smooth(200, 200), "JPEG", progressive=True)
    assert find_reason(jpeg[:-2]) == Reason.TRUNCATED
    assert find_reason(jpeg[:-400] + b"\0" * 400) in (Reason.TRUNCATED, Reason.CORRUPT)
    baseline = encode(draw_smooth(200, 200), "JPEG")
    assert find_reason(baseline[:-400] + b"\0" * 400) == Reason.TRUNCATED
    assert find_reason(encode(draw_smooth(9, 9), "PNG")[:-1]) == Reason.TRUNCATED


def test_what_follows_the_end_is_ignored():
    for pillow_format in ("JPEG", "PNG"):
        data = encode(draw_smooth(9, 9), pillow_format)
        trailed = data + b"\xff\xda trailer"
        assert images.normalize(trailed, 512, MAX_PIXELS).digest == images.normalize(data, 512, MAX_PIXELS).digest


def test_a_wrong_checksum_is_corrupt():
    data = bytearray(encode(Image.fromarray(NOISE), "PNG"))
    data[len(data) // 2] ^= 1
    assert find_reason(bytes(data)) == Reason.CORRUPT
    data = bytearray(build_png(width=1, height=1, depth=8, color=0, rows=b"\0\7"))
    data[-13] ^= 1  # the last byte of the pixels' own checksum: decoding alone never looks at it
    assert find_reason(bytes(data)) == Reason.CORRUPT


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
        (encode(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), Reason.UNSUPPORTED),
        (encode(Image.fromarray(np.ones((2, 2), np.int32)), "TIFF"), Reason.UNSUPPORTED),
    ],
)
def test_what_is_no_image_of_ours_is_named(data, reason):
    assert find_reason(data) == reason


def test_too_many_pixels_are_refused_by_the_header_alone():
    bomb = build_png(width=50_000, height=50_000, depth=8, color=2, rows=b"")
    assert find_reason(bomb) == Reason.TOO_LARGE
    assert find_reason(encode(draw_smooth(10, 10), "PNG"), max_pixels=99) == Reason.TOO_LARGE
    assert images.normalize(encode(draw_smooth(10, 10), "PNG"), 512, max_pixels=100).height == 10


def test_pillows_own_limit_neither_warns_nor_rules():
    large = build_png(width=20_000, height=20_000, depth=8, color=0, rows=b"")[:-1]  # and cut: nothing is decoded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_reason(large, max_pixels=500_000_000) == Reason.TRUNCATED


def test_damaged_exif_is_no_reason_to_refuse():
    data = encode(draw_smooth(20, 30), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert images.normalize(data, 512, MAX_PIXELS).height == 20


def build_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def build_png(width, height, depth, color, rows, *chunks):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(build_chunk(*one) for one in body)
