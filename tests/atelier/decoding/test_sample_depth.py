"""16-bit samples of which fewer bits are in use, through `images.decode`; expected values are plain shifts."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from atelier import images
from atelier.images import Reason, RejectedImageError, Remark
from tests.trainer.image_kinds import build_16_bit_png

NOISE = np.random.default_rng(5).random((6, 8, 4))
PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def decode(data):
    found = images.decode(data, 10_000)
    return np.asarray(found.image), found.remarks


def build_tiff(samples, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def draw_samples(bits, channels):
    """[6, 8, channels] uint16 up to the largest value of `bits`."""
    values = np.round(NOISE[..., :channels] * (2**bits - 1)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    return values


def composite_over_white(colors, alpha):
    return np.round(colors * (alpha / 255) + 255 - alpha)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("color_type", PNG_CHANNELS)
def test_png(bits, color_type):
    stored = draw_samples(bits, PNG_CHANNELS[color_type])
    has_alpha = color_type >= 4
    if has_alpha:
        stored[..., -1] = np.linspace(0, 65535, 48).reshape(6, 8)
    got, remarks = decode(build_16_bit_png(color_type, stored))
    want = stored[..., : 3 if color_type in (2, 6) else 1] >> (bits - 8)
    if has_alpha:
        want = composite_over_white(want, stored[..., -1:] >> 8)
    assert np.abs(got - want).max() <= has_alpha
    assert remarks == ((Remark.DEPTH_SCALED,) if bits < 16 else ())


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["minisblack", "rgb"])
def test_tiff(bits, byte_order, compression, kind):
    stored = draw_samples(bits, 3 if kind == "rgb" else 1)
    plane = stored if kind == "rgb" else stored[..., 0]
    got, remarks = decode(build_tiff(plane, photometric=kind, compression=compression, byteorder=byte_order))
    assert np.array_equal(got, np.broadcast_to(stored >> (bits - 8), (6, 8, 3)))
    assert remarks == ((Remark.DEPTH_SCALED,) if bits < 16 else ())


def test_alpha_of_as_few_bits_as_the_colors():
    stored = draw_samples(12, 4)
    got, _ = decode(build_16_bit_png(6, stored))
    assert np.abs(got - composite_over_white(stored[..., :3] >> 4, stored[..., 3:] >> 4)).max() <= 1


def test_what_a_file_declares_widens_the_range():
    dark = draw_samples(10, 1)
    assert decode(build_16_bit_png(0, dark))[0].max() == 255
    for declared, shift in ((12, 4), (16, 8)):
        assert decode(build_16_bit_png(0, dark, (b"sBIT", bytes([declared]))))[0].max() == 1023 >> shift
        largest = (281, "H", 1, 2**declared - 1, True)
        assert decode(build_tiff(dark[..., 0], photometric="minisblack", extratags=[largest]))[0].max() == 1023 >> shift
    # A writer that follows the standard has scaled the samples already.
    assert decode(build_16_bit_png(0, draw_samples(16, 1), (b"sBIT", b"\x0c")))[0].max() == 255
    # Alpha's significant bits are not the colors'.
    assert decode(build_16_bit_png(4, draw_samples(10, 2), (b"sBIT", b"\x0a\x10")))[1] == (Remark.DEPTH_SCALED,)


def test_white_is_zero():
    stored = draw_samples(12, 1)[..., 0]
    got, _ = decode(build_tiff(stored, photometric="miniswhite"))
    assert np.array_equal(got[..., 0], 255 - (stored >> 4))


def test_a_transparent_color_of_16_bits():
    stored = draw_samples(16, 3)
    stored[0, 1] = (0x1234, 0x5678, 0x9ABC)
    stored[0, 2] = (0x1234, 0x5678, 0x9ABD)  # the same high bytes
    got, _ = decode(build_16_bit_png(2, stored, (b"tRNS", stored[0, 1].astype(">u2").tobytes())))
    assert got[0, 1:3].tolist() == [[255] * 3, [0x12, 0x56, 0x9A]]


def test_black_stays_black():
    assert not decode(build_16_bit_png(0, np.zeros((3, 3, 1), np.uint16)))[0].any()


def test_planes_stored_apart_are_refused():
    """Pillow would read them as 8-bit."""
    apart = build_tiff(draw_samples(16, 3).transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    with pytest.raises(RejectedImageError, match="store them interleaved") as refused:
        images.decode(apart, 10_000)
    assert refused.value.reason is Reason.UNSUPPORTED


def test_a_bmp_of_16_bits_a_pixel_is_none_of_these():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (8, 200, 80)).save(stream, "BMP")
    rgb = stream.getvalue()
    row = (0b00001_110010_01010).to_bytes(2, "little") * 4
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xF800, 0x7E0, 0x1F))
    header = rgb[14:28] + (16).to_bytes(2, "little") + (3).to_bytes(4, "little") + bytes(20)
    data = b"BM" + (66 + 32).to_bytes(4, "little") + bytes(4) + (66).to_bytes(4, "little") + header + masks + row * 4
    got, remarks = decode(data)
    assert np.abs(got.astype(int) - (8, 200, 80)).max() <= 4
    assert remarks == ()
