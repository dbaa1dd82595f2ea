"""What Transform is told: the names in the records, the size of the images, and their random changes.

This module is apart from `trainer.settings`, so that an edit of a backbone is no reason to transform the data again.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from atelier import layout
from atelier.preprocessing import Resize
from atelier.settings.field_types import Count, Fraction, Integer, Number
from atelier.settings.section import Section

Split = Literal[layout.SPLITS]  # type: ignore[valid-type]
Name = Annotated[str, Field(min_length=1)]

MIN_SIZE = 32
"""Pixels: every backbone halves the image five times."""


class Data(Section):
    """Where the images come from and how their records name things."""

    source: str = ""
    """A folder of labeled images, a folder of TFRecords, or a built-in source: see `atelier ingest --help`."""
    image_key: Name = layout.ENCODED_IMAGE
    """Feature with the encoded image."""
    label_key: Name = layout.CLASS_ID
    """An int64 class id from 0, or a string: then ids follow `labels.txt`, or the alphabet."""
    text_key: str = layout.CLASS_NAME
    """Name of the class, in records whose label is an id; "": names come from `labels.txt` alone."""
    splits: dict[Split, str] = Field(default={})
    """File pattern by split, relative to `source`; empty: found by the names of folders or files."""
    split_buckets: tuple[Count, Count, Count] = (8, 1, 1)
    """Shares of train, eval and test when the records have one split only (a hash decides)."""

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.image_key == self.label_key:
            raise ValueError(f"data.image_key and data.label_key are both {self.image_key}: name two features")
        return self


class Image(Section):
    """What the model sees."""

    size: Annotated[Integer, Field(ge=MIN_SIZE, le=1024)] = 224
    """Side in pixels of the model's input. 224 is what EfficientNet-Lite0 was trained with; smaller is faster."""
    resize: Resize = "crop"
    """`crop` and `pad` keep the aspect; `pad` loses nothing at the border."""


class Augmentation(Section):
    """Random changes to training images; the defaults are the Keras ImageDataGenerator recipe."""

    copies: Annotated[Integer, Field(ge=0, le=64)] = 0
    """Augmented variants that Transform stores for each training image."""
    rotation: Annotated[Number, Field(ge=0, le=180)] = 40.0
    """Degrees, either way."""
    width_shift: Fraction = 0.2
    """Share of the width, either way."""
    height_shift: Fraction = 0.2
    """Share of the height, either way."""
    shear: Annotated[Number, Field(ge=0, le=89)] = 0.2
    """Degrees, as ImageDataGenerator's `shear_range` is."""
    zoom: Annotated[Number, Field(ge=0, lt=1)] = 0.2
    """Each axis is scaled by a factor from [1 - zoom, 1 + zoom]."""
    horizontal_flip: bool = True
    """Mirror at random; turn it off where left and right matter, as in text."""
    crop_area: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Smallest share of the area that random-resized-crop keeps; 1 turns it off."""
    brightness: Fraction = 0.0
    """Random change of at most this share of the range of pixels, up or down; 0: off."""
    contrast: Fraction = 0.0
    """Random factor from [1 - contrast, 1 + contrast]; 0: off."""
    saturation: Fraction = 0.0
    """Random factor from [1 - saturation, 1 + saturation]; 0: off."""
    hue: Annotated[Number, Field(ge=0, le=0.5)] = 0.0
    """Random rotation of at most this share of the color circle, either way; 0: off."""


class NodeConfig(Section):
    """The `custom_config` of a node, parsed once where TFX hands it over."""

    model_config = pydantic.ConfigDict(extra="ignore")  # fingerprints, and what TFX's extensions for Vertex AI are told

    @classmethod
    def parse(cls, custom_config: Mapping[str, Any] | str) -> Self:
        """Checks what TFX passes on: the values themselves, or their JSON.

        Raises:
          pydantic.ValidationError: a value is missing or out of its range; the message names it.
        """
        if isinstance(custom_config, str):
            return cls.model_validate_json(custom_config)
        return cls.model_validate(custom_config)


class TransformConfig(Image, NodeConfig):
    """The `custom_config` of Transform."""

    image_key: Name
    label_key: Name
    augmentation: Augmentation = Augmentation()
    class_names: tuple[str, ...] = ()
    """By class id, where labels are strings and the names are known; a vocabulary has them otherwise."""
