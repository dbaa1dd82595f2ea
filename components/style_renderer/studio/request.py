"""What a job is asked to do, as the page sends it and as it lies on the disk."""

import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import ConfigDict, Field, model_validator

from atelier.errors import AtelierError
from atelier.settings.field_types import Fraction, Integer
from components.style_renderer.engine.settings import EngineName, Settings, Weight

IMAGE_ID = "[0-9a-f]{32}"
STYLE_ID = "[a-z0-9][a-z0-9-]{0,63}"
SIZES = (64, 32768)
"""Longer side of a result in pixels."""


class StudioError(AtelierError):
    """The studio cannot do what it is asked: the message says what is wrong, and what to do."""


class _Frozen(pydantic.BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Region(_Frozen):
    """Styles, and where they go."""

    styles: Annotated[dict[Annotated[str, Field(pattern=f"^{STYLE_ID}$")], Weight], Field(min_length=1, max_length=8)]
    """Weight in the blend by style id."""
    mask: Annotated[str, Field(pattern=f"^({IMAGE_ID})?$")] = ""
    """Id of an uploaded image, white where the styles go; "": everywhere."""

    @model_validator(mode="after")
    def _check_weights(self) -> "Region":
        if not any(self.styles.values()):
            raise ValueError("every style has the weight 0: give one of them more")
        return self


class Controls(_Frozen):
    """What may be moved while a job runs."""

    strength: Fraction = 1.0
    style_weight: Weight | None = None
    """None: the style's own, or the network's."""
    tv_weight: Weight | None = None
    """Of total variation; None: as for `style_weight`."""


class Request(Controls):
    """A job's settings."""

    image: Annotated[str, Field(pattern=f"^{IMAGE_ID}$")]
    regions: Annotated[tuple[Region, ...], Field(min_length=1, max_length=4)]
    engine: EngineName = "refined"
    size: Annotated[Integer, Field(ge=SIZES[0], le=SIZES[1])] = 512
    colors: Literal["style", "luminance", "match"] = "style"

    @model_validator(mode="after")
    def _check_masks(self) -> "Request":
        if len(self.regions) > 1 and not all(region.mask for region in self.regions):
            raise ValueError("each of several regions needs a mask")
        return self

    @property
    def style_ids(self) -> tuple[str, ...]:
        """All that it names, each once."""
        return tuple(dict.fromkeys(style for region in self.regions for style in region.styles))

    @property
    def controls(self) -> Controls:
        """Those of its values that may be moved."""
        return Controls(strength=self.strength, style_weight=self.style_weight, tv_weight=self.tv_weight)

    def build_settings(self, preset: dict[str, Any]) -> Settings:
        """The engine's settings, over a style's preset."""
        own = {name: getattr(self, name) for name in ("style_weight", "tv_weight") if getattr(self, name) is not None}
        values = {**preset, **own, "strength": self.strength, "colors": self.colors}
        return Settings(**values).with_size(self.size)


class Preset(_Frozen):
    """Settings of a name: a request without its image and masks."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    request: dict[str, Any]


def parse(model: type[pydantic.BaseModel], text: bytes | str) -> Any:
    """Parses JSON from the page.

    Raises:
      StudioError: it is something else than the model says; the first fault is named.
    """
    try:
        return model.model_validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if not re.search(r"[\[(]", str(part)))
        raise StudioError(f"{where or 'the request'}: {first['msg'].removeprefix('Value error, ')}") from None
