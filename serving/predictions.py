"""What is predicted of a picture, whoever is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """What a model says about one picture.

    Attributes:
      label: the best class.
      probability: its probability, 0..1.
      top: (label, probability) of the best classes, best first, `label` among them.
      version: of the model that answered.
      milliseconds: wall time of the call in which the picture went, all its other pictures and retries included.
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    version: int
    milliseconds: float


def prediction(
    probabilities: np.ndarray, names: Sequence[str], *, top: int, version: int, milliseconds: float, label: str = ""
) -> Prediction:
    """Ranks one picture's classes.

    Args:
      probabilities: [C].
      names: of the C classes by id; empty: their ids stand for them.
      top: how many of the best to name.
      version: of the model.
      milliseconds: that the call took.
      label: of the best class, if it is known without `names`.
    """
    best = np.argsort(-probabilities, kind="stable")[:top]  # of equals the first, as argmax has it
    ranked = [(names[number] if names else str(number), float(probabilities[number])) for number in best]
    ranked[0] = (label or ranked[0][0], ranked[0][1])
    return Prediction(*ranked[0], tuple(ranked), version, milliseconds)
