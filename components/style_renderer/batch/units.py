"""What a batch consists of: every content in every style at every strength, each named by what goes into it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atelier.files.slugs import make_slug
from components.style_catalog.style import Style
from components.style_renderer.engine.settings import EngineName, Settings

Format = Literal["jpeg", "png"]

ENDINGS: Mapping[Format, str] = {"jpeg": ".jpg", "png": ".png"}
KEY_IN_NAMES = 12
"""Hex digits of a key, or of a content's hash, in the names of files."""


@dataclass(frozen=True)
class Content:
    """A content image.

    Attributes:
      id: for people: its path below the folder it came from, or its name in its record.
      sha256: of its encoded bytes, 64 hex digits.
      height: in pixels, upright.
      width: in pixels, upright.
    """

    id: str
    sha256: str
    height: int
    width: int

    @property
    def stem(self) -> str:
        """The name of its files."""
        return f"{make_slug(self.id)}--{self.sha256[:KEY_IN_NAMES]}"


@dataclass(frozen=True)
class Method:
    """How the images of a batch are made.

    Attributes:
      engine: its name.
      code: fingerprint of its code; "" if it does not matter.
      stylizer: SHA-256 of the stylizer's file; "" for `finest`, which uses none.
    """

    engine: EngineName = "finest"
    code: str = ""
    stylizer: str = ""


@dataclass(frozen=True)
class Variant:
    """A style at a strength, with all that steers the rendering."""

    style: Style
    settings: Settings
    in_name: str
    """Style, and the strength where the batch has several: part of the file's name."""


@dataclass(frozen=True)
class Unit:
    """One content in one style at one strength: what is rendered, kept or lost as a whole."""

    key: str
    """64 hex digits: whatever changes the image changes it."""
    stem: str
    """Name of its files without the ending."""
    content: Content
    variant: int
    """Position in the list of variants."""


def make_variants(
    styles: Sequence[tuple[Style, Settings]],
    strengths: Sequence[float],
) -> tuple[Variant, ...]:
    """Every style at every strength; without strengths, each at its settings' own."""
    made = []
    for style, settings in styles:
        for strength in strengths or (settings.strength,):
            adjusted = Settings.model_validate(settings.model_dump() | {"strength": strength})
            suffix = f"--s{strength:g}" if len(strengths) > 1 else ""
            made.append(Variant(style, adjusted, f"{make_slug(style.id)}{suffix}"))
    return tuple(made)


def plan_units(
    contents: Sequence[Content], variants: Sequence[Variant], picture_format: Format, method: Method
) -> list[Unit]:
    """The units of a batch, contents in their order, each with all variants in theirs."""
    units = []
    for content in contents:
        for number, variant in enumerate(variants):
            identity = compute_key(content.sha256, variant.style.sha256, variant.settings, picture_format, method)
            stem = f"{make_slug(content.id)}--{variant.in_name}--{identity[:KEY_IN_NAMES]}"
            units.append(Unit(identity, stem, content, number))
    return units


def compute_key(
    content_sha256: str, style_sha256: str, settings: Settings, picture_format: Format, method: Method
) -> str:
    """SHA-256 over what a rendered image depends on: two images, the settings, the stored format, the method."""
    parts: list[Any] = [content_sha256, style_sha256, settings.model_dump(mode="json"), picture_format, method.code]
    if method.engine != "finest":  # whose keys are those of times when there was no other engine
        parts += [method.engine, method.stylizer]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()
