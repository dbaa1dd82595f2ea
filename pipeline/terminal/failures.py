"""Texts of other people's exceptions, shortened before a person reads them; the log has the whole."""

import re

_MOST_LINES = 30
_MOST_OF_A_LINE = 500

# b'...' and b"...", with their escapes; TensorFlow cuts long ones off, so that the closing quote may be missing.
_LITERAL = re.compile(r"""\bb'(?:[^'\\\n]|\\.)*'?|\bb"(?:[^"\\\n]|\\.)*"?""")
# Bytes that are written as escapes (\x89, \211) without a quote around.
_ESCAPES = re.compile(r"(?:[^\s\\]{0,8}\\(?:x[0-9a-fA-F]{2}|[0-3][0-7]{2}|[nrt'\"\\])){3,}[^\s\\]{0,8}")
# As hex digits: PyArrow puts each value into brackets. A SHA-256 has 64 digits, and stays.
_HEX = re.compile(r"\b(?:0x)?(?:[0-9a-fA-F]{2}){33,}\b|(?<=\[)(?=[0-9]*[A-F])(?:[0-9A-F]{2}){4,}(?=\])")
_UNPRINTABLE = re.compile(r"[^\n\x20-\x7e\xa0-\U0010ffff]|\ufffd")
_MARKS = re.compile(r"\(bytes\)(?:.{0,99}\(bytes\))+", re.DOTALL)
"""What is left of data between bytes that were left out."""


def shorten(text: str) -> str:
    """Leaves bytes of data out of an error's text, and cuts long lines and long texts."""
    text = _LITERAL.sub("(bytes)", text)
    text = _ESCAPES.sub("(bytes)", text)
    text = _HEX.sub("(bytes)", text)
    text = re.sub(rf"(?:{_UNPRINTABLE.pattern}){{2,}}", "(bytes)", text)
    text = _MARKS.sub("(bytes)", _UNPRINTABLE.sub(" ", text))
    lines = text.split("\n")
    cut = [line if len(line) <= _MOST_OF_A_LINE else f"{line[:_MOST_OF_A_LINE]}..." for line in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        cut.append(f"... ({len(lines) - _MOST_LINES} more lines in run.log)")
    return "\n".join(cut)
