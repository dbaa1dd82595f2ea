"""JSON as every parser takes it: Python's own writes NaN and Infinity, which are none."""

import json
import math
from typing import Any


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps` with `null` for each number that is not finite, such as the loss of a training that diverged.

    Args:
      value: dictionaries, lists, tuples, texts and numbers.
      options: of `json.dumps`.
    """
    return json.dumps(_replace_nonfinite(value), allow_nan=False, **options)


def _replace_nonfinite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replace_nonfinite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace_nonfinite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
