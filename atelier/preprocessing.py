"""How an image becomes what a model sees: the facts that travel with the model, from training to every client."""

import json
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from atelier.errors import AtelierError
from atelier.layout import MAX_PIXELS
from atelier.settings.field_types import Count
from atelier.settings.json_facts import parse_facts

PREPROCESSING_SIGNATURE, QUERIES, PREPROCESSING = "preprocessing", "queries", "preprocessing"
"""A model server does not serve files. This signature gives a client the same JSON text, once for each query: its name,
its input ([N] string of any content) and its output ([N] string)."""
STORE_SIZE = 512
"""Pixels. Twice the usual input size leaves room for crops."""
JPEG_QUALITY = 95

Resize = Literal["crop", "pad", "stretch"]


class PreprocessingError(AtelierError):
    """A text that does not describe a preprocessing; the message says why."""


class Preprocessing(pydantic.BaseModel, extra="forbid", frozen=True):
    """How the images of a model's training were prepared, and how the images of a request must be."""

    size: Count
    """Side of the model's input in pixels."""
    resize: Resize
    """How an image becomes a square of that size."""
    store_size: Count | None
    """Larger images are scaled down to this longer side in pixels first. None: they keep their size."""
    max_pixels: Count = MAX_PIXELS
    """An image whose header promises more is rejected."""
    jpeg_quality: Annotated[Count, Field(le=100)] = JPEG_QUALITY
    """Of images that are encoded again after they were scaled down."""

    def to_json(self) -> str:
        """Returns the content of `preprocessing.json`."""
        return json.dumps(self.model_dump(), indent=1)


def parse(text: str | bytes) -> Preprocessing:
    """Reads what `Preprocessing.to_json` wrote.

    Raises:
      PreprocessingError: the text does not hold exactly these keys. A newer Atelier may have written it: a fact that
        this one does not know must not be passed over.
    """
    return parse_facts(Preprocessing, text, PreprocessingError)
