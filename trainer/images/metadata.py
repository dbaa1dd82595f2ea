"""What an image's bytes say beside its pixels, found by TensorFlow ops: EXIF, XMP, color profile, bits in use.

Read are the places that Pillow reads, so that ingest and the served graph turn and convert alike. What only Pillow can
read is a fault, on which the graph fails.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import tensorflow as tf

from atelier.decoding import jpeg, png

_MAX_WEBP_CHUNKS = 256
"""Real files have fewer parts; this bound, as those of JPEG and PNG, keeps a hostile one from taking minutes."""

_XMP_KEY = b"XML:com.adobe.xmp\0"
_UNITS = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 0)
"""Bytes of a value by the types of TIFF that Pillow reads; 0 for the others, which it passes over."""
_BYTE_TYPES, _SHORT_TYPES, _LONG_TYPES = (1, 6, 7), (3, 8), (4, 9, 13)
"""Types of whole numbers, signed ones included; a single byte without a type (7) reads as one."""
_XMP_ORIENTATION = r'^\C*?tiff:Orientation(?:="|>)([0-9])\C*$'


class Metadata(NamedTuple):
    """Scalar strings, empty where the file has none.

    Attributes:
      exif: TIFF data.
      xmp: a packet of XML.
      icc: a color profile.
      fault: what the graph cannot read.
    """

    exif: tf.Tensor
    xmp: tf.Tensor
    icc: tf.Tensor
    fault: tf.Tensor


class _Field(NamedTuple):
    """A part of a file that is wanted."""

    kind: bytes
    prefix: bytes = b""
    """With which the content begins."""
    skip: int = 0
    """Bytes of the content to leave out."""
    take: int = 2**30
    """Bytes of the content to keep."""
    several: Literal["first", "last", "joined"] = "last"


class _Part(NamedTuple):
    """Where a part's content lies, and where the next part begins."""

    kind: tf.Tensor
    start: tf.Tensor
    size: tf.Tensor
    after: tf.Tensor
    ends: tf.Tensor
    """This is no part but the end of them."""


def build_empty() -> Metadata:
    """Of a format that has none."""
    return Metadata(*[tf.constant(b"")] * 4)


