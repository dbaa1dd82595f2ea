"""The one configuration object: every default of the project, with its reason, in one place.

A YAML file holds only what differs from these defaults::

    config = load("configs/mnist.yaml", overrides=["trainer.batch_size=16"])

Values are checked when they are read; what is read cannot be changed afterwards.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml
from pydantic import Field

from components.style_renderer.settings import Settings
from pipeline.orchestration import Beam, Count, Kubeflow, Metadata, Section
from trainer.backbones import NAMES as BACKBONES

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
OpenFraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file, the key and the remedy."""


_T = TypeVar("_T", bound=pydantic.BaseModel)

_RENDERING = "style.settings."


class Data(Section):
    """Where the pictures come from and how their records name things."""

    source: str = ""
    """`mnist`, `photos`, a folder of labelled pictures, or a folder of TFRecords."""
    image_key: str = "image/encoded"
    label_key: str = "image/class/label"
    """An int64 class id from 0, or a string, which then gets its id from a vocabulary."""
    splits: dict[Literal["train", "eval", "test"], str] = Field(default={})
    """File pattern by split, relative to `source`; empty: found by the names of folders or files."""
    split_buckets: tuple[Count, Count, Count] = (8, 1, 1)
    """Shares of train, eval and test when the records have one split only (a hash decides)."""


class Ingest(Section):
    """From pictures to TFRecords. Only folders of pictures and the built-in sets pass through it."""

    store_size: Annotated[int, Field(ge=16)] = 512
    """Longer side in pixels of what is stored: twice the usual input size leaves room for crops."""
    max_pixels: Count = 100_000_000
    """A header that promises more than this is refused before anything is decoded."""
    max_bad_fraction: Fraction = 0.01
    """Share of the files that may end in quarantine before the run stops."""
    eval_fraction: OpenFraction = 0.1
    test_fraction: OpenFraction = 0.2
    shards: Count = 2
    """Files a split: one a Beam worker at this size; about 100-200 MB each at scale."""


class Image(Section):
    """What the model sees."""

    size: Annotated[int, Field(ge=32, le=1024)] = 224
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """`crop` and `pad` keep the aspect; `pad` loses nothing at the border."""


class Augmentation(Section):
    """Random changes to training pictures; the defaults are the Keras ImageDataGenerator recipe."""

    copies: Annotated[int, Field(ge=0, le=64)] = 0
    """Augmented variants that Transform stores for each training picture."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 40.0
    """Degrees, either way."""
    width_shift: Fraction = 0.2
    height_shift: Fraction = 0.2
    shear: Annotated[float, Field(ge=0, le=89)] = 0.2
    """Degrees, as ImageDataGenerator's `shear_range` is."""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Each axis is scaled by a factor from [1 - zoom, 1 + zoom]."""
    horizontal_flip: bool = True
    crop_area: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Smallest share of the area that random-resized-crop keeps; 1 turns it off."""
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class Trainer(Section):
    """EfficientNet transfer in two phases: the head on kept features, then the upper blocks."""

    backbone: Literal[BACKBONES] = "efficientnet_lite0"  # type: ignore[valid-type]
    """Lite0: its ImageNet weights come from a package, and it was made for quantisation."""
    weights: str = "imagenet"
    """`imagenet`, `none`, or a weights file, whose SHA-256 must then be given."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    batch_size: Count = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    class_weights: bool = False
    """Weigh each class by the inverse of its frequency in the training split."""
    head_epochs: Count = 20
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    fine_tune_epochs: Annotated[int, Field(ge=0)] = 0
    fine_tune_at: Annotated[int, Field(ge=0)] = 4
    """First block that fine-tuning changes (0: the whole backbone, stem included)."""
    fine_tune_learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    flip_on_the_fly: bool = False
    """Flip at random while fine-tuning: nearly free, and new in every epoch."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the fine-tuning steps in which the rate rises from 0; then it falls as a cosine."""
    patience: Count = 5
    """Epochs without a better eval accuracy before a phase ends."""
    mixed_precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    seed: int = 0


class Evaluator(Section):
    """The SavedModel's gate. Both thresholds must be given: no model passes by forgetting them."""

    min_accuracy: Fraction
    max_accuracy_drop: Fraction
    """Against the baseline, in accuracy (0.01 is one point)."""
    top_k: Count = 3
    slices: tuple[str, ...] = ("image/class/label", "image/format")
    """Features whose values are reported one by one; those that the records lack are left out."""


class TFLite(Section):
    """The TFLite artefact and its gate, against the SavedModel on the same pictures."""

    push: Literal["float", "dynamic", "int8"] = "int8"
    max_accuracy_drop: Fraction = 0.01
    max_slice_accuracy_drop: Fraction = 0.1
    """On the worst label: wider, since a label has few pictures."""
    max_disagreement: Fraction = 0.05
    """Share of pictures whose top class differs from the SavedModel's."""
    calibration_images: Count = 200
    """More changes the ranges little; MediaPipe Model Maker takes 500 steps."""


