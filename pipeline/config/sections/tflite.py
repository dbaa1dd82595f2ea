"""The section `tflite`: the TFLite files and their gate."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from atelier.settings.field_types import Count, Fraction
from atelier.settings.section import Section


class TFLite(Section):
    """The TFLite files and their gate, which compares them with the SavedModel on the same images."""

    push: Annotated[
        tuple[Literal["float", "dynamic", "int8"], ...],
        pydantic.BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
        Field(min_length=1),
    ] = ("int8",)
    """One variant, or several in the order of preference: the first that passes its gate is pushed."""
    max_accuracy_drop: Fraction = 0.01
    """Over all test images, in accuracy (0.01 is one point)."""
    max_slice_accuracy_drop: Fraction = 0.1
    """On the worst label: wider, since a label has few images."""
    max_disagreement: Fraction = 0.05
    """Share of images whose top class differs from the SavedModel's."""
    calibration_images: Count = 200
    """More changes the ranges little; MediaPipe Model Maker takes 500 steps."""

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "TFLite":
        if len(set(self.push)) < len(self.push):
            raise ValueError(f"tflite.push is {', '.join(self.push)}: name each variant once")
        return self

    @property
    def gates(self) -> dict[str, str]:
        """The variants in the order of preference, by the id of the Evaluator that is their gate."""
        first, *others = self.push
        return {"Evaluator.tflite": first, **{f"Evaluator.tflite.{variant}": variant for variant in others}}
