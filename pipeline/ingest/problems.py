"""Why images that were read are no data set."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from atelier.files.path_text import format_path
from atelier.layout import SPLITS, TRAIN
from pipeline.ingest import sources, splits, units
from pipeline.ingest.errors import SourceError
from pipeline.ingest.ingest_report import count_by_class


def find_problem(
    source: str,
    listing: sources.Listing,
    rows: Sequence[splits.Row],
    by_split: Mapping[str, list[splits.Row]],
    bad: Sequence[units.Bad],
    max_bad_fraction: float,
) -> str:
    """Returns the first problem and its remedy; "" if there is none."""
    return (
        _check_budget(bad, len(listing.files), max_bad_fraction)
        or _find_doubled_class(source, rows)
        or _find_thin_class(source, by_split, listing.labels)
    )


def _check_budget(bad: Sequence[units.Bad], files: int, max_bad_fraction: float) -> str:
    if len(bad) <= max_bad_fraction * files:
        return ""
    counts = Counter(b.reason for b in bad)
    example = {b.reason: format_path(b.path) for b in reversed(bad)}
    width = max(len(reason) for reason in counts)
    table = [f"  {'reason':{width}}  files  for example"]
    table += [f"  {reason:{width}}  {count:5d}  {example[reason]}" for reason, count in counts.most_common()]
    return (
        f"{len(bad)} of {files} files ({len(bad) / files:.1%}) cannot be used, more than ingest.max_bad_fraction "
        f"({max_bad_fraction:.1%}) allows: repair or remove them, or raise that fraction\n" + "\n".join(table)
    )


def _find_doubled_class(source: str, rows: Sequence[splits.Row]) -> str:
    """Names a class whose images are all in other classes, too: nothing tells it from them."""
    classes: dict[str, set[str]] = defaultdict(set)
    images: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        classes[row.digest].add(row.label)
        images[row.label].add(row.digest)
    for label, digests in sorted(images.items()):
        if len(digests) >= len(SPLITS) and all(len(classes[digest]) > 1 for digest in digests):
            shared = Counter(other for digest in digests for other in classes[digest] - {label})
            others = ", ".join(f"{other} ({count})" for other, count in sorted(shared.items()))
            return (
                f"{source}: all {len(digests)} images of {label} are in other classes, too: {others}; "
                "merge the classes, or remove the images from the wrong one"
            )
    return ""


def _find_thin_class(source: str, by_split: Mapping[str, list[splits.Row]], classes: Sequence[str]) -> str:
    different = {(row.digest, row.label) for members in by_split.values() for row in members}
    counts = Counter(dict.fromkeys(classes, 0))
    counts.update(label for _, label in different)
    try:
        sources.check_counts(Path(source), counts)
    except SourceError as error:
        return str(error)
    untrained = [label for label, count in count_by_class(by_split[TRAIN], classes).items() if not count]
    if untrained:
        return f"{source}: no image of {', '.join(untrained)} is in the train split, which content decides: add images"
    empty = [split for split, members in by_split.items() if not members]
    if empty:
        return (
            f"{source}: no image is in {' and '.join(empty)}: add images, "
            f"raise {' and '.join(f'ingest.{split}_fraction' for split in empty)}, or give the split as a folder"
        )
    return ""
