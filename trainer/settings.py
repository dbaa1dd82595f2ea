"""The settings of the Trainer, the Tuner and Transform: each default, with its reason, stands here and nowhere else.

TFX hands settings over as JSON. `run_fn`, `tuner_fn` and `preprocessing_fn` parse them once, with the classes whose
names end in `Config`; everything below takes typed, frozen objects. The configuration is made of the same classes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from atelier.preprocessing import Preprocessing
from atelier.settings.field_types import LARGEST_INT32, Count, Fraction, Integer, Number, Seed
from atelier.settings.section import Section
from trainer import backbones
from trainer.transform_settings import Augmentation, Data, Image, Name, NodeConfig, Split, TransformConfig

__all__ = [
    "Augmentation",
    "Data",
    "Image",
    "Interval",
    "Name",
    "Space",
    "Split",
    "Trainer",
    "TrainerConfig",
    "TrainingConfig",
    "TransformConfig",
    "Tuner",
    "TunerConfig",
]

Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]
LearningRate = Annotated[Number, Field(gt=0, le=100)]
_FINE_TUNING_KEYS = ("fine_tune_at", "fine_tune_learning_rate", "augmentation_strength")
"""Keys that have no effect on the head's own phase."""


class Trainer(Section):
    """EfficientNet transfer in two phases: the head on kept features, then the upper blocks."""

    backbone: Literal[backbones.NAMES] = "efficientnet_lite0"  # type: ignore[valid-type]
    """Lite0: its ImageNet weights come from a package, and it was made for quantization."""
    weights: str = "imagenet"
    """`imagenet`, `none`, or a weights file, whose SHA-256 must then be given."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """Of the weights file, in hexadecimal; "" with `imagenet` and `none`."""
    batch_size: Count = 32
    """Images for each step; a larger batch is faster on a GPU and takes more memory."""
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.2
    """Share of the pooled features that is dropped while training; Keras' EfficientNets have 0.2."""
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    """Share of the target that is spread over all classes: less overconfident probabilities."""
    class_weights: bool = False
    """Weigh each class by the inverse of its frequency in the training split."""
    head_epochs: Count = 20
    """The most epochs of the head; on kept features an epoch takes a fraction of a second."""
    head_learning_rate: LearningRate = 1e-3
    """Adam's usual rate: the head starts from random weights."""
    fine_tune_epochs: Annotated[Integer, Field(ge=0, le=LARGEST_INT32)] = 0
    """The most epochs of fine-tuning; 0: the backbone stays frozen, which is the quickest."""
    fine_tune_at: Annotated[Integer, Field(ge=0)] = 4
    """First block that fine-tuning changes (0: the whole backbone, stem included)."""
    fine_tune_learning_rate: LearningRate = 1e-4
    """A tenth of the head's: pretrained weights should change little."""
    flip_on_the_fly: bool = False
    """Flip at random while fine-tuning: nearly free, and new in every epoch."""
    augmentation_strength: Fraction = 0.0
    """Vary every image again while fine-tuning, within this share of the ranges of `augmentation`; 0: not at all."""
    optimizer: Optimizer = "adam"
    """Of both phases; `sgd` with Nesterov's momentum of 0.9."""
    warmup_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    """Share of the fine-tuning steps in which the rate rises from 0; then it falls as a cosine."""
    patience: Count = 5
    """Epochs without a better eval accuracy before a phase ends."""
    mixed_precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    """`auto` times training steps in each format that the machine supports. It takes float32 if no format is a tenth
    faster, or if the training is not longer than the measurement."""
    seed: Seed = 0
    """Of weights, order and augmentation: the same seed gives the same model on the same machine."""

    def replace_values(self, chosen: Mapping[str, Any]) -> "Trainer":
        """Returns these settings with the values that a search chose, checked as those of a file are."""
        return type(self).model_validate(self.model_dump() | dict(chosen))

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "Trainer":
        network = backbones.NETWORKS[self.backbone]
        count = network.block_count
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
        if not self.weights.endswith(network.weights_endings):
            raise ValueError(
                f"trainer.weights is {self.weights!r}: the weights file of {self.backbone} ends in "
                f"{' or '.join(network.weights_endings)}"
            )
        return self


