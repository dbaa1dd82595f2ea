"""What is known of each rendered image: a sidecar beside it, and `manifest.jsonl` over a batch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from atelier import storage
from components.style_renderer.batch.units import KEY_IN_NAMES, Content, Method, Unit, Variant

FILE = "manifest.jsonl"
SIDECARS = "sidecars"

_READERS = 16


@dataclass(frozen=True)
class Facts:
    """What a rendering adds to what was planned.

    Attributes:
      key: of the unit.
      file: the image, relative to the batch's folder.
      picture_format: jpeg or png.
      height: in pixels.
      width: in pixels.
      losses: at the end: `total`, and its parts before their weights are applied.
      iterations: over all scales.
      seconds: in the engine.
      seam_score: of an image that was worked on in tiles; None for others.
      versions: of the packages that decide the pixels, by name.
      method: engine, fingerprint of its code, and stylizer.
    """

    key: str
    file: str
    picture_format: str
    height: int
    width: int
    losses: Mapping[str, float]
    iterations: int
    seconds: float
    seam_score: float | None
    versions: Mapping[str, str]
    method: Method


def make_line(content: Content, variant: Variant, facts: Facts) -> dict[str, Any]:
    """One unit as the sidecar and `manifest.jsonl` have it."""
    style = variant.style
    return {
        "key": facts.key,
        "file": facts.file,
        "format": facts.picture_format,
        "height": facts.height,
        "width": facts.width,
        "content": {"id": content.id, "sha256": content.sha256},
        "style": {
            "id": style.id,
            "sha256": style.sha256,
            "title": style.title,
            "artist": style.artist,
            "year": style.year,
            "licence": style.licence,
            "source": style.source,
        },
        "strength": variant.settings.strength,
        "settings": variant.settings.model_dump(mode="json"),
        "losses": dict(facts.losses),
        "iterations": facts.iterations,
        "seconds": facts.seconds,
        "seam_score": facts.seam_score,
        "versions": dict(facts.versions),
        **asdict(facts.method),
    }


def locate_sidecar(directory: str, stem: str) -> str:
    """Where the sidecar of a unit lies."""
    return storage.join(directory, SIDECARS, f"{stem}.json")


def find_present(directory: str, images: str, units: Sequence[Unit]) -> dict[str, dict[str, Any]]:
    """The sidecars, by key, of the units whose image and sidecar are in the batch's folder, under whatever name.

    Args:
      directory: of the batch.
      images: the folder of the images in it.
      units: what to look for.
    """
    drawn = {name.rsplit(".", 1)[0] for name in storage.list_files(storage.join(directory, images))}
    known = storage.list_files(storage.join(directory, SIDECARS))
    stems = {stem.rsplit("--", 1)[-1]: stem for name in sorted(known) if (stem := name.removesuffix(".json")) in drawn}
    wanted = {unit.key: stems.get(unit.key[:KEY_IN_NAMES], "") for unit in units}
    paths = [locate_sidecar(directory, stem) for stem in wanted.values() if stem]
    with ThreadPoolExecutor(_READERS) as readers:  # an object store takes its time for each
        lines = map(_parse, readers.map(storage.read_bytes, paths))
        return {line["key"]: line for line in lines if line.get("key") in wanted}


def is_there(image: str, sidecar: str, key: str) -> bool:
    """Whether one unit's image and sidecar are whole."""
    try:
        return bool(storage.read_bytes(image, 1)) and _parse(storage.read_bytes(sidecar)).get("key") == key
    except OSError:
        return False


def list_lines(
    units: Iterable[Unit], variants: Sequence[Variant], known: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The lines of the units that are there, in the units' order; content and credits as this batch names them."""
    lines = []
    for unit in units:
        if unit.key in known:
            style = variants[unit.variant].style
            credits_now = {"id": style.id, "title": style.title, "artist": style.artist, "year": style.year}
            credits_now |= {"licence": style.licence, "source": style.source}
            values = known[unit.key]
            lines.append(
                values
                | {
                    "content": values["content"] | {"id": unit.content.id},
                    "style": values["style"] | credits_now,
                }
            )
    return lines


def encode(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object a line."""
    return "".join(json.dumps(values, ensure_ascii=False) + "\n" for values in lines).encode("utf-8")


def _parse(text: bytes) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:  # edited by hand: rendered again
        return {}
    return values if isinstance(values, dict) else {}
