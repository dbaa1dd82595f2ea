"""The E-value of a test over time, as it would have been at each error had all truths been known at once."""

from collections.abc import Iterable, Mapping

import numpy as np

from serving.ab.answer_log import Answer
from serving.ab.arms import list_errors
from serving.ab.mixture import compute_log_e_value
from serving.ab.split import CANARY


def trace_e_value(answers: Iterable[Answer], truths: Mapping[str, str]) -> tuple[list[str], np.ndarray]:
    """Returns the times of the errors and log E after each, [errors]; the last one is that of the verdict.

    Args:
      answers: of one test, as `arms.select` returns them.
      truths: classes by request id.
    """
    errors = sorted(list_errors(answers, truths), key=lambda each: each.when)
    steps = np.zeros(len(errors))
    shares = [each.canary / (each.canary + each.control) for each in errors]
    # Each pair of shares is a factor of its own, as in `arms.count`.
    pairs = [(each.canary, each.control) for each in errors]
    for pair in dict.fromkeys(pairs):
        places = [number for number, each in enumerate(pairs) if each == pair]
        first = np.cumsum([errors[number].arm == CANARY for number in places])
        values = compute_log_e_value(np.arange(1, len(places) + 1), first, shares[places[0]])
        steps[places] = np.diff(values, prepend=0.0)
    return [each.when for each in errors], np.cumsum(steps)
