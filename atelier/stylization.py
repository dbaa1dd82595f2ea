"""What a stylizer tells its clients, and how weights by style become the numbers that it takes."""

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import pydantic
from pydantic import Field

from atelier.errors import AtelierError
from atelier.preprocessing import JPEG_QUALITY
from atelier.settings.field_types import Count
from atelier.settings.json_facts import parse_facts

STYLIZATION_SIGNATURE, QUERIES, STYLIZATION = "stylization", "queries", "stylization"
"""A model server does not serve files. This signature gives a client the content of `stylization.json`, once for each
query: its name, its input ([N] string of any content) and its output ([N] string)."""
STYLIZE_SIGNATURE = "serving_bytes"
IMAGE_BYTES, STYLE_WEIGHTS, STRENGTH = "image_bytes", "style_weights", "strength"
"""Its inputs: [N] encoded images, [N, styles] float32, and [N] float32 of 0..1."""
STYLIZED_BYTES = "stylized_bytes"
"""Its output: [N] JPEG. TensorFlow Serving's REST API encodes outputs as base64 whose names end in `_bytes`."""
MAX_PIXELS = 2048 * 2048
"""Of an image that is restyled in one piece. The network's features take some 600 bytes for each pixel."""


class StylizerError(AtelierError):
    """A file that holds no stylizer, or an image, style or strength that it does not take; the message says which."""


class Stylization(pydantic.BaseModel, extra="forbid", frozen=True):
    """The styles of a stylizer, and its limits."""

    styles: Annotated[tuple[str, ...], Field(min_length=1)]
    """The ids in the order of the style weights."""
    max_pixels: Count = MAX_PIXELS
    """An image of more pixels is rejected."""
    jpeg_quality: Annotated[Count, Field(le=100)] = JPEG_QUALITY
    """Of the stylized images."""

    def to_json(self) -> str:
        """Returns the content of `stylization.json`."""
        return json.dumps(self.model_dump(), indent=1)


def parse(text: str | bytes) -> Stylization:
    """Reads what `Stylization.to_json` wrote.

    Raises:
      StylizerError: the text does not hold exactly these keys.
    """
    return parse_facts(Stylization, text, StylizerError)


def weigh_styles(weights: Mapping[str, float], styles: Sequence[str]) -> list[float]:
    """Returns the weight of each of the `styles`, in their order; the sum is 1.

    Args:
      weights: by style id; their sum is divided out.
      styles: the ids that the stylizer has.

    Raises:
      StylizerError: an id is unknown, a weight is below 0 or no number, or none is above 0.
    """
    for style in weights:
        if style not in styles:
            raise StylizerError(f"there is no style {style}; {_suggest(style, styles)}")
    total = sum(weights.values())
    if not all(0 <= weight < math.inf for weight in weights.values()) or not 0 < total < math.inf:
        raise StylizerError(f"the style weights are {dict(weights)}: expected one above 0, and none below")
    return [weights.get(style, 0.0) / total for style in styles]


def check_strength(strength: float) -> None:
    """Checks a strength.

    Raises:
      StylizerError: it is not in 0..1.
    """
    if not 0 <= strength <= 1:
        raise StylizerError(f"the strength is {strength}: expected 0..1")


def _suggest(style: str, styles: Sequence[str]) -> str:
    by_lower_case = {known.lower(): known for known in styles}
    near = difflib.get_close_matches(style.lower(), by_lower_case, n=1)
    return f"did you mean {by_lower_case[near[0]]}?" if near else f"there are {', '.join(styles)}"
