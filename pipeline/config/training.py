"""The sections of the configuration that say how the model is trained, and how its values are searched for."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from atelier.field_types import LARGEST_INT32, Count, Fraction, Integer, Number, Seed
from pipeline.config.orchestration import Section
from trainer import backbones
from trainer.tuned import OF_FINE_TUNING

LearningRate = Annotated[Number, Field(gt=0, le=100)]


class Augmentation(Section):
    """Random changes to training pictures; the defaults are the Keras ImageDataGenerator recipe."""

    copies: Annotated[Integer, Field(ge=0, le=64)] = 0
    """Augmented variants that Transform stores for each training picture."""
    rotation: Annotated[Number, Field(ge=0, le=180)] = 40.0
    """Degrees, either way."""
    width_shift: Fraction = 0.2
    height_shift: Fraction = 0.2
    shear: Annotated[Number, Field(ge=0, le=89)] = 0.2
    """Degrees, as ImageDataGenerator's `shear_range` is."""
    zoom: Annotated[Number, Field(ge=0, lt=1)] = 0.2
    """Each axis is scaled by a factor from [1 - zoom, 1 + zoom]."""
    horizontal_flip: bool = True
    crop_area: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Smallest share of the area that random-resized-crop keeps; 1 turns it off."""
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    hue: Annotated[Number, Field(ge=0, le=0.5)] = 0.0


class Trainer(Section):
    """EfficientNet transfer in two phases: the head on kept features, then the upper blocks."""

    backbone: Literal[backbones.NAMES] = "efficientnet_lite0"  # type: ignore[valid-type]
    """Lite0: its ImageNet weights come from a package, and it was made for quantisation."""
    weights: str = "imagenet"
    """`imagenet`, `none`, or a weights file, whose SHA-256 must then be given."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    batch_size: Count = 32
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.2
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    class_weights: bool = False
    """Weigh each class by the inverse of its frequency in the training split."""
    head_epochs: Count = 20
    head_learning_rate: LearningRate = 1e-3
    fine_tune_epochs: Annotated[Integer, Field(ge=0, le=LARGEST_INT32)] = 0
    fine_tune_at: Annotated[Integer, Field(ge=0)] = 4
    """First block that fine-tuning changes (0: the whole backbone, stem included)."""
    fine_tune_learning_rate: LearningRate = 1e-4
    flip_on_the_fly: bool = False
    """Flip at random while fine-tuning: nearly free, and new in every epoch."""
    augmentation_strength: Fraction = 0.0
    """Vary every picture anew while fine-tuning, within this share of the ranges of `augmentation`; 0: not at all."""
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    """Of both phases; `sgd` with Nesterov's momentum of 0.9."""
    warmup_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    """Share of the fine-tuning steps in which the rate rises from 0; then it falls as a cosine."""
    patience: Count = 5
    """Epochs without a better eval accuracy before a phase ends."""
    mixed_precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    seed: Seed = 0

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Trainer":
        count = backbones.BLOCK_COUNTS[self.backbone]
        if self.fine_tune_at >= count:
            raise ValueError(
                f"trainer.fine_tune_at is {self.fine_tune_at}: {self.backbone} has the blocks 0 to {count - 1}"
            )
        if self.weights in ("imagenet", "none"):
            return self
        if not self.weights.strip():
            raise ValueError("trainer.weights is empty: expected imagenet, none, or the path of a weights file")
        if not self.weights_sha256:
            raise ValueError(f"trainer.weights names the file {self.weights}: give its trainer.weights_sha256 too")
        endings = backbones.weights_endings(self.backbone)
        if not self.weights.endswith(endings):
            raise ValueError(
                f"trainer.weights is {self.weights!r}: the weights file of {self.backbone} ends in "
                f"{' or '.join(endings)}"
            )
        return self


class Interval(Section):
    """Numbers from `min` to `max`, both included."""

    min: Number
    max: Number
    sampling: Literal["linear", "log"] = "linear"
    """`log`: each power of ten is as likely as the next, as suits learning rates."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Interval":
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} must be below max {self.max:g}")
        if self.sampling == "log" and self.min <= 0:
            raise ValueError(f"sampling is log, for which min must be above 0, not {self.min:g}")
        return self


class Space(Section):
    """What the Tuner may choose, by keys of the section `trainer`; what is null or empty stays as configured there."""

    head_learning_rate: Interval | None = Interval(min=1e-4, max=1e-1, sampling="log")
    dropout: Interval | None = Interval(min=0.0, max=0.5)
    label_smoothing: Interval | None = Interval(min=0.0, max=0.2)
    batch_size: tuple[Count, ...] = ()
    optimizer: tuple[Literal["adam", "adamw", "rmsprop", "sgd"], ...] = ()
    fine_tune_at: tuple[Integer, ...] = ()
    fine_tune_learning_rate: Interval | None = None
    augmentation_strength: Interval | None = None

    @property
    def tuned(self) -> tuple[str, ...]:
        """The keys that are searched."""
        return tuple(key for key in type(self).model_fields if getattr(self, key))

    @property
    def of_fine_tuning(self) -> tuple[str, ...]:
        """Those of them that have no effect on the head's own phase."""
        return tuple(key for key in self.tuned if key in OF_FINE_TUNING)

    def check(self, trainer: Trainer) -> None:
        """Every value that may be chosen must be one that the section `trainer` takes.

        Raises:
          ValueError: one is not, or there is nothing to choose, or it is about a phase that `trainer` leaves out.
        """
        if not self.tuned:
            raise ValueError("tuner.space is empty: there is nothing to search")
        if self.of_fine_tuning and not trainer.fine_tune_epochs:
            raise ValueError(
                f"tuner.space.{self.of_fine_tuning[0]} is about fine-tuning, and trainer.fine_tune_epochs is 0: "
                "raise that, or leave it out"
            )
        for key in self.tuned:
            searched = getattr(self, key)
            if not isinstance(searched, Interval) and len(set(searched)) < len(searched):
                raise ValueError(f"tuner.space.{key} holds {list(searched)}: each value once")
            for value in (searched.min, searched.max) if isinstance(searched, Interval) else searched:
                _check_value(trainer, key, value)


class Tuner(Section):
    """The search for the Trainer's values, on the eval split.

    A trial trains the head on kept features, which takes seconds, and the upper blocks only where the space is about
    fine-tuning, too.
    """

    enabled: bool = False
    algorithm: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """Hyperband gives most trials few epochs, and the best of them more (Li et al. 2018)."""
    max_trials: Count = 30
    max_minutes: Annotated[Number, Field(gt=0)] = 10.0
    """Of the whole search, what an earlier, killed run of it took included; a running trial ends with its epoch."""
    parallel_trials: Count = 1
    """Machines that search at once on Vertex AI, where the Tuner has a machine type."""
    space: Space = Space()


def _check_value(trainer: Trainer, key: str, value: Any) -> None:
    try:
        Trainer.model_validate(trainer.model_dump() | {key: value})
    except pydantic.ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ").removeprefix(f"trainer.{key} is {value}: ")
        raise ValueError(f"tuner.space.{key} holds {value}: {message[0].lower()}{message[1:]}") from None
