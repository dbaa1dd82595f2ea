"""Names made from texts of any kind: for files and links, and for ids."""

import itertools
import re
import unicodedata
from collections.abc import Collection

_LONGEST = 60
_LONGEST_BYTES = 120
"""A file's name has 255 at most, and may hold two of these and a key."""


def make_slug(name: str) -> str:
    """Makes a name for files and links: letters of any script and digits, without accents, folders and ending."""
    base = name.rsplit("/", 1)[-1]
    base = base.rsplit(".", 1)[0] or base
    plain = "".join(map(_simplify, unicodedata.normalize("NFKC", base))).lower()
    # A single dash at most: a double one parts content, style and key.
    short = re.sub("-+", "-", plain).strip("-")[:_LONGEST]
    return short.encode("utf-8")[:_LONGEST_BYTES].decode("utf-8", "ignore").strip("-") or "image"


def make_unique_id(text: str, taken: Collection[str], default: str) -> str:
    """Makes an id of lower-case ASCII letters, digits and hyphens, with a number behind it where it is taken.

    Args:
      text: a title or a file's name.
      taken: ids that are in use.
      default: the id where `text` has no letter that ASCII has.
    """
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub("[^a-z0-9]+", "-", ascii_only.lower()).strip("-")[:_LONGEST].rstrip("-") or default
    numbered = (f"{slug[: 63 - len(str(number))]}-{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([slug], numbered) if name not in taken)


def _simplify(character: str) -> str:
    """Writes Latin letters with accents in ASCII; other letters, and the marks that are part of them, stay."""
    ascii_only = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    if ascii_only.isalnum():
        return ascii_only
    return character if character.isalnum() or unicodedata.category(character) in ("Mn", "Mc") else "-"
