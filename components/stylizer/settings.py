"""What steers the training of a stylizer: one frozen object, whose defaults stand here and nowhere else."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atelier.settings.field_types import Count, Fraction, Integer, Number, Seed
from components.style_renderer.engine.settings import Weight

TFLITE_SIZES = (256, 384, 512)
"""Sides in pixels. LiteRT plans its memory for one size, and browsers refuse an open one."""
_Pixels = Annotated[Integer, Field(ge=64, le=4096)]


class TrainingSettings(BaseModel):
    """How a network learns the styles of a catalog."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    steps: Count = 24_000
    """Batches in all."""
    minutes: Annotated[Number, Field(gt=0)] | None = None
    """The training stops after so many, even if steps are left."""
    batch_size: Annotated[Integer, Field(ge=1, le=256)] = 16
    """Crops in a batch."""
    image_size: Annotated[Integer, Field(ge=64, le=1024, multiple_of=16)] = 256
    """Height and width in pixels of the crops that the network is trained on."""
    large_size: Annotated[Integer, Field(ge=64, le=1024, multiple_of=16)] = 384
    """The same near the end of the training: the statistics of a larger image are steadier."""
    large_share: Fraction = 0.3
    """Share of the training, at its end, in which the crops have `large_size`."""
    style_size: _Pixels = 512
    """Longer side in pixels at which a style image is looked at. Strokes are those of the optimizer at this size."""
    smallest_crop: _Pixels = 256
    """Side in pixels of the part of a photograph that is scaled to `image_size`, at least."""
    largest_crop: _Pixels = 640
    """At most; the shorter side of the photograph limits it too."""
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = 2e-3
    """Of Adam, at its highest: it rises at first, and falls along a cosine to a hundredth at the end."""
    content_weight: Weight = 1.0
    """Of the content loss, as a multiple of the one that the optimizer reaches in that style."""
    style_weight: Weight = 0.08
    """Of the style loss, as a multiple of the one that the optimizer reaches in that style."""
    tv_weight: Weight = 0.7
    """Of total variation, by its weight in the optimizer."""
    full_strength: Fraction = 0.6
    """Share of the crops that are trained at a strength of 1; the others have strengths of 0..1."""
    blends: Fraction = 0.1
    """Share of the crops that are trained on a blend of two styles."""
    vivid: Fraction = 0.3
    """Share of the crops whose hue is turned and whose saturation is raised. Photographs have few saturated areas, and
    a network that has not seen them makes patches of them."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Of the network and of the features; losses and weights are float32."""
    steps_per_round: Count = 250
    """The training state is saved after each round."""
    workers: Annotated[Integer, Field(ge=1, le=64)] = 2
    """Threads that cut the crops."""
    seed: Seed = 0
    """Of the first weights and of the crops."""

    @model_validator(mode="after")
    def _check_consistency(self) -> "TrainingSettings":
        if self.largest_crop < self.smallest_crop:
            raise ValueError(
                f"largest_crop is {self.largest_crop}, smallest_crop {self.smallest_crop}: it must not be smaller"
            )
        return self


class CatalogSettings(TrainingSettings):
    """How a network learns the styles of a catalog on two processors, from the base network if nothing else is said."""

    start: Literal["base", "random"] = "base"
    """`base`: from the base network that comes with the project. Its styles of the same image stay as they are
    unless there are others to learn. `random`: from random weights, which takes hours on a processor."""
    steps: Count = 6000
    """Batches in all."""
    minutes: Annotated[Number, Field(gt=0)] | None = 20.0
    """The training stops after so many, even if steps are left. A training that was stopped goes on counting."""
    values_share: Fraction = 0.4
    """From `base`: share of the steps and minutes in which only the new styles' normalization values are trained, at
    first. Then all weights are, on all styles."""
    large_share: Fraction = 0.0
    """Share of the training, at its end, in which the crops have `large_size`; such steps take twice as long."""
    values_learning_rate: Annotated[Number, Field(gt=0, le=1)] = 0.02
    """Of Adam, at its highest, while only normalization values are trained."""
    batch_size: Annotated[Integer, Field(ge=1, le=256)] = 2
    """Crops in a batch."""
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = 5e-4
    """Of Adam, at its highest, while all weights are trained. From `random`, give 0.002."""
    steps_per_round: Count = 25
    """The training state is saved after each round."""

    def plan_values_phase(self) -> TrainingSettings | None:
        """Plans the training of the new styles' normalization values; None: there is none."""
        if self.values_share == 0:
            return None
        return self._plan_phase(
            self.values_share,
            learning_rate=self.values_learning_rate,
            # At other strengths the row "no style" would be trained, which all styles share.
            full_strength=1.0,
            blends=0.0,
        )

    def plan_whole_phase(self) -> TrainingSettings | None:
        """Plans the training of all weights; None: there is none."""
        share = 1.0 if self.start == "random" else 1 - self.values_share
        return self._plan_phase(share) if share > 0 else None

    def _plan_phase(self, share: float, **changes: float) -> TrainingSettings:
        values = self.model_dump(include=set(TrainingSettings.model_fields)) | changes
        values["steps"] = max(1, round(share * self.steps))
        values["minutes"] = share * self.minutes if self.minutes else None
        return TrainingSettings(**values)
