"""The section `ingest`: from images to TFRecords."""

from typing import Annotated

from pydantic import Field

from atelier import layout
from atelier.preprocessing import STORE_SIZE
from atelier.settings.field_types import Fraction, Integer, Number
from atelier.settings.section import Section

OpenFraction = Annotated[Number, Field(gt=0.0, lt=1.0)]

MAX_JPEG_SIDE = 65_500
"""Pixels: libjpeg writes no longer side."""


class Ingest(Section):
    """From images to TFRecords. Only folders of images and the built-in data sets are ingested."""

    store_size: Annotated[Integer, Field(ge=16, le=MAX_JPEG_SIDE)] = STORE_SIZE
    """Longer side in pixels of what is stored: twice the usual input size leaves room for crops."""
    max_pixels: Annotated[Integer, Field(ge=1)] = layout.MAX_PIXELS
    """A header that promises more than this is rejected before anything is decoded."""
    max_bad_fraction: Fraction = 0.01
    """Share of the files that may be quarantined before the run stops."""
    eval_fraction: OpenFraction = 0.1
    """Share of the images in the eval split, on average: a hash of each image decides."""
    test_fraction: OpenFraction = 0.2
    """Share of the images in the test split, which only the gates use; larger, since they need certainty."""
    shards: Annotated[Integer, Field(ge=1, le=99_999)] = 2
    """Files a split: one a Beam worker at this size; about 100-200 MB each at scale."""
