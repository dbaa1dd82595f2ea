"""What became of a batch: its report, what was lost, and whether that is too much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.errors import AtelierError
from components.style_renderer.batch import dead_letters, units
from components.style_renderer.batch.dead_letters import DeadLetter


class RenderError(AtelierError):
    """A batch that lost more units than it may; the message has the reasons. What could be rendered is written."""


@dataclass(frozen=True)
class Report:
    """What a batch did."""

    contents: int
    """Different images that could be used."""
    images: int
    """In the gallery: every content in every style at every strength, without those among the dead letters."""
    rendered: int
    """Of them by this batch; the others were there already."""
    dead: tuple[DeadLetter, ...]
    seconds: float
    gallery: str
    """Path of the page."""


def summarize(report: Report) -> str:
    """Says in a few lines what a batch did."""
    counts = f"{report.images} images of {report.contents} contents"
    done = f"{report.rendered} rendered in {report.seconds:.1f} s, {report.images - report.rendered} there already"
    lines = [f"{report.gallery}: {counts}; {done}"]
    if report.dead:
        lines += [f"  {len(report.dead)} dead letters:", dead_letters.format_table(report.dead)]
    return "\n".join(lines)


def list_lost(
    asked: Sequence[units.Unit],
    variants: Sequence[units.Variant],
    rendered: Mapping[str, Any],
    buried: Mapping[str, DeadLetter],
) -> list[DeadLetter]:
    """Lists the dead letters of the units that are not there: no unit goes missing without one."""
    letters = []
    for unit in asked:
        if unit.key not in rendered:  # a repeated bundle may have failed first, and rendered it then
            style = variants[unit.variant].style.id
            strength = variants[unit.variant].settings.strength
            unknown = DeadLetter(unit.content.id, "lost", "no worker has reported it: run again", style, strength)
            letters.append(buried.get(unit.key, unknown))
    return letters


def check_budget(
    dead: Sequence[DeadLetter], looked_at: int, variants: int, max_bad_fraction: float, output: str
) -> None:
    """Checks that no more is lost than allowed.

    Args:
      dead: what is lost.
      looked_at: contents, good and bad.
      variants: renderings of each.
      max_bad_fraction: share of the units that may be lost; all of them never may.
      output: for the message.

    Raises:
      RenderError: more is lost.
    """
    asked, lost = looked_at * variants, dead_letters.count_lost_units(dead, variants)
    if not lost or (lost <= max_bad_fraction * asked and lost < asked):
        return
    remedy = "remove what is at fault"
    if lost < asked:
        remedy += ", or raise --max-bad-fraction (of a run: style.max_bad_fraction)"
    raise RenderError(
        f"{lost} of {asked} images ({lost / asked:.1%}) could not be rendered, more than the "
        f"{max_bad_fraction:.1%} allowed: {remedy}\n{dead_letters.format_table(dead)}\n"
        f"All of them, and what could be rendered: {output}"
    )