class Interval(Section):
    """Numbers from `min` to `max`, both included."""

    min: Number
    """Smallest value."""
    max: Number
    """Largest value."""
    sampling: Literal["linear", "log"] = "linear"
    """`log`: each power of ten is as likely as the next, as suits learning rates."""

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "Interval":
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} must be below max {self.max:g}")
        if self.sampling == "log" and self.min <= 0:
            raise ValueError(f"sampling is log, for which min must be above 0, not {self.min:g}")
        return self


class Space(Section):
    """What the Tuner may choose, by keys of the section `trainer`; what is null or empty stays as configured there."""

    head_learning_rate: Interval | None = Interval(min=1e-4, max=1e-1, sampling="log")
    """Searched by default: three powers of ten around the Trainer's default."""
    dropout: Interval | None = Interval(min=0.0, max=0.5)
    """Searched by default."""
    label_smoothing: Interval | None = Interval(min=0.0, max=0.2)
    """Searched by default."""
    batch_size: tuple[Count, ...] = ()
    """Values to choose from."""
    optimizer: tuple[Optimizer, ...] = ()
    """Values to choose from."""
    fine_tune_at: tuple[Integer, ...] = ()
    """Values to choose from; needs `trainer.fine_tune_epochs`."""
    fine_tune_learning_rate: Interval | None = None
    """Needs `trainer.fine_tune_epochs`."""
    augmentation_strength: Interval | None = None
    """Needs `trainer.fine_tune_epochs`."""

    @property
    def tuned(self) -> tuple[str, ...]:
        """The keys that are searched."""
        return tuple(key for key in type(self).model_fields if getattr(self, key))

    @property
    def of_fine_tuning(self) -> tuple[str, ...]:
        """Those of them that have no effect on the head's own phase."""
        return tuple(key for key in self.tuned if key in _FINE_TUNING_KEYS)

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
                raise ValueError(f"tuner.space.{key} holds {list(searched)}: give each value once")
            for value in (searched.min, searched.max) if isinstance(searched, Interval) else searched:
                _check_value(trainer, key, value)


class Tuner(Section):
    """The search for the Trainer's values, on the eval split.

    A trial trains the head on kept features, which takes seconds, and the upper blocks only where the space is about
    fine-tuning, too.
    """

    enabled: bool = False
    """Off: a search takes minutes, and the defaults suit most data."""
    algorithm: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """Hyperband gives most trials few epochs, and the best of them more (Li et al. 2018)."""
    max_trials: Count = 30
    """The most trials of the whole search."""
    max_minutes: Annotated[Number, Field(gt=0)] = 10.0
    """Of the whole search, what an earlier, killed run of it took included; a running trial ends with its epoch."""
    parallel_trials: Count = 1
    """Machines that search at once on Vertex AI, where the Tuner has a machine type."""
    space: Space = Space()


class TrainingConfig(NodeConfig):
    """What the `custom_config` of the Trainer and that of the Tuner share."""

    data: Data
    image: Image
    augmentation: Augmentation
    trainer: Trainer
    state_dir: str
    """Local folder for what a killed training leaves behind; "": none is kept."""
    class_names: tuple[str, ...] = ()
    """By class id; empty if they are not known before the run."""

    def replace_trainer(self, trainer: Trainer) -> Self:
        """Returns the same configuration with another section `trainer`."""
        return self.model_copy(update={"trainer": trainer})


class TrainerConfig(TrainingConfig):
    """The `custom_config` of the Trainer."""

    preprocessing: Preprocessing
    """What the exported model tells its clients."""
    provenance: dict[str, str]
    """What the model is made from; it is pushed with the model."""


class TunerConfig(TrainingConfig):
    """The `custom_config` of the Tuner."""

    tuner: Tuner


def _check_value(trainer: Trainer, key: str, value: Any) -> None:
    try:
        trainer.replace_values({key: value})
    except pydantic.ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ").removeprefix(f"trainer.{key} is {value}: ")
        raise ValueError(f"tuner.space.{key} holds {value}: {message[0].lower()}{message[1:]}") from None
