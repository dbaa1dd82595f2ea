"""Images that Pillow decodes and the graph of Transform does not are known before Transform."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from atelier import images, tfrecord
from pipeline.records import graph_decoding, record_scan
from tests.atelier import icc

pytestmark = pytest.mark.slow

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
BROKEN = b"this is no profile" * 20


def encode(image, pillow_format, **options):
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()


def cut_gif():
    """The last blocks of compressed pixels are missing, the end marker is there."""
    whole = encode(NOISE, "GIF")
    return whole[: len(whole) // 2] + b"\0;"


def add_chunk(name, content, times=1):
    png = encode(NOISE, "PNG")
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return png[:33] + chunk * times + png[33:]


def remove_adobe(jpeg):
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]


CMYK = encode(NOISE.convert("CMYK"), "JPEG", icc_profile=BROKEN)
REFUSED = {
    "CMYK with a profile": (
        CMYK,
        "CMYK JPEG with a color profile",
    ),
    "a broken profile in JPEG": (encode(NOISE, "JPEG", icc_profile=BROKEN), "it is broken"),
    "a broken profile in PNG": (encode(NOISE, "PNG", icc_profile=BROKEN), "it is broken"),
    "a broken profile in WebP": (encode(NOISE, "WEBP", icc_profile=BROKEN), "it is broken"),
    "CMYK without a marker": (remove_adobe(encode(NOISE.convert("CMYK"), "JPEG")), "inks are inverted"),
    "EXIF of ImageMagick": (add_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 0\n\n"), "text chunk of an old kind"),
    "Display P3 by code points": (add_chunk(b"cICP", b"\x0c\x0d\0\1"), "cICP"),
    "an unknown critical chunk": (add_chunk(b"ABCD", b"x"), "PNG"),
    "too many segments": (
        encode(NOISE, "JPEG")[:2] + b"\xff\xfe\0\3x" * 600 + encode(NOISE, "JPEG")[2:],
        "512 segments",
    ),
    "too many chunks": (add_chunk(b"tEXt", b"k\0v", 17_000), "16384 chunks"),
    "a GIF that ends early": (cut_gif(), "GIF"),
}


@pytest.mark.parametrize(("encoded", "words"), REFUSED.values(), ids=REFUSED)
def test_what_the_graph_refuses_is_named_with_its_reason(encoded, words):
    with pytest.raises(images.RejectedImageError) as caught:
        graph_decoding.verify(encoded)
    assert caught.value.reason is images.Reason.UNSUPPORTED
    assert words in caught.value.detail
    assert "\n" not in caught.value.detail
    assert "\\x" not in caught.value.detail


@pytest.mark.parametrize(
    "encoded",
    [
        encode(NOISE, "JPEG"),
        encode(NOISE, "GIF"),
        encode(NOISE, "JPEG", icc_profile=icc.matrix_profile()),
        encode(NOISE, "PNG", icc_profile=icc.matrix_profile()),
    ],
    ids=["plain", "GIF", "Display P3 in JPEG", "Display P3 in PNG"],
)
def test_what_the_graph_decodes_passes(encoded):
    graph_decoding.verify(encoded)


def test_a_record_that_the_graph_refuses_is_set_aside(tmp_path):
    file = tmp_path / "train.tfrecord"
    with file.open("wb") as stream:
        for encoded in (encode(NOISE, "PNG"), CMYK):
            tfrecord.write(stream, tfrecord.serialize_example({"image": encoded, "label": 0}))
    found = record_scan.scan(file, record_scan.Keys("image", "label", ""), max_pixels=10_000, buckets=())
    assert [(broken.record, broken.reason) for broken in found.broken] == [(1, "unsupported")]
    assert [entry.count for entry in found.labels] == [1]
