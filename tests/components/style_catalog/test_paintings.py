import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from components.style_catalog import paintings


def rcc(tree, version=3, compress=()):
    """A Qt resource file, written by the format's description: nodes, then contents, then names; folders are dicts."""
    nodes: list[bytes] = []
    contents = names = b""
    queue = [("", tree)]
    while queue:
        name, value = queue.pop(0)
        at = len(names)
        encoded = name.encode("utf-16-be")
        names += struct.pack(">HI", len(name), 0) + encoded
        if isinstance(value, dict):
            first = len(nodes) + 1 + len(queue)
            node = struct.pack(">IHII", at, 2, len(value), first)
            queue += value.items()
        else:
            flags = 1 if name in compress else 4 if name.endswith(".zst") else 0
            stored = struct.pack(">I", len(value)) + zlib.compress(value) if flags == 1 else value
            node = struct.pack(">IHHHI", at, flags, 0, 0, len(contents))
            contents += struct.pack(">I", len(stored)) + stored
        nodes.append(node + (struct.pack(">Q", 0) if version >= 2 else b""))
    header = 20 + (4 if version >= 3 else 0)
    body = b"".join(nodes)
    offsets = (header, header + len(body), header + len(body) + len(contents))
    return struct.pack(">4s4I", b"qres", version, *offsets) + b"\0" * (header - 20) + body + contents + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_files_are_found_by_their_paths(version):
    tree = {"a": {"b.txt": b"deep", "é": {"c": b"deeper"}}, "d.txt": b"z" * 1000}
    files = paintings.resources(rcc(tree, version, compress=("d.txt",)))
    assert files == {"/a/b.txt": b"deep", "/a/é/c": b"deeper", "/d.txt": b"z" * 1000}


def test_damage_is_named():
    whole = rcc({"a.txt": b"z" * 100}, compress=("a.txt",))
    for bad in (b"", b"qres", b"nope" + whole[4:], whole[:30], whole[:60] + b"\xff" * (len(whole) - 60)):
        with pytest.raises(ValueError, match="it is no Qt resource file, or is damaged"):
            paintings.resources(bad)
    with pytest.raises(ValueError, match="Zstandard"):
        paintings.resources(rcc({"a.zst": b""}))


PAINTING = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def webp(pixels, opaque=True):
    alpha = np.broadcast_to(np.asarray(opaque)[..., None] * np.uint8(255), (*pixels.shape[:2], 1))
    stream = io.BytesIO()
    Image.fromarray(np.concatenate([pixels, alpha.astype(np.uint8)], -1)).save(
        stream, "WEBP", lossless=True, exact=True
    )
    return stream.getvalue()


def board(title, levels):
    text = json.dumps(levels, indent=2)
    return f'QtObject {{\n property string instruction: qsTr("{title}")\n property var levels : {text}\n}}'.encode()


def test_a_puzzle_on_a_board_is_put_together():
    # Left and right half, on a board of 120 x 100, with the upper left corner at (20, 10).
    levels = [{"pixmapfile": "image/bg.svg", "width": 120, "height": 100}]
    levels += [
        {"pixmapfile": "image/left.webp", "x": str((20 + 20) / 120), "y": str((10 + 30) / 100)},
        {"pixmapfile": "image/right.webp", "x": str((60 + 20) / 120), "y": str((10 + 30) / 100)},
    ]
    files = {
        "/p/resource/board/other.qml": board("Another", []),
        "/p/resource/board/board1.qml": board("Somebody, The Title - 1900", levels),
        "/p/resource/image/left.webp": webp(PAINTING[:, :40]),
        "/p/resource/image/right.webp": webp(PAINTING[:, 40:]),
    }
    put = np.asarray(paintings.assembled(files, "The Title"))
    assert np.array_equal(put, PAINTING[3:-3, 3:-3])
    with pytest.raises(ValueError, match="no board bears the title None Such"):
        paintings.assembled(files, "None Such")
    with pytest.raises(ValueError, match=r"board/other\.qml: the board is not of the known form"):
        paintings.assembled(files, "Another")
    del files["/p/resource/image/left.webp"]
    with pytest.raises(ValueError, match=r"board1\.qml: the board is not of the known form .*left\.webp"):
        paintings.assembled(files, "The Title")


def test_holes_of_a_painting_are_filled_by_their_pieces():
    hole = np.zeros((60, 80), bool)
    hole[20:40, 30:50] = True
    levels = [{"pixmapfile": "image/ground.webp"}, {"pixmapfile": "image/piece.webp", "x": "0.5", "y": "0.5"}]
    files = {
        "/p/resource/board/board1.qml": board("The Title", levels),
        "/p/resource/image/ground.webp": webp(PAINTING, ~hole),
        "/p/resource/image/piece.webp": webp(PAINTING[20:40, 30:50]),
    }
    assert np.array_equal(np.asarray(paintings.assembled(files, "The Title")), PAINTING)


def test_a_crack_takes_its_neighbours_colours():
    cracked = np.ones((60, 80), bool)
    cracked[:, 40] = False
    files = {
        "/p/resource/board/board1.qml": board("The Title", [{"pixmapfile": "image/ground.webp"}]),
        "/p/resource/image/ground.webp": webp(PAINTING, cracked),
    }
    put = np.asarray(paintings.assembled(files, "The Title"))
    assert np.array_equal(put[cracked], PAINTING[cracked])
    assert np.array_equal(put[:, 40], PAINTING[:, 37])
