"""Answers as a log has them."""

from typing import Any

from serving.ab.answer_log import Answer


def answer(number, **changes):
    values: dict[str, Any] = {"arm": "canary", "version": 2, "label": "cat", "probability": 0.9, "milliseconds": 5.0}
    shares = {"canary": 0.1, "control": 0.1}
    return Answer(
        **({"id": f"r{number}", "when": f"2026-11-27T10:00:{number % 60:02}.000+00:00"} | values | shares | changes)
    )
