"""What an ingest found: `ingest_report.json`, and the few lines of it that the terminal shows."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atelier.files.path_text import format_path
from atelier.images import Remark
from atelier.layout import INGEST_REPORT_FILE
from pipeline.config import config
from pipeline.ingest import sources, splits, units

REMARKS = {
    Remark.PROFILE_CONVERTED.value: "converted from their color profile to sRGB",
    Remark.PROFILE_IGNORED.value: "with a broken or unsuitable color profile, taken as sRGB",
    Remark.DEPTH_SCALED.value: "of 16 bits that use fewer, scaled to the bits in use",
    Remark.ALPHA_IGNORED.value: "with a BMP alpha of 0 everywhere, taken as opaque",
    Remark.ONE_COLOR.value: "of nearly one color",
}
"""What the summary says of images, by what `ingest_report.json` calls it."""


def build(
    listing: sources.Listing,
    by_split: Mapping[str, list[splits.Row]],
    findings: Mapping[str, Any],
    bad: Sequence[units.Bad],
    *,
    source: str,
    settings: config.Ingest,
    problem: str,
    bytes_read: int,
) -> dict[str, Any]:
    """Builds the report, without the time that the ingest took.

    Args:
      listing: the files of the source.
      by_split: the stored images.
      findings: what `splits.assign` found twice.
      bad: the files in quarantine.
      source: as the user named it.
      settings: the `ingest` section of the configuration.
      problem: why the data set must not be used; "" if it may.
      bytes_read: of all files.
    """
    kept = [row for members in by_split.values() for row in members]
    return {
        "source": format_path(source),
        "settings": settings.model_dump(),
        "problem": problem,
        "classes": listing.labels,
        "files": len(listing.files),
        "ignored": listing.ignored,
        "given_splits": list(listing.given),
        "records": {
            split: {"pictures": len(members), "classes": count_by_class(members, listing.labels)}
            for split, members in by_split.items()
        },
        "classes_missing": {
            split: [label for label, count in count_by_class(members, listing.labels).items() if not count]
            for split, members in by_split.items()
        },
        "formats": dict(sorted(Counter(row.format for row in kept).items())),
        "quarantine": {
            "count": len(bad),
            "fraction": len(bad) / len(listing.files),
            "reasons": dict(Counter(b.reason for b in bad).most_common()),
        },
        **findings,
        "remarks": _count_remarks(kept),
        "bytes": {"read": bytes_read, "stored": sum(row.length for row in kept)},
    }


def summarize(report: dict[str, Any], output: Path) -> str:
    """Says in a few lines what an ingest found; what needs a look is named only where there is any."""
    counts = ", ".join(f"{split} {found['pictures']}" for split, found in report["records"].items())
    remarks = [
        (report["quarantine"]["count"], "files in quarantine"),
        (sum(report["ignored"].values()), "files and folders ignored"),
        (report["duplicates"]["pictures"], "copies of other images, kept beside them"),
        (report["conflicting_labels"]["pictures"], "images in more than one class"),
        (report["leakage"]["dropped"], "images dropped that another split has, too"),
        (report["near_duplicates"]["pictures"], "near-duplicates of images in another split"),
        *((found["images"], _name_examples(remark, found)) for remark, found in report["remarks"].items()),
    ]
    lines = [f"{output}: {counts} images of {len(report['classes'])} classes in {report['seconds']:.1f} s"]
    lines += [f"  {count} {remark}" for count, remark in remarks if count]
    lines += [
        f"  {split} has no {', '.join(missing)}" for split, missing in report["classes_missing"].items() if missing
    ]
    return "\n".join([*lines, f"  more: {output / INGEST_REPORT_FILE}"])


def count_by_class(rows: Sequence[splits.Row], classes: Sequence[str]) -> dict[str, int]:
    """Counts the rows of each class, also of those that have none."""
    counts = Counter(row.label for row in rows)
    return {label: counts[label] for label in classes}


def _name_examples(remark: str, found: dict[str, Any]) -> str:
    more = ", ..." if found["images"] > 1 else ""
    noun = "image" if found["images"] == 1 else "images"
    return f"{noun} {REMARKS[remark]}: {found['examples'][0]}{more}"


def _count_remarks(rows: Sequence[splits.Row]) -> dict[str, dict[str, Any]]:
    """What the report says of each remark that some image has: how many images, and the first of them by name."""
    paths: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for remark in row.remarks:
            paths[remark].append(format_path(row.path))
    return {
        remark: {"images": len(paths[remark]), "examples": sorted(paths[remark])[: splits.EXAMPLES]}
        for remark in REMARKS
        if paths[remark]
    }
