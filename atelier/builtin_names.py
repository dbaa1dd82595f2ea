"""Words that name something built in where a path may stand, too.

`photos` is such a word, `./photos` is a path, and `builtin:photos` is never one. The bare word is rejected where a file
or folder has its name: it would have two meanings.
"""

from collections.abc import Collection
from pathlib import Path

from atelier.errors import AtelierError

CATALOG = "builtin"
"""The catalog of styles that comes with Atelier."""
PHOTOS = "photos"
"""Content images that come with installed packages."""
SPLIT_PREFIX = "split:"
"""Begins the name of content images that are a split of the data."""
_PREFIX = "builtin:"


class AmbiguousError(AtelierError):
    """A word that is the name of something built in and of a file or folder; the message says how to name either."""


def resolve(given: str, words: Collection[str]) -> str:
    """The word of `words` that `given` names; "" if it is a path."""
    word = given.removeprefix(_PREFIX)
    return word if word in words else ""


def check(given: str, words: Collection[str], key: str) -> None:
    """Rejects a bare word beside a file or folder of its name.

    Args:
      given: what the user gave for `key`.
      words: what is built in there.
      key: of the configuration or the command line, for the message.

    Raises:
      AmbiguousError: it has two meanings.
    """
    if given in words and Path(given).exists():
        raise AmbiguousError(
            f"{key} is {given}, which is built in, and {Path(given).absolute()} is there, too: "
            f"give ./{given} for what is there, or {_PREFIX}{given} for what is built in"
        )


def is_contents_name(given: str) -> bool:
    """Returns whether `given` names content images by a word, `photos` or `split:NAME`, and not by a folder."""
    return bool(resolve(given, (PHOTOS,))) or given.startswith(SPLIT_PREFIX)
