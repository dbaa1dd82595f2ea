"""The built-in catalog: what is drawn here, and what packages ship.

Everything is written at run time; no image is part of this repository.
"""

import hashlib
import importlib.metadata
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from atelier.errors import AtelierError
from atelier.files import packaged
from components.style_catalog import drawn, entry

_ATELIER = {"artist": "Atelier", "licence": "CC0-1.0", "source": "drawn by components/style_catalog/drawn.py"}
_DRAWN = {
    "swirls": "Night sky in swirling brush strokes",
    "stained-glass": "Rose window in stained glass",
    "woodcut": "Red sun over hills, a woodcut",
    "mosaic": "Rosette of mosaic tesserae",
    "watercolour": "Watercolour washes, wet in wet",
    "pointillism": "River bank in dots of pure color",
    "marbling": "Marbled paper",
}


class BuiltinError(AtelierError):
    """A package does not hold the image that the built-in catalog takes from it."""


@dataclass(frozen=True)
class _Packaged:
    """An image in a package: its facts are those of the package's own documentation, its hash is that of the file."""

    package: str
    file: str
    sha256: str
    facts: dict[str, Any]
    box: tuple[int, int, int, int] | None = None
    """Left, upper, right and lower edge of the detail that is taken, which is then enlarged twice."""


_PACKAGED = {
    "tissue": _Packaged(
        "skimage",
        "data/ihc.png",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        {
            "title": "Colonic glands, immunohistochemical staining",
            "artist": "Center for Microscopy And Molecular Imaging (CMMI)",
            "licence": "No known copyright restrictions",
            "source": "scikit-image, skimage.data.immunohistochemistry",
        },
    ),
    "galaxies": _Packaged(
        "skimage",
        "data/hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        {
            "title": "Hubble eXtreme Deep Field",
            "artist": "NASA",
            "year": 2012,
            "licence": "Public domain",
            "source": "scikit-image, skimage.data.hubble_deep_field; "
            "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
        },
    ),
    "gravel": _Packaged(
        "skimage",
        "data/gravel.png",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        {
            "title": "Gravel",
            "artist": "CC0Textures",
            "licence": "CC0-1.0",
            "source": "scikit-image, skimage.data.gravel; https://cc0textures.com/view.php?tex=Gravel04",
        },
    ),
    "petals": _Packaged(
        "sklearn",
        "datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        {
            "title": "Flower (detail, enlarged)",
            "artist": "flickr.com/photos/vultilion",
            "licence": "CC-BY-2.0",
            "source": "scikit-learn, sklearn.datasets.load_sample_image('flower.jpg'); "
            "https://www.flickr.com/photos/vultilion/6056698931/",
        },
        box=(172, 84, 446, 358),
    ),
}


def write_catalog(folder: Path, ids: Collection[str] = ()) -> Path:
    """Writes the catalog: `catalog.yaml` and `pictures/`.

    It holds seven drawn styles and four from packages.

    Args:
      folder: where it is written.
      ids: the styles that are written; empty: all. To draw one takes most of a second.

    Returns:
      the path of `catalog.yaml`.

    Raises:
      BuiltinError: a package lacks its image, or has another one under its name.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    entries = []
    wanted = ids or list_ids()
    for style_id, suffix, encoded, facts in [*_draw_styles(wanted), *_read_packaged_styles(wanted)]:
        file = f"pictures/{style_id}{suffix}"
        (folder / file).write_bytes(encoded)
        entries.append({"id": style_id, "file": file, "sha256": hashlib.sha256(encoded).hexdigest(), **facts})
    catalog = folder / "catalog.yaml"
    catalog.write_text(entry.dump_entries(entries), encoding="utf-8")
    return catalog


def list_ids() -> tuple[str, ...]:
    """Returns the ids that `write_catalog` gives; nothing is drawn."""
    return (*_DRAWN, *_PACKAGED)


def read_image(style_id: str) -> bytes:
    """Returns the encoded image that `write_catalog` writes for a style.

    Raises:
      BuiltinError: a package lacks its image, or has another one under its name.
    """
    ((_, _, encoded, _),) = [*_draw_styles({style_id}), *_read_packaged_styles({style_id})]
    return encoded


def compute_fingerprint() -> str:
    """Changes with what `write_catalog` would write: this code, and the libraries that draw."""
    digest = hashlib.sha256()
    drawings = sorted(Path(drawn.__file__).with_name("drawings").glob("*.py"))
    for module in (Path(__file__), Path(drawn.__file__), *drawings):
        digest.update(module.read_bytes())
    for library in ("numpy", "pillow"):
        digest.update(f"{library}=={importlib.metadata.version(library)}\n".encode())
    return digest.hexdigest()[:16]


def _draw_styles(wanted: Collection[str]) -> Iterator[tuple[str, str, bytes, dict[str, Any]]]:
    for style_id in filter(wanted.__contains__, _DRAWN):
        title = _DRAWN[style_id]
        yield style_id, ".png", drawn.draw(style_id), {"title": title, **_ATELIER}


def _read_packaged_styles(wanted: Collection[str]) -> Iterator[tuple[str, str, bytes, dict[str, Any]]]:
    for style_id in filter(wanted.__contains__, _PACKAGED):
        origin = _PACKAGED[style_id]
        try:
            path = packaged.find(origin.package, origin.file)
        except FileNotFoundError as error:
            raise BuiltinError(f"style {style_id}: {error}") from None
        encoded = path.read_bytes()
        if (found := hashlib.sha256(encoded).hexdigest()) != origin.sha256:
            raise BuiltinError(f"style {style_id}: {path} has the SHA-256 {found}, not {origin.sha256}")
        if origin.box is None:
            yield style_id, path.suffix, encoded, origin.facts
        else:
            detail = Image.open(path).crop(origin.box)
            enlarged = detail.resize((2 * detail.width, 2 * detail.height), Image.Resampling.LANCZOS)
            yield style_id, ".png", _encode_png(enlarged), origin.facts


def _encode_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=3)
    return stream.getvalue()
