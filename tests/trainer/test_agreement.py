"""One answer for one file: what ingest makes of it (Pillow), and what the served graph makes of its bytes.

The graph gives the same pixels or refuses; and it never refuses, nor sees otherwise, what
`images.convert_for_tensorflow` and `images.normalize` give.
"""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
from PIL.PngImagePlugin import PngInfo

from atelier import images
from tests.atelier import icc
from tests.deferred import deferred_imports
from tests.trainer import image_kinds
from tests.trainer.image_kinds import IMAGES, build_16_bit_png, build_exif, build_jpeg, build_xmp, draw_scene

MAX_PIXELS = 1_000_000
SCENE = draw_scene(41, 30)
P3 = icc.matrix_profile("p3")
with deferred_imports():
    import tensorflow as tf

    from trainer.images import ops


@functools.cache
def trace_decoder():
    return tf.function(ops.decode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def decode(data):
    return trace_decoder()(data)


def encode(image, pillow_format, **options):
    stream = io.BytesIO()
    image.save(stream, pillow_format, **({"lossless": True} if pillow_format == "WEBP" else {}), **options)
    return stream.getvalue()


def build_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def add_chunk(png, kind, content):
    return png[:33] + build_chunk(kind, content) + png[33:]


def build_png_with_text(zipped=False, **texts):
    info = PngInfo()
    for key, text in texts.items():
        if key == "xmp":
            info.add_itxt("XML:com.adobe.xmp", text, zip=zipped)
        else:
            info.add_text(key.replace("_", " "), text, zip=zipped)
    return encode(SCENE, "PNG", pnginfo=info)


def convert_inks(_c, _m, _y, k):
    return (100 - 80 * k, 0, 0)


def remove_adobe(jpeg):
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]


