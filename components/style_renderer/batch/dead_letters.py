"""What could not be rendered, and why: kept aside for a person, counted against a budget."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

FILE = "dead_letters.jsonl"


@dataclass(frozen=True)
class DeadLetter:
    """A content image that cannot be used, or a unit that could not be rendered."""

    content: str
    reason: str
    """For counting: `truncated`, `not_an_image`, ..., or the kind of error of the engine."""
    detail: str
    """For a person."""
    style: str = ""
    """"" if the content itself is at fault, and with it all of its units."""
    strength: float | None = None


def format_lines(dead: Iterable[DeadLetter]) -> bytes:
    """One JSON object a line."""
    text = "".join(json.dumps(asdict(letter), ensure_ascii=False) + "\n" for letter in dead)
    return text.encode("utf-8", "backslashreplace")


def count_lost_units(dead: Sequence[DeadLetter], variants: int) -> int:
    """Units that are missing: a content that cannot be used costs one for every variant."""
    return sum(1 if letter.style else variants for letter in dead)


def format_table(dead: Sequence[DeadLetter]) -> str:
    """The reasons with their counts, the most frequent first, and what the first one of each says."""
    counts = Counter(letter.reason for letter in dead)
    first = {letter.reason: letter for letter in reversed(dead)}
    width = max(len(reason) for reason in ["reason", *counts])
    rows = [f"  {'reason':{width}}  count  for example"]
    for reason, count in counts.most_common():
        letter = first[reason]
        where = f"{letter.content} in {letter.style}" if letter.style else letter.content
        rows.append(f"  {reason:{width}}  {count:5d}  {where}: {letter.detail}")
    return "\n".join(rows)
