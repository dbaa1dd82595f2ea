"""The segments of a JPEG."""

from collections.abc import Iterator

MOST_SEGMENTS = 512
"""That the served graph reads before the pixels."""
_FRAME = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_SCAN, _END, _FILLING = 0xDA, 0xD9, 0xFF


def is_usual(encoded: bytes) -> bool:
    """Whether the served graph reads all segments before the pixels."""
    return sum(1 for _ in _list_segments(encoded)) < MOST_SEGMENTS


def has_four_inks(encoded: bytes) -> bool:
    """Whether it is CMYK or YCCK."""
    return any(marker in _FRAME and encoded[at + 9 : at + 10] == b"\4" for marker, at in _list_segments(encoded))


def _list_segments(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yields marker and position of each segment before the pixels."""
    position = 2
    while encoded[position : position + 1] == b"\xff" and position + 1 < len(encoded):
        marker = encoded[position + 1]
        if marker in (_SCAN, _END):
            return
        yield marker, position
        position += 1 if marker == _FILLING else 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
