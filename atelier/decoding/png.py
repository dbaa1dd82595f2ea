"""The chunks of a PNG: what Pillow and the served graph (libpng) must read alike."""

from collections.abc import Iterator

_PALETTE, _GRAY, _RGB = 3, 0, 2
"""Color types."""
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_ONCE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"sBIT", b"iCCP", b"cICP", b"eXIf"})
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_KEYS_OF_METADATA = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"exif\0")
_PLAIN_XMP = b"XML:com.adobe.xmp\0\0"
"""Of an `iTXt` chunk that is not compressed."""
_SRGB = (1, 13)
MOST_CHUNKS = 16384
"""That the served graph reads."""


def list_chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and content of each chunk up to the end; `IDAT` without its content."""
    position, name = 8, b""
    while position + 8 <= len(encoded) and name != b"IEND":
        length, name = int.from_bytes(encoded[position : position + 4], "big"), encoded[position + 4 : position + 8]
        yield name, encoded[position + 8 : position + 8 + length] if name != b"IDAT" else b""
        position += 12 + length


def read_chunks(encoded: bytes) -> dict[bytes, bytes]:
    """The chunks by their names; of several of one name the last, as the served graph reads them."""
    return dict(list_chunks(encoded))


def is_usual(encoded: bytes) -> bool:
    """Whether libpng and the graph take every chunk, and take it as Pillow does.

    Not so: chunks that are unknown and critical, or there twice, or too many; a palette that is missing; EXIF and XMP
    in the text chunks of ImageMagick and others; color spaces by code points other than sRGB's.
    """
    seen: set[bytes] = set()
    for number, (name, content) in enumerate(list_chunks(encoded)):
        if number >= MOST_CHUNKS:
            return False
        if not name.isalpha() or (name[:1].isupper() and name not in _CRITICAL) or (name in _ONCE and name in seen):
            return False
        if name == b"IDAT" and encoded[25] == _PALETTE and b"PLTE" not in seen:
            return False
        if name == b"cICP" and tuple(content[:2]) != _SRGB:
            return False
        is_plain_xmp = name == b"iTXt" and content.startswith(_PLAIN_XMP)
        if name in _TEXTS and content.startswith(_KEYS_OF_METADATA) and not is_plain_xmp:
            return False
        seen.add(name)
    return True


def read_transparency(encoded: bytes) -> bytes | int | tuple[int, ...] | None:
    """What `tRNS` says, by libpng's rules: alpha by palette entry, a gray level of 0 to 255, or samples of a color.

    The first one counts that lies before the pixels, after the palette, and has as many values as there can be. Pillow
    takes the last one wherever it is, and compares a level of 2 or 4 bits, as it is stored, with levels of 0 to 255.
    """
    depth, color_type = encoded[24], encoded[25]
    entries = 0
    for name, content in list_chunks(encoded):
        if name == b"IDAT":
            return None
        if name == b"PLTE":
            entries = len(content) // 3
        if name != b"tRNS":
            continue
        if color_type == _PALETTE and 0 < len(content) <= entries:
            return content
        if color_type == _GRAY and len(content) == 2:
            level = int.from_bytes(content, "big") & (2**depth - 1)
            return level * 255 // (2**depth - 1) if depth < 8 else level
        if color_type == _RGB and len(content) == 6:
            return tuple(int.from_bytes(content[at : at + 2], "big") & (2**depth - 1) for at in (0, 2, 4))
    return None
