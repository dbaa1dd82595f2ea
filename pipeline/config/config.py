"""The one configuration object: every default of the project stands once, with its reason, in the class of its section.

A YAML file holds only what differs from these defaults::

    config = load("configs/mnist.yaml", overrides=["trainer.batch_size=16"])

Values are checked when they are read; what is read cannot be changed afterwards.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import Field

from atelier.files.path_text import format_path
from atelier.settings.section import Section
from components.style_renderer.engine.settings import Settings
from pipeline.config import keys, yaml_values
from pipeline.config.errors import ConfigError
from pipeline.config.explanations import explain_errors
from pipeline.config.sections.beam import Beam
from pipeline.config.sections.evaluator import Evaluator
from pipeline.config.sections.ingest import Ingest
from pipeline.config.sections.kubeflow import Kubeflow
from pipeline.config.sections.metadata import Metadata
from pipeline.config.sections.style import Style
from pipeline.config.sections.stylizer import Stylizer
from pipeline.config.sections.tflite import TFLite
from trainer.settings import Augmentation, Data, Image, Trainer, Tuner

__all__ = [
    "Augmentation",
    "Beam",
    "Config",
    "ConfigError",
    "Data",
    "Evaluator",
    "Image",
    "Ingest",
    "Kubeflow",
    "Metadata",
    "Style",
    "Stylizer",
    "TFLite",
    "Trainer",
    "Tuner",
    "list_keys",
    "load",
    "load_beam",
    "load_ingest",
    "load_rendering",
]

_Section = TypeVar("_Section", bound=pydantic.BaseModel)


class Config(Section):
    """The whole configuration of a run: one attribute for each section."""

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
    stylizer: Stylizer = Stylizer()
    beam: Beam = Beam()
    metadata: Metadata = Metadata()
    kubeflow: Kubeflow = Kubeflow()

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "Config":
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


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a YAML file, applies `key=value` overrides with dotted keys, and checks the result.

    Raises:
      ConfigError: the file cannot be read, a key is unknown (the nearest known one is named),
        a value has the wrong type or range, or a threshold is missing.
    """
    values = yaml_values.read_file(Path(path))
    for override in overrides:
        yaml_values.apply_override(Config, values, override)
    return _validate(Config, values, str(path))


def load_ingest(overrides: Sequence[str] = ()) -> Ingest:
    """Returns the section `ingest` alone: its defaults with `key=value` overrides (`ingest.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    return _load_section(Ingest, overrides, "ingest.", "--set")


def load_beam(overrides: Sequence[str] = ()) -> Beam:
    """Returns the section `beam` alone: its defaults with `key=value` overrides (`beam.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    return _load_section(Beam, overrides, "beam.", "--beam")


def load_rendering(overrides: Sequence[str] = ()) -> Settings:
    """Returns a rendering's settings alone, from `key=value` overrides (`style.settings.` may be left out).

    Raises:
      ConfigError: as `load` does.
    """
    return _load_section(Settings, overrides, "style.settings.", "--set")


def list_keys() -> list[str]:
    """Returns every dotted key of the configuration, sections included, in the order of their definition."""
    return keys.list_keys(Config)


def _load_section(section: type[_Section], overrides: Sequence[str], prefix: str, flag: str) -> _Section:
    values: dict[str, Any] = {}
    for override in overrides:
        yaml_values.apply_override(section, values, override.removeprefix(prefix), flag)
    return _validate(section, values, flag, prefix)


def _validate(section: type[_Section], values: dict[str, Any], source: str, prefix: str = "") -> _Section:
    if fault := yaml_values.find_undecodable(values):
        key, text = fault
        raise ConfigError(
            f"{source}: {prefix}{key} is '{format_path(text)}', which is not UTF-8: rename the file or folder, or "
            "give a link to it that has another name"
        )
    try:
        return section.model_validate(values)
    except pydantic.ValidationError as error:
        message = explain_errors(section, error, source=source, prefix=prefix, known_keys=list_keys())
        raise ConfigError(message) from None
