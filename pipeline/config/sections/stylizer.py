"""The section `stylizer`: the one-pass stylizer and its gate."""

from typing import Annotated

import pydantic
from pydantic import Field

from atelier.builtin_names import SPLIT_PREFIX
from atelier.layout import SPLITS
from atelier.settings.field_types import Count, Integer
from atelier.settings.section import Section
from components.stylizer.settings import TFLITE_SIZES, CatalogSettings
from components.stylizer_evaluator.settings import GateSettings
from trainer.settings import Name


class Stylizer(Section):
    """The one-pass stylizer, which learns the styles of `style.catalog` that `style.styles` names."""

    enabled: bool = False
    """Off: training takes minutes."""
    contents: Name = f"{SPLIT_PREFIX}train"
    """What it is trained on: `split:` and a split of the data, a folder of images, or `photos` (three that packages
    ship)."""
    max_contents: Count = 200
    """Images that it is trained on, at most; they are kept in memory."""
    held_out: Name = f"{SPLIT_PREFIX}test"
    """Images of the gate: as `contents`, but none of those."""
    training: CatalogSettings = CatalogSettings()
    """How it is trained."""
    tflite_sizes: tuple[Annotated[Integer, Field(ge=64, le=1024, multiple_of=4)], ...] = TFLITE_SIZES
    """Sides in pixels of the TFLite files' images, which are square; empty: there are no TFLite files."""
    gate: GateSettings = GateSettings()
    """What is measured before it is pushed, and the thresholds."""

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "Stylizer":
        for key in ("contents", "held_out"):
            value = getattr(self, key)
            if value.startswith(SPLIT_PREFIX) and value.removeprefix(SPLIT_PREFIX) not in SPLITS:
                raise ValueError(f"stylizer.{key} is {value!r}: the splits are {', '.join(SPLITS)}")
        if len(set(self.tflite_sizes)) < len(self.tflite_sizes):
            raise ValueError(f"stylizer.tflite_sizes is {list(self.tflite_sizes)}: each size once")
        if self.contents == self.held_out:
            raise ValueError(
                f"stylizer.contents and stylizer.held_out are both {self.contents!r}: the gate measures images "
                "that the stylizer was not trained on; give another split or folder"
            )
        if self.training.style_size > 8 * self.gate.size:
            raise ValueError(
                f"stylizer.gate.size is {self.gate.size}, an eighth of stylizer.training.style_size "
                f"({self.training.style_size}) at least: raise it"
            )
        return self