class Style(Section):
    """The gallery: content pictures rendered in the styles of a catalogue."""

    enabled: bool = False
    catalog: str = "builtin"
    """`builtin`, a `catalog.yaml`, or a folder of pictures."""
    styles: tuple[str, ...] = ()
    """Ids of the catalogue; empty: all."""
    contents: str = "photos"
    """`photos` (three that packages ship), a folder of pictures, or `split:` and the split of the data."""
    max_contents: Annotated[int, Field(ge=0)] = 0
    """The first ones only; 0: all. A split of thousands is rendered whole if nothing stops it."""
    size: Annotated[int, Field(ge=0, le=32768)] = 0
    """Longer side of the renderings in pixels; 0: what the settings' last scale says."""
    strengths: tuple[Fraction, ...] = ()
    """Each style is rendered at each; empty: at its preset's own."""
    picture_format: Literal["jpeg", "png"] = "jpeg"
    max_bad_fraction: Fraction = 0.1
    """Share of the pictures that may be missing at the end before the run stops."""
    settings: Settings = Settings()
    """What is set here goes before the styles' own presets."""


class Config(Section):
    """The whole configuration of a run."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,38}$")]
    """Names the pipeline and its output folder."""
    data: Data = Data()
    ingest: Ingest = Ingest()
    image: Image = Image()
    augmentation: Augmentation = Augmentation()
    trainer: Trainer = Trainer()
    evaluator: Evaluator
    tflite: TFLite = TFLite()
    style: Style = Style()
    beam: Beam = Beam()
    metadata: Metadata = Metadata()
    kubeflow: Kubeflow = Kubeflow()

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Config":
        if self.ingest.eval_fraction + self.ingest.test_fraction >= 1:
            raise ValueError(
                "ingest.eval_fraction + ingest.test_fraction must stay below 1: nothing is left to train on"
            )
        if self.trainer.weights not in ("imagenet", "none") and not self.trainer.weights_sha256:
            raise ValueError(
                f"trainer.weights names the file {self.trainer.weights}: give its trainer.weights_sha256 too"
            )
        return self

    def with_source(self, source: str) -> "Config":
        """The same configuration with another `data.source`, taken as it is: no YAML rules for names of folders."""
        return self.model_copy(update={"data": self.data.model_copy(update={"source": source})})


def load(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Reads a YAML file, applies `key=value` overrides with dotted keys, and checks the result.

    Raises:
      ConfigError: the file cannot be read, a key is unknown (the nearest known one is named),
        a value has the wrong type or range, or a threshold is missing.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; the ready ones are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    for override in overrides:
        _apply(values, override)
    return _validate(Config, values, str(path))


def ingest(overrides: list[str] | tuple[str, ...] = ()) -> Ingest:
    """The section `ingest` alone, from its defaults and `key=value` overrides (`ingest.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(values, override.removeprefix("ingest."))
    return _validate(Ingest, values, "--set", "ingest.")


def beam(overrides: list[str] | tuple[str, ...] = ()) -> Beam:
    """The section `beam` alone, from its defaults and `key=value` overrides (`beam.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(values, override.removeprefix("beam."), "--beam")
    return _validate(Beam, values, "--beam", "beam.")


def rendering(overrides: list[str] | tuple[str, ...] = ()) -> Settings:
    """A rendering's settings alone, from `key=value` overrides (`style.settings.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(values, override.removeprefix(_RENDERING))
    return _validate(Settings, values, "--set", _RENDERING)


def _apply(values: dict[str, Any], override: str, flag: str = "--set") -> None:
    """Sets one dotted key in nested `values`, in place."""
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        example = "--beam workers=2" if flag == "--beam" else "--set trainer.batch_size=16"
        raise ConfigError(f"{flag} {override}: expected key=value, as in {example}")
    *sections, key = dotted.strip().split(".")
    for section in sections:
        below = values.setdefault(section, {})
        if below is None:
            below = values[section] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{flag} {override}: {section} is a value, not a section")
        values = below
    try:
        values[key] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{flag} {override}: the value is not YAML") from None


def _validate(section: type[_T], values: dict[str, Any], source: str, prefix: str = "") -> _T:
    try:
        return section.model_validate(values)
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(_explain(source, prefix, e) for e in error.errors())) from None


def _explain(source: str, prefix: str, error: Any) -> str:
    """One line about one of pydantic's errors."""
    key = prefix + ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{source}: unknown key {key}; {_hint(key)}"
    if error["type"] == "missing":
        hint = " (every gate needs its threshold)" if key.startswith("evaluator") else ""
        return f"{source}: {key} is missing{hint}"
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"] or (error["type"] == "value_error" and isinstance(error["input"], dict)):
        # About a section as a whole: the message names its keys.
        return f"{source}: {message}"
    return f"{source}: {key} is {error['input']!r}: {message[0].lower()}{message[1:]}"


def _hint(key: str) -> str:
    """The nearest known key, in the same section if it can be: `trainer.bach_size` and `batch_size` both find it."""
    section, _, name = key.rpartition(".")
    known = known_keys()
    here = [k for k in known if k.rpartition(".")[0] == section]
    for candidates in (here, known):
        by_name = {k.rpartition(".")[2]: k for k in candidates}
        if near := difflib.get_close_matches(name, by_name, n=1):
            return f"did you mean {by_name[near[0]]}?"
    return f"known here: {', '.join(here)}"


def known_keys(section: type[pydantic.BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key, sections included, in the order of their definition."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys
