"""What a rendering tells while it goes on, and what it may be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Iterate:
    """Where a rendering is."""

    scale: int
    """Index of the scale in work."""
    size: int
    """Its longer side in pixels."""
    iteration: int
    """Within the scale; 0 is the image that it starts from."""
    iterations: int
    """Of the scale."""
    done: float
    """Share of the whole work, 0..1."""
    losses: Mapping[str, float]
    """total, content, style, tv; empty before the first iteration of a scale."""
    image: Callable[[], np.ndarray]
    """Makes the image so far: [H, W, 3] uint8."""


class Controls(NamedTuple):
    """What may change while a rendering goes on; None leaves a value as it is."""

    strength: float | None = None
    style_weight: float | None = None
    tv_weight: float | None = None
    """At all scales."""


Callback = Callable[[Iterate], Controls | float | None]
"""Told each intermediate image. What it returns holds from then on; a number is the strength."""