def build_bmp(masks, bits=32):
    pixels = np.random.default_rng(3).integers(0, 256, (13, 20, bits // 8), dtype=np.uint8).tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, 20, 13, 1, bits, 3, len(pixels), 2835, 2835, 0, 0)
    header += struct.pack("<4I", *masks) + bytes(52)
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + header + pixels


def enlarge_canvas(gif):
    return gif[:6] + struct.pack("<HH", 90, 70) + gif[10:]


def build_png(depth, color_type, rows, before=b"", behind=b""):
    header = struct.pack(">IIBBBBB", 4, len(rows) // ((4 * depth + 7) // 8 + 1), depth, color_type, 0, 0, 0)
    pixels = build_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + build_chunk(b"IHDR", header) + before + pixels + behind + build_chunk(b"IEND", b"")


def build_gray_png(depth, before):
    """A row of the levels 0 to 3, as far as there are so many."""
    bits = "".join(f"{level % 2**depth:0{depth}b}" for level in range(4)).ljust(8, "0")
    return build_png(depth, 0, b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big"), before)


def build_palette_png(before, behind=b""):
    return build_png(8, 3, bytes([0, 0, 1, 2, 3]), before, behind)


def clear_webp_flag(webp, flag):
    return webp[:20] + bytes([webp[20] & ~flag]) + webp[21:]


PNG = encode(SCENE, "PNG")
RAW_EXIF, RAW_UPRIGHT_EXIF = (f"\nexif\n    {len(block)}\n{block.hex()}\n" for block in (build_exif(6), build_exif(1)))
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0" + build_xmp(6)
PALETTE, TRANSPARENT = build_chunk(b"PLTE", bytes(range(12))), build_chunk(b"tRNS", b"\0\x80")
PARAMETRIC = icc.parametric_curve(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)

SAME = {
    **{
        f"{kind} orientation {value}": encode(
            SCENE, kind, exif=build_exif(value)[6:] if kind != "JPEG" else build_exif(value)
        )
        for kind in ("JPEG", "PNG", "WEBP")
        for value in (2, 5, 8)
    },
    **{
        f"{kind} profile {name}": encode(SCENE, kind, icc_profile=profile)
        for kind in ("JPEG", "PNG", "WEBP")
        for name, profile in {
            "gamma": icc.matrix_profile("adobe", icc.gamma_curve(2.2)),
            "linear": icc.matrix_profile("p3", icc.gamma_curve(1.0)),
            "parametric": icc.matrix_profile("p3", PARAMETRIC),
            "in parts": P3 + bytes(150_000),
        }.items()
    },
    "gray JPEG, gray profile": encode(SCENE.convert("L"), "JPEG", icc_profile=icc.gray_profile(1.8)),
    "gray PNG, gray profile": encode(SCENE.convert("L"), "PNG", icc_profile=icc.gray_profile(1.0)),
    "gray JPEG, RGB profile": encode(
        SCENE.convert("L"), "JPEG", icc_profile=icc.matrix_profile("p3", icc.gamma_curve(1.8))
    ),
    "palette with profile": encode(SCENE.quantize(50), "PNG", icc_profile=P3, transparency=3),
    "cICP of sRGB before iCCP": add_chunk(encode(SCENE, "PNG", icc_profile=P3), b"cICP", b"\x01\x0d\0\1"),
    "EXIF behind the pixels": PNG[:-12] + build_chunk(b"eXIf", build_exif(6)[6:]) + PNG[-12:],
    "EXIF before XMP": encode(SCENE, "JPEG", exif=build_exif(1), xmp=build_xmp(6)),
    "XMP of WebP": encode(SCENE, "WEBP", xmp=build_xmp(6)),
    "XMP out of range": encode(SCENE, "WEBP", xmp=build_xmp(9)),
    "EXIF in two segments": build_jpeg((0xE1, build_exif(6)[:20]), (0xE1, b"Exif\0\0" + build_exif(6)[20:])),
    "filling before a marker": (j := build_jpeg((0xE1, build_exif(6))))[:2] + b"\xff\xff\xff" + j[2:],
    "16-bit alpha": build_16_bit_png(6, np.random.default_rng(1).integers(0, 1024, (6, 7, 4))),
    "sBIT": build_16_bit_png(0, np.full((3, 3, 1), 900), (b"sBIT", b"\x0c")),
    "sBIT with alpha": build_16_bit_png(4, np.full((3, 3, 2), 900), (b"sBIT", b"\x0a\x10")),
    "GIF with comments": encode(SCENE.quantize(8), "GIF", transparency=2, comment=b"hello" * 80),
    "animated GIF": encode(
        SCENE.quantize(8), "GIF", transparency=2, save_all=True, append_images=[SCENE.rotate(180).quantize(8)], loop=0
    ),
    "gray GIF": encode(SCENE.convert("L"), "GIF", transparency=100),
    "BMP masks without alpha": build_bmp((0xFF0000, 0xFF00, 0xFF, 0)),
    **{
        f"transparent level of {depth} bits": build_gray_png(depth, build_chunk(b"tRNS", bytes([high, 1])))
        for depth, high in ((1, 0), (2, 0), (4, 0), (4, 1), (8, 1))
    },
    "transparency before the palette": build_palette_png(TRANSPARENT + PALETTE),
    "transparency behind the pixels": build_palette_png(PALETTE, TRANSPARENT),
    "transparency twice": build_palette_png(PALETTE + TRANSPARENT + build_chunk(b"tRNS", b"\xff\0")),
    "transparency of more entries than there are": build_palette_png(PALETTE + build_chunk(b"tRNS", bytes(9))),
    "sBIT twice": build_16_bit_png(0, np.full((3, 3, 1), 900), (b"sBIT", b"\x0a"), (b"sBIT", b"\x10")),
    **{
        f"orientation of type {kind}": build_jpeg((0xE1, build_exif(6).replace(b"\x12\1\3\0", b"\x12\1%c\0" % kind)))
        for kind in (1, 4, 5, 6, 7, 8, 9, 10, 11, 13)
    },
    "EXIF cut in its header before XMP": build_jpeg((0xE1, build_exif(6)[:10]), (0xE1, XMP_SEGMENT)),
    "EXIF of WebP that is not announced": clear_webp_flag(encode(SCENE, "WEBP", exif=build_exif(6)[6:]), 8),
    "XMP of WebP that is not announced": clear_webp_flag(encode(SCENE, "WEBP", xmp=build_xmp(6)), 4),
}

REFUSED = {
    "broken profile": (encode(SCENE, "JPEG", icc_profile=P3[:300]), "it is broken"),
    "profile cut in its table": (encode(SCENE, "PNG", icc_profile=P3[:140]), "it is broken"),
    "no zlib": (add_chunk(PNG, b"iCCP", b"x\0\0none"), "color profile is broken"),
    "gray profile of RGB": (encode(SCENE, "PNG", icc_profile=icc.gray_profile(1.8)), "the image is not"),
    "CMYK profile of RGB": (encode(SCENE, "WEBP", icc_profile=icc.cmyk_profile(convert_inks)), "lookup tables"),
    "CMYK with profile": (
        encode(SCENE.convert("CMYK"), "JPEG", icc_profile=icc.cmyk_profile(convert_inks)),
        "CMYK JPEG with a color profile",
    ),
    "CMYK without a marker": (remove_adobe(encode(SCENE.convert("CMYK"), "JPEG")), "inks are inverted"),
    "part of a profile": (build_jpeg((0xE2, b"ICC_PROFILE\0\1\2" + P3[:99])), "lacks parts"),
    "cICP of Display P3": (add_chunk(PNG, b"cICP", b"\x0c\x0d\0\1"), "cICP"),
    "upright EXIF as text": (build_png_with_text(Raw_profile_type_exif=RAW_UPRIGHT_EXIF), "text chunk"),
    "upright XMP compressed": (build_png_with_text(zipped=True, xmp=build_xmp(1).decode()), "compressed XMP"),
    "cICP without content": (add_chunk(PNG, b"cICP", b""), "cICP"),
    "too many segments": (build_jpeg(*[(0xFE, b"x")] * 600), "more than 512 segments"),
    "EXIF as text": (build_png_with_text(Raw_profile_type_exif=RAW_EXIF), "text chunk"),
    "XMP compressed": (build_png_with_text(zipped=True, xmp=build_xmp(6).decode()), "compressed XMP"),
    "BMP of other masks": (build_bmp((0xFF, 0xFF00, 0xFF0000, 0xFF000000)), "unusual masks"),
    "GIF larger than its frame": (enlarge_canvas(encode(SCENE.quantize(8), "GIF")), "does not cover"),
}


def decode_by_pillow(data):
    return np.asarray(images.decode(data, MAX_PIXELS).image).astype(int)


def decode_by_graph(data):
    return decode(data).numpy().astype(int)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SAME, *IMAGES])
def test_the_same_pixels(kind):
    data = (SAME | IMAGES)[kind]
    want, got = decode_by_pillow(data), decode_by_graph(data)
    assert got.shape == want.shape
    may_differ = "profile" in kind or kind in image_kinds.INEXACT
    assert abs(got - want).max() <= (2 if may_differ else 0)


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_the_reason_and_the_remedy(kind):
    data, reason = REFUSED[kind]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason) as refused:
        decode(data)
    assert "sRGB" in str(refused.value) or "PNG" in str(refused.value)
    decode_by_pillow(data)


@pytest.mark.parametrize("kind", [*SAME, *REFUSED, *IMAGES])
def test_what_is_sent_and_stored_is_never_refused(kind):
    data = REFUSED[kind][0] if kind in REFUSED else (SAME | IMAGES)[kind]
    want = decode_by_pillow(data)
    for ours in (
        images.convert_for_tensorflow(data, MAX_PIXELS),
        images.normalize(data, 1000, MAX_PIXELS).encoded,
    ):
        got = decode_by_graph(ours)
        assert got.shape == want.shape
        lossy = ours != data and ours.startswith(b"\xff\xd8")
        # A JPEG of quality 95 is another one in single pixels, not on average.
        assert abs(got - want).max() <= 2 if not lossy else abs(got - want).mean() < 6


@pytest.mark.slow
def test_damaged_profiles_are_refused_or_agree():
    random = np.random.default_rng(6)
    agreed = 0
    for _ in range(100):
        profile = bytearray(P3)
        for position in random.integers(0, 620, 2):
            profile[position] = random.integers(256)
        data = encode(SCENE, "PNG", icc_profile=bytes(profile))
        try:
            got = decode_by_graph(data)
        except tf.errors.InvalidArgumentError:
            continue
        assert abs(got - decode_by_pillow(data)).max() <= 2, bytes(profile)[:128].hex()
        agreed += 1
    assert agreed > 20


def test_damaged_exif_turns_both_alike():
    random = np.random.default_rng(7)
    for _ in range(150):
        block = bytearray(build_exif(6))
        for position in random.integers(6, len(block), 2):
            block[position] = random.integers(256)
        data = build_jpeg((0xE1, bytes(block)))
        assert decode_by_graph(data).shape == decode_by_pillow(data).shape, bytes(block).hex()
