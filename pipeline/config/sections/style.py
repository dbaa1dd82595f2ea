"""The section `style`: the gallery."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from atelier.builtin_names import SPLIT_PREFIX
from atelier.layout import SPLITS
from atelier.settings.field_types import LARGEST_INT32, Fraction, Integer
from atelier.settings.section import Section
from components.style_renderer.engine.settings import MAX_SCALE, MIN_SCALE, EngineName, Settings, find_ignored
from trainer.settings import Name

StyleId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]


class Style(Section):
    """The gallery: content images rendered in the styles of a catalog."""

    enabled: bool = False
    """Off: rendering takes seconds to minutes for each image."""
    catalog: Name = "builtin"
    """`builtin`, a `catalog.yaml`, or a folder of images."""
    styles: tuple[StyleId, ...] = ()
    """Ids of the catalog; empty: all."""
    contents: Name = "photos"
    """`photos` (three that packages ship), a folder of images, or `split:` and the split of the data."""
    max_contents: Annotated[Integer, Field(ge=0, le=LARGEST_INT32)] = 0
    """The first ones only; 0: all. A split of thousands is rendered whole if nothing stops it."""
    size: Annotated[Integer, Field(ge=0, le=MAX_SCALE)] = 0
    """Longer side of the renderings in pixels; 0: what the settings' last scale says."""
    strengths: tuple[Fraction, ...] = ()
    """Each style is rendered at each; empty: at its preset's own."""
    picture_format: Literal["jpeg", "png"] = "jpeg"
    """Of the rendered images; `png` is lossless and several times as large."""
    max_bad_fraction: Fraction = 0.1
    """Share of the images that may be missing at the end before the run stops."""
    engine: EngineName = "finest"
    """`finest` optimizes each image, for seconds to minutes. `fast` restyles it in one pass of the stylizer. `refined`
    optimizes from the one pass on, in less time."""
    stylizer: str = ""
    """File of the stylizer that `fast` and `refined` use, from `atelier styles train`; empty: the base network, which
    knows the built-in catalog."""
    settings: Settings = Settings()
    """What is set here goes before the styles' own presets."""

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "Style":
        if 0 < self.size < MIN_SCALE:
            raise ValueError(f"style.size is {self.size}: expected {MIN_SCALE} to {MAX_SCALE} pixels, or 0")
        if self.contents.startswith(SPLIT_PREFIX) and self.contents.removeprefix(SPLIT_PREFIX) not in SPLITS:
            raise ValueError(f"style.contents is {self.contents!r}: the splits are {', '.join(SPLITS)}")
        if len(set(self.strengths)) < len(self.strengths):
            raise ValueError(f"style.strengths is {list(self.strengths)}: give each strength once")
        if ignored := find_ignored(self.engine, self.settings.model_fields_set):
            raise ValueError(f"style.settings.{ignored[0]} is set, but style.engine {self.engine} does not use it")
        if self.stylizer and self.engine == "finest":
            raise ValueError("style.stylizer is set, but style.engine finest does not use it: set fast or refined")
        return self
