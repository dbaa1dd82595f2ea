"""The one configuration object: every default of the project, with its reason, in one place.

A YAML file holds only what differs from these defaults::

    config = load("configs/mnist.yaml", overrides=["trainer.batch_size=16"])

Values are checked when they are read; what is read cannot be changed afterwards.
"""

import difflib
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml
from pydantic import Field

from atelier import layout
from atelier.errors import AtelierError
from atelier.field_types import LARGEST_INT32, Count, Fraction, Integer, Number
from atelier.preprocessing import STORE_SIZE
from atelier.section import Section
from components.style_renderer.engine.settings import MAX_SCALE, MIN_SCALE, SPLIT, Settings
from pipeline.config.orchestration import Beam, Kubeflow, Metadata
from trainer.settings import Augmentation, Data, Image, Name, Split, Trainer, Tuner

__all__ = [
    "MAX_JPEG_SIDE",
    "Config",
    "ConfigError",
    "Data",
    "Evaluator",
    "Image",
    "Ingest",
    "Style",
    "TFLite",
    "beam",
    "ingest",
    "known_keys",
    "load",
    "rendering",
]

StyleId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
OpenFraction = Annotated[Number, Field(gt=0.0, lt=1.0)]


MAX_JPEG_SIDE = 65_500
"""Pixels: libjpeg writes no longer side."""


class ConfigError(AtelierError):
    """A configuration that cannot be used; the message names the file, the key and the remedy."""


_T = TypeVar("_T", bound=pydantic.BaseModel)

_RENDERING = "style.settings."
_SPLITS = typing.get_args(Split)


class Ingest(Section):
    """From pictures to TFRecords. Only folders of pictures and the built-in sets pass through it."""

    store_size: Annotated[Integer, Field(ge=16, le=MAX_JPEG_SIDE)] = STORE_SIZE
    """Longer side in pixels of what is stored: twice the usual input size leaves room for crops."""
    max_pixels: Annotated[Integer, Field(ge=1)] = layout.MAX_PIXELS
    """A header that promises more than this is refused before anything is decoded."""
    max_bad_fraction: Fraction = 0.01
    """Share of the files that may end in quarantine before the run stops."""
    eval_fraction: OpenFraction = 0.1
    test_fraction: OpenFraction = 0.2
    shards: Annotated[Integer, Field(ge=1, le=99_999)] = 2
    """Files a split: one a Beam worker at this size; about 100-200 MB each at scale."""


class Evaluator(Section):
    """The SavedModel's gate. Both thresholds must be given: no model passes by forgetting them."""

    min_accuracy: Fraction
    max_accuracy_drop: Fraction
    """Against the baseline, in accuracy (0.01 is one point)."""
    top_k: Count = 3
    slices: tuple[Name, ...] = (layout.CLASS_ID, layout.IMAGE_FORMAT)
    """Features whose values are reported one by one; those that the records lack are left out."""


