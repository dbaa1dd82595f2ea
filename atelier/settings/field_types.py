"""Types of numbers in a configuration: what YAML reads as something else than a number is rejected, not converted."""

import re
from typing import Annotated, Any

import pydantic
from pydantic import Field

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", re.ASCII)

LARGEST_INT32 = 2**31 - 1
LARGEST_SEED = 2**32 - 2
"""NumPy takes seeds up to 2^32 - 1, and the Tuner adds 1."""


def _read_exponent(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as a text, since it has no dot."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


Integer = Annotated[int, Field(strict=True)]
"""Neither a boolean nor a text: pydantic would make 1 of `true`."""
Number = Annotated[float, pydantic.BeforeValidator(_read_exponent), Field(strict=True, allow_inf_nan=False)]
Count = Annotated[Integer, Field(ge=1, le=LARGEST_INT32)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Seed = Annotated[Integer, Field(ge=0, le=LARGEST_SEED)]