def read_jpeg(encoded: tf.Tensor) -> Metadata:
    """Reads the segments before the scan (ISO 10918-1, annex B)."""

    def parse_part(position: tf.Tensor, head: tf.Tensor, numbers: tf.Tensor) -> _Part:
        kind = tf.strings.substr(head, 0, 2)
        size = 256 * numbers[2] + numbers[3]
        is_filling = tf.equal(kind, b"\xff\xff")
        ends = tf.not_equal(numbers[0], 0xFF) | tf.equal(kind, b"\xff\xda") | tf.equal(kind, b"\xff\xd9")
        after = tf.where(is_filling, position + 1, position + 2 + size)
        return _Part(kind, position + 4, tf.where(is_filling, 0, size - 2), after, ends)

    fields = (
        _Field(b"\xff\xe1", b"Exif\0\0", 6, several="joined"),
        _Field(b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0", 29),
        _Field(b"\xff\xe2", b"ICC_PROFILE\0", 14, several="joined"),
        _Field(b"\xff\xe2", b"ICC_PROFILE\0", 12, 2, several="joined"),
        _Field(b"\xff\xee", b"Adobe"),
    )
    found, _, at_end = _walk(encoded, 2, parse_part, fields, jpeg.MOST_SEGMENTS)
    exif, xmp, icc, numbering, adobe = tf.unstack(found)
    # Each part of a profile has its number, from 1, and how many there are.
    parts = tf.strings.length(numbering) // 2
    expected = tf.stack([tf.range(1, parts + 1), tf.fill([parts], parts)], axis=-1)
    numbers = tf.cast(tf.io.decode_raw(numbering, tf.uint8), tf.int32)
    is_whole = tf.reduce_all(tf.equal(numbers, tf.reshape(expected, [-1])))
    four_inks = tf.equal(tf.image.extract_jpeg_shape(encoded)[2], 4)
    fault = _join_faults(
        (~at_end, f"JPEG with more than {jpeg.MOST_SEGMENTS} segments before its pixels"),
        (~is_whole, "JPEG whose color profile lacks parts"),
        (four_inks & (parts > 0), "CMYK JPEG with a color profile"),
        (four_inks & tf.equal(adobe, b""), "CMYK JPEG that does not say whether its inks are inverted"),
    )
    return Metadata(exif, xmp, icc, fault)


def read_png(encoded: tf.Tensor) -> tuple[Metadata, tf.Tensor]:
    """Reads the chunks (PNG, third edition, section 5), those behind the pixels included; and the content of `sBIT`."""

    def parse_part(position: tf.Tensor, head: tf.Tensor, numbers: tf.Tensor) -> _Part:
        kind = tf.strings.substr(head, 4, 4)
        size = _decode_number(numbers[:4])
        return _Part(kind, position + 8, size, position + 12 + size, tf.equal(kind, b"IEND"))

    old_places = [
        (kind, key) for kind in (b"tEXt", b"zTXt", b"iTXt") for key in (b"Raw profile type exif\0", b"exif\0")
    ]
    fields = (
        _Field(b"eXIf"),
        _Field(b"iTXt", _XMP_KEY),
        _Field(b"iCCP"),
        _Field(b"sBIT"),
        _Field(b"cICP"),
        *(_Field(*place) for place in ((b"tEXt", _XMP_KEY), (b"zTXt", _XMP_KEY), *old_places)),
    )
    found, is_there, at_end = _walk(encoded, 8, parse_part, fields, png.MOST_CHUNKS)
    exif, text, named_profile, significant, code_points = tf.unstack(found[:5])
    has_code_points = is_there[4]
    # Name, 0, method 0, profile.
    profile = tf.strings.regex_replace(named_profile, r"^[^\x00]{0,79}\x00\x00", b"")
    zlib_header = tf.cast(tf.io.decode_raw(profile, tf.uint8, fixed_length=2), tf.int32)
    is_zlib = tf.equal(zlib_header[0] % 16, 8) & tf.equal((256 * zlib_header[0] + zlib_header[1]) % 31, 0)
    icc = tf.cond(
        is_there[2] & ~has_code_points & is_zlib,
        lambda: tf.io.decode_compressed(profile, "ZLIB"),
        lambda: tf.constant(b""),
    )
    # Key, 0, not compressed, method, language, 0, translated key, 0, text.
    header = r"^XML:com\.adobe\.xmp\x00\x00\C[^\x00]*\x00[^\x00]*\x00"
    fault = _join_faults(
        (~at_end, f"PNG with more than {png.MOST_CHUNKS} chunks"),
        (is_there[2] & ~has_code_points & ~is_zlib, "PNG whose color profile is broken"),
        (tf.reduce_any(is_there[5:]), "PNG whose EXIF or XMP is in a text chunk of an old kind"),
        (is_there[1] & ~tf.strings.regex_full_match(text, header + r"\C*"), "PNG with compressed XMP"),
        (
            has_code_points & ~tf.strings.regex_full_match(code_points, r"\x01\x0d\C*"),
            "PNG whose cICP chunk says another color space than sRGB",
        ),
    )
    return Metadata(exif, tf.strings.regex_replace(text, header, b""), icc, fault), significant


def read_webp(encoded: tf.Tensor) -> Metadata:
    """Reads the chunks of the extended format (RFC 9649, section 2.7); the simple one has none."""

    def parse_part(position: tf.Tensor, head: tf.Tensor, numbers: tf.Tensor) -> _Part:
        size = _decode_number(numbers[7:3:-1])
        kind = tf.strings.substr(head, 0, 4)
        is_simple = tf.equal(position, 12) & tf.not_equal(kind, b"VP8X")
        return _Part(kind, position + 8, size, position + 8 + size + size % 2, is_simple)

    fields = [_Field(kind, several="first") for kind in (b"EXIF", b"XMP ", b"ICCP")]
    found, _, at_end = _walk(encoded, 12, parse_part, fields, _MAX_WEBP_CHUNKS)
    # A chunk counts if the flags of the first one, VP8X, announce it: bits 3, 2 and 5.
    flags = tf.io.decode_raw(
        tf.strings.substr(encoded, tf.minimum(20, tf.strings.length(encoded)), 1), tf.uint8, fixed_length=1
    )
    is_announced = tf.bitwise.bitwise_and(flags, tf.constant([8, 4, 32], tf.uint8)) > 0
    exif, xmp, icc = tf.unstack(tf.where(is_announced, found, b""))
    fault = _join_faults((~at_end, f"WebP with more than {_MAX_WEBP_CHUNKS} chunks"))
    return Metadata(exif, xmp, icc, fault)


def find_orientation(metadata: Metadata) -> tf.Tensor:
    """EXIF's orientation, 1 to 8; XMP's where EXIF has none; scalar int64."""
    is_there = tf.strings.regex_full_match(metadata.xmp, _XMP_ORIENTATION)
    digit = tf.where(is_there, tf.strings.regex_replace(metadata.xmp, _XMP_ORIENTATION, r"\1"), "1")
    of_xmp = tf.strings.to_number(digit, tf.int64)
    exif = tf.strings.regex_replace(metadata.exif, r"^(?:Exif\x00\x00)+", b"")
    value = tf.cond(tf.strings.length(exif) > 0, lambda: _read_tiff_orientation(exif, of_xmp), lambda: of_xmp)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _read_tiff_orientation(tiff: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Orientation in the first directory of TIFF data (TIFF 6.0, section 2); `other` where that has no such entry."""
    data = tf.cast(tf.io.decode_raw(tiff, tf.uint8), tf.int64)
    size = tf.size(data, out_type=tf.int64)
    order = tf.gather(tf.pad(data, [[0, 4]]), [0, 1, 2, 3])
    little_endian, big_endian = (tf.reduce_all(tf.equal(order, list(magic))) for magic in (b"II*\0", b"MM\0*"))
    # The numbers at every offset. Those in a broken file point anywhere: whatever lies past the end reads as 0.
    low, high = tf.pad(data, [[0, 5]]), tf.pad(data[1:], [[0, 6]])
    short = tf.where(little_endian, low + 256 * high, 256 * low + high)
    first, second = short[:-2], short[2:]
    long = tf.where(little_endian, first + 65536 * second, 65536 * first + second)

    def look_up(numbers: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        return tf.gather(numbers, tf.minimum(position, size))

    directory = look_up(long, tf.constant(4, tf.int64))
    entries = directory + 2 + 12 * tf.range(look_up(short, directory))
    # Pillow stops at an entry that is cut, or whose values lie past the end. Of several entries the last counts.
    units = tf.gather(tf.constant(_UNITS, tf.int64), tf.minimum(look_up(short, entries + 2), len(_UNITS) - 1))
    value_size = units * look_up(long, entries + 4)
    is_cut = (entries + 12 > size) | (value_size > 4) & (look_up(long, entries + 8) + value_size > size)
    is_read = tf.equal(tf.cumsum(tf.cast(is_cut, tf.int32)), 0)
    tagged = tf.boolean_mask(entries, tf.equal(look_up(short, entries), 274) & is_read)[-1:]
    kind = look_up(short, tagged + 2)
    by_kind = tf.stack([look_up(low, tagged + 8), look_up(short, tagged + 8), look_up(long, tagged + 8)])
    is_byte, is_short, is_long = (
        tf.reduce_any(tf.equal(kind[:, tf.newaxis], list(kinds)), axis=1)
        for kinds in (_BYTE_TYPES, _SHORT_TYPES, _LONG_TYPES)
    )
    value = tf.where(is_byte, by_kind[0], tf.where(is_long, by_kind[2], by_kind[1]))
    is_number = (is_byte | is_short | is_long) & tf.equal(look_up(long, tagged + 4), 1)
    of_exif = tf.reduce_sum(tf.where(is_number, value, 1))
    known_order = (little_endian | big_endian) & (size >= 8)
    return tf.where(known_order, tf.where(tf.size(tagged) > 0, of_exif, other), 1)


def _walk(
    encoded: tf.Tensor,
    first: int,
    parse_part: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], _Part],
    fields: Sequence[_Field],
    most: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Goes from part to part of a file.

    Args:
      encoded: the file.
      first: where the first part begins.
      parse_part: its position, its first 8 bytes, and the same as numbers (0 past the end) -> the part.
      fields: what is wanted.
      most: parts.

    Returns:
      [fields] the contents, [fields] whether each is there, and whether the walk came to the end.
    """
    size = tf.strings.length(encoded)
    kinds, prefixes, skips, takes, several = (tf.constant(column) for column in zip(*fields, strict=True))
    only_first, is_joined = tf.equal(several, b"first"), tf.equal(several, b"joined")
    prefix_sizes = tf.strings.length(prefixes)
    longest = max(len(field.prefix) for field in fields)
    nowhere = tf.zeros([len(fields)], tf.int32)

    def read(position: tf.Tensor) -> _Part:
        head = tf.strings.substr(encoded, position, 8)
        numbers = tf.cast(tf.io.decode_raw(head, tf.uint8, fixed_length=8), tf.int32)
        # Padded, so that the kind can be cut out of a head that is cut short.
        return parse_part(position, tf.strings.join([head, bytes(8)]), numbers)

    def goes_on(position: tf.Tensor, ends: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return (position < size) & ~ends

    def step(position: tf.Tensor, _: tf.Tensor, found: tf.Tensor, is_there: tf.Tensor) -> list[tf.Tensor]:
        one = read(position)
        start = tf.minimum(one.start, size)
        beginning = tf.strings.substr(encoded, start, longest)
        beginnings = tf.strings.substr(tf.fill([len(fields)], beginning + bytes(longest)), nowhere, prefix_sizes)
        is_it = tf.equal(kinds, one.kind) & tf.equal(beginnings, prefixes) & ~(only_first & is_there)
        content = tf.strings.substr(encoded, start, tf.where(tf.reduce_any(is_it), tf.maximum(one.size, 0), 0))
        content_size = tf.strings.length(content)
        contents = tf.strings.substr(tf.fill([len(fields)], content), tf.minimum(skips, content_size), takes)
        joined = tf.strings.join([tf.where(is_joined, found, b""), contents])
        # A size past the end, or so large that it reads as negative, is the last one.
        after = tf.where((one.after > position) & (one.after <= size), one.after, size)
        return [after, read(after).ends, tf.where(is_it, joined, found), is_there | is_it]

    begin = tf.minimum(first, size)
    state = [begin, read(begin).ends, tf.fill([len(fields)], b""), tf.fill([len(fields)], False)]
    position, ends, found, is_there = tf.while_loop(goes_on, step, state, maximum_iterations=most)
    return found, is_there, ~goes_on(position, ends)


def _join_faults(*cases: tuple[tf.Tensor, str]) -> tf.Tensor:
    return tf.strings.reduce_join([tf.where(condition, f"{text}. ", "") for condition, text in cases])


def _decode_number(four: tf.Tensor) -> tf.Tensor:
    """[4] bytes, the highest first; 2^31 and more come out negative."""
    return tf.reduce_sum(four * tf.constant([2**24, 2**16, 2**8, 1]))
