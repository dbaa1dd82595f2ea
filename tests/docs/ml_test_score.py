"""The ML Test Score of Atelier, with the evidence for each of its 28 tests.

Breck, Cai, Nielsen, Salib and Sculley 2017, "The ML Test Score: A Rubric for ML Production Readiness and Technical Debt
Reduction" (IEEE Big Data), sections II to V. A test scores 1 where something runs it again and again by itself, 0.5
where a person can run it by what is written down, and 0 otherwise. The score is the smallest of the four sums.

    python -m tests.docs.ml_test_score

writes the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "ml-test-score.md"


@dataclass(frozen=True)
class Row:
    """One test of the rubric.

    Attributes:
      name: in the paper's words.
      score: 1, 0.5 or 0.
      how: what does it, or what is missing.
      tests: that prove it, as pytest names them.
      commands: with which a person runs it.
    """

    name: str
    score: float
    how: str
    tests: Sequence[str] = ()
    commands: Sequence[str] = ()


def _read() -> dict[str, list[Row]]:
    sections = yaml.safe_load((Path(__file__).with_suffix(".yaml")).read_text(encoding="utf-8"))
    return {name: [Row(**row) for row in rows] for name, rows in sections.items()}


SECTIONS = _read()


def sum_sections() -> dict[str, float]:
    """Returns the sum of each section's scores, 0 to 7."""
    return {name: sum(row.score for row in rows) for name, rows in SECTIONS.items()}


_INTRODUCTION = """# ML Test Score

28 tests of how ready a machine learning system is for production (Breck et al. 2017, "The ML Test Score", IEEE Big
Data).
A test scores 1 where something runs it again and again by itself, 0.5 where a person can run it by what is written
down, and 0 otherwise; the smallest of the four sums counts. In the paper's words 3 to 5 are strong levels of automated
testing and monitoring, and more than 5 are exceptional ones. `python -m tests.docs.ml_test_score` writes this page; a
test holds it against the tests and commands that it names.
"""


def build_page() -> str:
    """Returns the page as Markdown."""
    sums = sum_sections()
    by_section = ", ".join(f"{name} {value:g}" for name, value in sums.items())
    parts = [_INTRODUCTION, f"**Score: {min(sums.values()):g}** ({by_section}; 7 each at most)"]
    for name, rows in SECTIONS.items():
        parts += ["", f"## {name}: {sums[name]:g}", "", "| test | score | how | evidence |", "|---|---|---|---|"]
        for row in rows:
            evidence = [f"`{test}`" for test in row.tests] + [f"`{command}`" for command in row.commands]
            parts.append(f"| {row.name} | {row.score:g} | {row.how} | {'<br>'.join(evidence) or '-'} |")
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    PAGE.write_text(build_page(), encoding="utf-8")
