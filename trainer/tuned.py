"""Names of the values that a search chooses: keys of the section `trainer`, among Keras Tuner's own bookkeeping."""

from collections.abc import Mapping
from typing import Any

EPOCHS = "tuner/epochs"
"""Keras Tuner's name for the epochs that Hyperband grants a trial."""


def drop_bookkeeping(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `found` (a trial's values by name) without Keras Tuner's bookkeeping, whose names hold a slash."""
    return {key: value for key, value in found.items() if "/" not in key}
