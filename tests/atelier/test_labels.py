"""`labels.txt` as it is written and read, with names that hold what ends a line elsewhere."""

import pytest

from atelier import labels

# U+2028, U+0085, U+000B, U+000C, U+001C and a lone carriage return end a line for `str.splitlines`.
NAMES = ["gr\u2028ey", "b\u0085lue", "a\x0bb\x0cc\x1cd", "pi\rnk", " red ", "Käfer", "0:zero"]


def test_what_is_written_is_read(tmp_path):
    labels.write_labels(tmp_path, NAMES)
    assert (tmp_path / "labels.txt").read_bytes().count(b"\n") == len(NAMES)
    assert labels.read_labels(tmp_path) == NAMES


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"cat\ndog\n", ["cat", "dog"]),
        (b"cat\ndog", ["cat", "dog"]),
        (b"\xef\xbb\xbfcat\r\ndog\r\n\r\n", ["cat", "dog"]),
        (b"cat\n\ndog\n \n\n", ["cat", "", "dog"]),
        (b"", [""]),
    ],
)
def test_files_of_editors_are_read(content, expected):
    assert labels.parse_labels(content) == expected


def test_bytes_that_are_not_utf8_are_an_error():
    with pytest.raises(UnicodeDecodeError):
        labels.parse_labels(b"caf\xe9\n")
