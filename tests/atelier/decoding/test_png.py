"""Chunks of PNGs: pixels and structure by hand."""

import struct
import zlib

import numpy as np
import pytest

from atelier import images
from atelier.decoding import png


def build_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def build(depth, color_type, rows, *before):
    """Two pixels in a row."""
    header = struct.pack(">IIBBBBB", 2, 1, depth, color_type, 0, 0, 0)
    body = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(b"\0" + rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(build_chunk(*one) for one in body)


def decode(encoded):
    return np.asarray(images.decode(encoded, 100).image)[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("depth", "row", "opaque"),
    [(1, 0b01000000, 0), (2, 0b00010000, 0), (2, 0b11010000, 255), (4, 0x21, 2 * 17)],
)
def test_a_transparent_level_of_few_bits_becomes_white(depth, row, opaque):
    encoded = build(depth, 0, bytes([row]), (b"tRNS", b"\0\1"))
    assert decode(encoded) == [opaque, 255]


def test_transparency_counts_once_and_in_its_place():
    palette, transparent = (b"PLTE", bytes([9, 9, 9, 5, 5, 5])), (b"tRNS", b"\xff\0")
    assert decode(build(8, 3, b"\0\1", palette, transparent)) == [9, 255]
    assert decode(build(8, 3, b"\0\1", transparent, palette)) == [9, 5]
    assert decode(build(8, 3, b"\0\1", palette, transparent, (b"tRNS", b"\0\xff"))) == [9, 255]
    assert decode(build(8, 3, b"\0\1", palette, (b"tRNS", b"\0\0\0"))) == [9, 5]


RGB = b"\1\2\3\4\5\6"
XMP = b"XML:com.adobe.xmp\0"


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [(b"tEXt", b"k\0v")] * (png.MOST_CHUNKS - 3),
        [(b"gAMA", bytes(4)), (b"tEXt", b"Title\0a"), (b"teXt", b"unknown, not critical")],
        [(b"cICP", b"\1\x0d\0\1")],
        [(b"iTXt", XMP + b"\0\0\0\0<x/>")],
    ],
)
def test_a_usual_png_keeps_its_bytes(chunks):
    encoded = build(8, 2, RGB, *chunks)
    assert png.is_usual(encoded)
    assert images.normalize(encoded, 100, 100).encoded == encoded


@pytest.mark.parametrize(
    "chunk",
    [
        (b"ABCD", b"unknown and critical"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n 0\n\n"),
        (b"zTXt", XMP + b"\0" + zlib.compress(b"<x/>")),
        (b"iTXt", XMP + b"\1\0\0\0" + zlib.compress(b"<x/>")),
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)),
        (b"cICP", b""),
    ],
)
def test_what_tensorflow_does_not_read_is_stored_anew(chunk):
    encoded = build(8, 2, RGB, chunk)
    assert not png.is_usual(encoded)
    stored = images.normalize(encoded, 100, 100)
    assert stored.format == "png"
    assert png.is_usual(stored.encoded)
    assert decode(stored.encoded) == decode(encoded) == [1, 4]
    assert images.convert_for_tensorflow(encoded, 100) != encoded


def test_more_chunks_than_the_graph_reads_are_not_kept():
    encoded = build(8, 2, RGB, *[(b"tEXt", b"k\0v")] * (png.MOST_CHUNKS - 2))
    assert not png.is_usual(encoded)
    assert png.is_usual(images.normalize(encoded, 100, 100).encoded)