class TFLite(Section):
    """The TFLite artefact and its gate, against the SavedModel on the same pictures."""

    push: Annotated[
        tuple[Literal["float", "dynamic", "int8"], ...],
        pydantic.BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
        Field(min_length=1),
    ] = ("int8",)
    """One variant, or several in the order of preference: the first that passes its gate is pushed."""
    max_accuracy_drop: Fraction = 0.01
    max_slice_accuracy_drop: Fraction = 0.1
    """On the worst label: wider, since a label has few pictures."""
    max_disagreement: Fraction = 0.05
    """Share of pictures whose top class differs from the SavedModel's."""
    calibration_images: Count = 200
    """More changes the ranges little; MediaPipe Model Maker takes 500 steps."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "TFLite":
        if len(set(self.push)) < len(self.push):
            raise ValueError(f"tflite.push is {', '.join(self.push)}: name each variant once")
        return self

    @property
    def gates(self) -> dict[str, str]:
        """The variants in the order of preference, by the id of the Evaluator that is their gate."""
        first, *others = self.push
        return {"Evaluator.tflite": first, **{f"Evaluator.tflite.{variant}": variant for variant in others}}


class Style(Section):
    """The gallery: content pictures rendered in the styles of a catalogue."""

    enabled: bool = False
    catalog: Name = "builtin"
    """`builtin`, a `catalog.yaml`, or a folder of pictures."""
    styles: tuple[StyleId, ...] = ()
    """Ids of the catalogue; empty: all."""
    contents: Name = "photos"
    """`photos` (three that packages ship), a folder of pictures, or `split:` and the split of the data."""
    max_contents: Annotated[Integer, Field(ge=0, le=LARGEST_INT32)] = 0
    """The first ones only; 0: all. A split of thousands is rendered whole if nothing stops it."""
    size: Annotated[Integer, Field(ge=0, le=MAX_SCALE)] = 0
    """Longer side of the renderings in pixels; 0: what the settings' last scale says."""
    strengths: tuple[Fraction, ...] = ()
    """Each style is rendered at each; empty: at its preset's own."""
    picture_format: Literal["jpeg", "png"] = "jpeg"
    max_bad_fraction: Fraction = 0.1
    """Share of the pictures that may be missing at the end before the run stops."""
    settings: Settings = Settings()
    """What is set here goes before the styles' own presets."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Style":
        if 0 < self.size < MIN_SCALE:
            raise ValueError(f"style.size is {self.size}: expected {MIN_SCALE} to {MAX_SCALE} pixels, or 0")
        if self.contents.startswith(SPLIT) and self.contents.removeprefix(SPLIT) not in _SPLITS:
            raise ValueError(f"style.contents is {self.contents!r}: the splits are {', '.join(_SPLITS)}")
        if len(set(self.strengths)) < len(self.strengths):
            raise ValueError(f"style.strengths is {list(self.strengths)}: each strength once")
        return self


class Config(Section):
    """The whole configuration of a run."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,38}$")]
    """Names the pipeline and its output folder."""
    data: Data = Data()
    ingest: Ingest = Ingest()
    image: Image = Image()
    augmentation: Augmentation = Augmentation()
    trainer: Trainer = Trainer()
    tuner: Tuner = Tuner()
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
        if self.ingest.store_size < self.image.size:
            raise ValueError(
                f"ingest.store_size is {self.ingest.store_size}, below image.size {self.image.size}: images would be "
                f"scaled down and up again; raise it to at least {self.image.size}"
            )
        if self.tuner.enabled:
            self.tuner.space.check(self.trainer)
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
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; the ready ones are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of 2026-13-40 is a ValueError
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    for override in overrides:
        _apply(Config, values, override)
    return _validate(Config, values, str(path))


