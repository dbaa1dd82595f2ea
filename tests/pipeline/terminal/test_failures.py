"""What of an exception's text a person sees."""

import random

import pytest

from pipeline.terminal.failures import shorten

DATA = random.Random(0).randbytes(5000)


@pytest.mark.parametrize(
    "text",
    [
        f"Expected image (JPEG, PNG, or GIF), got unknown format starting with {DATA[:16]!r} [Op:DecodeImage]",
        f"array([[{DATA!r}, {DATA!r}]], dtype=object) [Op:DecodeImage]",
        f"cut by TensorFlow: {repr(DATA)[:400]}",
        "starting with '\\000\\211PNG\\r\\n\\032\\n' [Op:DecodeImage]",
        f"hex {DATA.hex()} [Op:DecodeImage]",
        # A batch as PyArrow shows it, which is what TensorFlow Transform's errors end with.
        f"image/encoded: [[{DATA.hex().upper()}],[{DATA[:20].hex().upper()}],[89504E47]]\nlabel: [[1],[2],[3]]",
        f"raw {DATA.decode('utf-8', 'replace')} [Op:DecodeImage]",
    ],
)
def test_bytes_are_left_out_and_the_rest_stays(text):
    short = shorten(text)
    assert "(bytes)" in short
    assert not any(
        part in short for part in ("\\x", "\\0", "89504E", DATA.hex()[:8], DATA.hex()[:8].upper(), "\x00", "\ufffd")
    )
    assert short.split("(bytes)")[0].split("\n")[0] == text.split("\n")[0][: short.index("(bytes)")]
    assert len(short) < 1000


def test_what_is_no_data_stays_as_it_is():
    text = (
        "the data does not match its schema:\n  eval: image/class/label: Out-of-range values: 7 (max 1)\n"
        "  Käfer's name at /data/train-00000-of-00001, sha256 "
        "ad35b9462ce1971d3ca1bc672c36abf2494a738410fa3ac3519131274ea5ae9b, ids [[12345678],[2]]"
    )
    assert shorten(text) == text


def test_long_texts_are_cut():
    short = shorten("\n".join(["x" * 2000] * 100))
    assert len(short.split("\n")) == 31
    assert short.endswith("(70 more lines in run.log)")
    assert all(len(line) < 600 for line in short.split("\n"))
