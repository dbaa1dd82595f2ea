"""What a model predicts for an image, whoever is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.client.errors import ServingError


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image.

    Attributes:
      label: the best class.
      probability: its probability, 0..1.
      top: (label, probability) of the best classes, best first, `label` among them.
      version: of the model that answered.
      milliseconds: wall time of the call in which the image was sent, all its other images and retries included.
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    version: int
    milliseconds: float


Answer = Prediction | ServingError
"""For one image: the prediction, or why there is none."""


class NoPredictionError(ServingError):
    """The model gave no usable answer for one or more images.

    Attributes:
      answers: one for each image of the request, in their order.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        first, *others = [each for each in answers if isinstance(each, ServingError)]
        super().__init__(f"{first}; {len(others)} more images alike" if others else str(first))
        self.answers = answers


def require_predictions(answers: Sequence[Answer]) -> list[Prediction]:
    """Returns the predictions.

    Raises:
      NoPredictionError: one of them is missing.
    """
    found = [each for each in answers if isinstance(each, Prediction)]
    if len(found) < len(answers):
        raise NoPredictionError(answers)
    return found


def rank_classes(
    probabilities: np.ndarray,
    names: Sequence[str],
    *,
    image: str,
    top: int,
    version: int,
    milliseconds: float,
    label: str = "",
) -> Answer:
    """Ranks the classes of one image.

    Args:
      probabilities: [C].
      names: of the C classes by id; empty: their ids are used instead.
      image: what a message calls the image.
      top: how many of the best classes to name.
      version: of the model.
      milliseconds: that the call took.
      label: of the best class, if it is known without `names`.

    Returns:
      The prediction; an error if a probability is NaN or infinite: no class is the best of them then.
    """
    if not np.isfinite(probabilities).all():
        counted = f"{np.count_nonzero(~np.isfinite(probabilities))} of {len(probabilities)} probabilities"
        return ServingError(f"{image}: version {version} of the model gives NaN or infinity for {counted}")
    best = np.argsort(-probabilities, kind="stable")[:top]  # of equal ones the first, as argmax has it
    ranked = [(names[number] if names else str(number), float(probabilities[number])) for number in best]
    ranked[0] = (label or ranked[0][0], ranked[0][1])
    return Prediction(*ranked[0], tuple(ranked), version, milliseconds)