def ingest(overrides: list[str] | tuple[str, ...] = ()) -> Ingest:
    """The section `ingest` alone, from its defaults and `key=value` overrides (`ingest.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(Ingest, values, override.removeprefix("ingest."))
    return _validate(Ingest, values, "--set", "ingest.")


def beam(overrides: list[str] | tuple[str, ...] = ()) -> Beam:
    """The section `beam` alone, from its defaults and `key=value` overrides (`beam.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(Beam, values, override.removeprefix("beam."), "--beam")
    return _validate(Beam, values, "--beam", "beam.")


def rendering(overrides: list[str] | tuple[str, ...] = ()) -> Settings:
    """A rendering's settings alone, from `key=value` overrides (`style.settings.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(Settings, values, override.removeprefix(_RENDERING))
    return _validate(Settings, values, "--set", _RENDERING)


class _Loader(yaml.SafeLoader):
    """YAML in which nothing is said twice, and `0300` and `1:30` are texts: not 192, octal, nor 90, sexagesimal."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float | str:
        if re.match("[-+]?0[0-9_]|.*:", node.value):
            return node.value
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)


def _apply(section: type[pydantic.BaseModel], values: dict[str, Any], override: str, flag: str = "--set") -> None:
    """Sets one dotted key of `section` in nested `values`, in place.

    A text is taken as it is typed, so that `#`, `*`, `no` and digits stay what they are; quotes of YAML are read.
    """
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        example = "--beam workers=2" if flag == "--beam" else "--set trainer.batch_size=16"
        raise ConfigError(f"{flag} {override}: expected key=value, as in {example}")
    *sections, key = path = dotted.strip().split(".")
    for name in sections:
        below = values.setdefault(name, {})
        if below is None:
            below = values[name] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{flag} {override}: {name} is a value, not a section")
        values = below
    if _is_text(_field(section, path)[0]) and text.strip()[:1] not in ("'", '"'):
        values[key] = text.strip()
        return
    try:
        values[key] = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{flag} {override}: the value is not YAML") from None


def _field(section: type[pydantic.BaseModel], path: Sequence[str | int]) -> tuple[Any, list[Any]]:
    """Type and constraints of what lies at `path` below `section`; None and none of what is unknown."""
    kind, constraints = _bare(section)
    for part in path:
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            field = kind.model_fields.get(str(part))
            kind, constraints = _bare(field.annotation, field.metadata) if field else (None, [])
            continue
        items = typing.get_args(kind)
        origin = typing.get_origin(kind)
        if origin is dict:
            kind, constraints = _bare(items[1])
        elif origin is tuple:
            kind, constraints = _bare(items[part] if isinstance(part, int) and ... not in items else items[0])
        else:
            return None, []
    return kind, constraints


def _bare(annotation: Any, constraints: Sequence[Any] = ()) -> tuple[Any, list[Any]]:
    """A type without Annotated and None, and its constraints."""
    found = list(constraints)
    while True:
        parts = typing.get_args(annotation)
        if typing.get_origin(annotation) is Annotated:
            for part in parts[1:]:
                found += part.metadata if isinstance(part, pydantic.fields.FieldInfo) else [part]
            annotation = parts[0]
        elif type(None) in parts:
            annotation = next(part for part in parts if part is not type(None))
        else:
            return annotation, found


def _is_text(kind: Any) -> bool:
    """Texts alone, or words of which one is chosen."""
    return kind is str or typing.get_origin(kind) is Literal


def _validate(section: type[_T], values: dict[str, Any], source: str, prefix: str = "") -> _T:
    try:
        return section.model_validate(values)
    except pydantic.ValidationError as error:
        errors = error.errors()
        # A list whose item is wrong is reported again as too short: the item says enough.
        inside = {e["loc"][:length] for e in errors for length in range(len(e["loc"]))}
        lines = [_explain(section, source, prefix, e) for e in errors if e["loc"] not in inside]
        raise ConfigError("\n".join(lines)) from None


def _explain(section: type[pydantic.BaseModel], source: str, prefix: str, error: Any) -> str:
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
        return f"{source}: {message}" if key in message or not error["loc"] else f"{source}: {key}: {message}"
    allowed = _FORMS.get(error["type"]) or _allowed_numbers(*_field(section, error["loc"]))
    return f"{source}: {key} is {error['input']!r}: {message[0].lower()}{message[1:]}{allowed}"


_FORMS = {"string_type": "; put a text in quotes", "tuple_type": " (a list, as in [a, b])"}


def _allowed_numbers(kind: Any, constraints: Sequence[Any]) -> str:
    """The range of a key's numbers, at the end of a message about one that is not in it; "" for other keys."""
    if kind not in (int, float):
        return ""
    words = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}
    bounds = [f"{words[n]} {getattr(each, n)}" for each in constraints for n in words if hasattr(each, n)]
    return f" (expected a {'whole ' if kind is int else ''}number {' '.join(bounds)})"


def _hint(key: str) -> str:
    """The nearest known key, in the same section if it can be: `trainer.bach_size` and `batch_size` both find it."""
    section, _, name = key.rpartition(".")
    known = known_keys()
    here = [k for k in known if k.rpartition(".")[0] == section]
    for candidates in (here, known):
        by_name = {k.rpartition(".")[2]: k for k in reversed(candidates)}  # the first of one name stays
        if near := difflib.get_close_matches(name, by_name, n=1):
            return f"did you mean {by_name[near[0]]}?"
    return f"known here: {', '.join(here)}"


def known_keys(section: type[pydantic.BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key, sections included, in the order of their definition."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        for kind in (field.annotation, *typing.get_args(field.annotation)):  # the latter of `Section | None`
            if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
                keys += known_keys(kind, f"{prefix}{name}.")
    return keys
