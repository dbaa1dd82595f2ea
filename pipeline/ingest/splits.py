"""Which split an image belongs to, decided by its content; and which images are found twice.

What holds:

- An image's split depends on its pixels and on the two fractions alone. Adding or removing files moves no other
  image, and the same pixels, under whatever name, format or class, are always in one split.
- The splits are stratified in expectation: each class gives each split its fraction of images, give or take the
  binomial spread. No rule that looks at one image alone can promise more (any three images might all hash to
  train), and one that looks at the others would move images when files are added. So a small class may have no
  image in eval or test, which is reported; a class without training images and an empty split are errors.
- Copies within a split are kept, and counted. The same pixels in two splits that the source itself gives is leakage:
  test keeps them, else eval, and the other splits lose them, by name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from atelier.images import THUMBNAIL
from atelier.layout import EVAL, SPLITS, TEST, TRAIN

EXAMPLES = 20
"""How many cases of each kind the report names."""

_LEVELS = 10
_WINDOW = 32


@dataclass(slots=True)
class Row:
    """What the driver knows of a stored image; the pixels stay on disk.

    Attributes:
      path: relative to the source.
      label: the class's name.
      split: as given by the source, or "".
      digest: see `images.StoredImage`.
      thumbnail: see `images.StoredImage`, in hex.
      format: "jpeg" or "png".
      unit: which work unit's file holds its record.
      offset: where the record begins there, in bytes.
      length: the record's bytes, framing included.
      remarks: values of `images.Remark`.
    """

    path: str
    label: str
    split: str
    digest: str
    thumbnail: str
    format: str
    unit: int
    offset: int
    length: int
    remarks: tuple[str, ...] = ()


def choose_split(digest: str, eval_fraction: float, test_fraction: float) -> str:
    """Chooses the split of an image by the first 64 bits of its digest as a fraction of 2**64."""
    position = int(digest[:16], 16) / 2**64
    if position < test_fraction:
        return TEST
    return EVAL if position < test_fraction + eval_fraction else TRAIN


def assign(
    rows: list[Row], given: Iterable[str], eval_fraction: float, test_fraction: float
) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """Sets every row's split and finds what is there twice.

    A split that the source gives keeps its images; eval and test, where not given, are carved out of train.

    Returns:
      The rows of each split in the order of their digests (which mixes the classes) and then of their paths; and the
      findings for the report: `duplicates`, `conflicting_labels`, `leakage`, `near_duplicates`.
    """
    eval_fraction = 0.0 if EVAL in given else eval_fraction
    test_fraction = 0.0 if TEST in given else test_fraction
    same: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.digest, row.path)):
        if row.split in ("", TRAIN):
            row.split = choose_split(row.digest, eval_fraction, test_fraction)
        same[row.digest].append(row)

    splits: dict[str, list[Row]] = {split: [] for split in SPLITS}
    copies, conflicts, leaks = [], [], []
    for group in same.values():
        winner = max((row.split for row in group), key=SPLITS.index)
        kept = [row for row in group if row.split == winner]
        lost = [row for row in group if row.split != winner]
        splits[winner] += kept
        leaks += [{"dropped": row.path, "from": row.split, "kept": kept[0].path, "in": winner} for row in lost]
        if len({row.label for row in group}) > 1:
            conflicts.append([row.path for row in group])
        if len(kept) > 1:
            copies.append([row.path for row in kept])
    return splits, {
        "duplicates": {"pictures": sum(len(c) - 1 for c in copies), "examples": copies[:EXAMPLES]},
        "conflicting_labels": {"pictures": len(conflicts), "examples": conflicts[:EXAMPLES]},
        "leakage": {"dropped": len(leaks), "examples": leaks[:EXAMPLES]},
        "near_duplicates": _find_near_duplicates(splits),
    }


def _find_near_duplicates(splits: dict[str, list[Row]]) -> dict[str, Any]:
    rows = [row for split in SPLITS for row in splits[split]]
    thumbnails = np.frombuffer(bytes.fromhex("".join(row.thumbnail for row in rows)), np.uint8).reshape(-1, *THUMBNAIL)
    pairs = find_near_pairs(thumbnails, np.array([SPLITS.index(row.split) for row in rows]))
    later = {max(pair) for pair in pairs}
    return {
        "pictures": len(later),
        "by_split": dict(Counter(rows[i].split for i in sorted(later))),
        "examples": [
            {"paths": [rows[i].path, rows[j].path], "splits": [rows[i].split, rows[j].split]}
            for i, j in pairs[:EXAMPLES]
        ],
    }


def find_near_pairs(thumbnails: np.ndarray, splits: np.ndarray) -> list[tuple[int, int]]:
    """Finds images in different splits that differ by re-encoding or scaling only.

    Two images are compared when they agree in one row of their difference hash (dHash: is a pixel brighter than its
    left neighbor?) and stand close together among those in the order of brightness (sorted neighborhood: Hernandez
    and Stolfo, "The merge/purge problem for large databases", SIGMOD 1995). Time and memory grow linearly; in a crowd
    of like images some pairs are passed over, so that the count is a lower bound.

    Args:
      thumbnails: [N, 8, 9] uint8 gray.
      splits: [N] integers.

    Returns:
      Pairs (i, j) of indices with i < j, sorted, whose thumbnails differ by at most 10 of 255 levels everywhere.
    """
    pairs: set[tuple[int, int]] = set()
    bits = np.packbits(thumbnails[:, :, 1:] > thumbnails[:, :, :-1], axis=2)[:, :, 0]
    brightness = thumbnails.mean(axis=(1, 2))
    for band in bits.T:
        order = np.lexsort((brightness, band))
        for step in range(1, _WINDOW + 1):
            first, second = order[:-step], order[step:]
            candidate = (band[first] == band[second]) & (splits[first] != splits[second])
            first, second = first[candidate], second[candidate]
            difference = np.abs(thumbnails[first].astype(np.int16) - thumbnails[second]).max(axis=(1, 2), initial=0)
            close = difference <= _LEVELS
            pairs.update(
                zip(np.minimum(first, second)[close].tolist(), np.maximum(first, second)[close].tolist(), strict=True)
            )
    return sorted(pairs)
