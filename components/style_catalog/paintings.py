"""Paintings out of GCompris' puzzles, where Debian's `gcompris-qt-data` is installed.

They lie there cut into pieces, in a Qt resource file; each puzzle's board says where a piece belongs. Nothing of this
is copied before the catalogue is written.
"""

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

_FOLDER, _ZLIB, _ZSTD = 2, 1, 4
_NOT_A_RESOURCE = "it is no Qt resource file, or is damaged"
_LEVELS = re.compile(r"levels *: *(\[.*\])", re.DOTALL)
_RAGGED = 3
"""Pixels at the border that some pieces leave uncovered."""


def resources(data: bytes) -> dict[str, bytes]:
    """The files of a Qt resource file (.rcc) by path.

    Raises:
      ValueError: it is damaged, or compressed in a way that is not read here.
    """
    try:
        magic, version, tree, contents, names = struct.unpack_from(">4s4I", data)
        if magic != b"qres":
            raise ValueError(_NOT_A_RESOURCE)
        return dict(_files(data, tree, contents, names, 22 if version >= 2 else 14))
    except (struct.error, zlib.error, UnicodeDecodeError, RecursionError):
        raise ValueError(_NOT_A_RESOURCE) from None


def assembled(files: Mapping[str, bytes], title: str) -> Image.Image:
    """The painting whose board bears `title` in its caption, put together, RGB.

    Raises:
      ValueError: there is no such board, or its pieces are not what it says.
    """
    for path, content in files.items():
        if path.endswith(".qml") and title in (board := content.decode("utf-8", "replace")):
            try:
                return _assembled(files, path, json.loads(_LEVELS.findall(board)[0]))
            except (LookupError, TypeError, ValueError, OSError) as error:
                raise ValueError(f"{path}: the board is not of the known form ({error})") from None
    raise ValueError(f"no board bears the title {title}")


def _files(
    data: bytes, tree: int, contents: int, names: int, size: int, node: int = 0, path: str = ""
) -> Iterator[tuple[str, bytes]]:
    name, flags, first, second = struct.unpack_from(">IHII", data, tree + node * size)
    if node:
        length = struct.unpack_from(">H", data, names + name)[0]
        start = names + name + 6  # behind the length, a hash
        path = f"{path}/{data[start : start + 2 * length].decode('utf-16-be')}"
    if flags & _FOLDER:
        for child in range(second, second + first):
            yield from _files(data, tree, contents, names, size, child, path)
        return
    length = struct.unpack_from(">I", data, contents + second)[0]
    start = contents + second + 4
    content = data[start : start + length]
    if flags & _ZSTD:
        raise ValueError("it is compressed with Zstandard, which is not read here")
    yield path, zlib.decompress(content[4:]) if flags & _ZLIB else content


def _assembled(files: Mapping[str, bytes], path: str, levels: list[dict[str, Any]]) -> Image.Image:
    folder = path.rpartition("/board/")[0]

    def piece(level: dict[str, Any]) -> Image.Image:
        return Image.open(io.BytesIO(files[f"{folder}/{level['pixmapfile']}"])).convert("RGBA")

    ground, *pieces = levels
    # The ground is the painting with holes, or a board, of which only the size matters.
    is_board = ground["pixmapfile"].endswith(".svg")
    painting = Image.new("RGBA", (ground["width"], ground["height"])) if is_board else piece(ground)
    for level in pieces:
        part = piece(level)
        left = round(float(level["x"]) * painting.width - part.width / 2)
        top = round(float(level["y"]) * painting.height - part.height / 2)
        painting.paste(part, (left, top), part)
    if is_board:
        left, top, right, bottom = painting.getbbox() or (0, 0, *painting.size)
        painting = painting.crop((left + _RAGGED, top + _RAGGED, right - _RAGGED, bottom - _RAGGED))
    # Cracks between pieces, a pixel wide, take their neighbours' colours.
    whole = Image.new("RGBA", painting.size)
    for shift in ((_RAGGED, 0), (0, _RAGGED), (0, 0)):
        whole.paste(painting, shift, painting)
    return whole.convert("RGB")
