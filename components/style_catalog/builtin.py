"""The built-in catalogue: what is drawn here, what packages ship, and paintings where Debian's package has them.

Everything is written out at run time; no picture is part of this repository.
"""

import hashlib
import importlib.metadata
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from atelier.errors import AtelierError
from atelier.files import packaged
from components.style_catalog import drawn, entry, paintings

_LOG = logging.getLogger(__name__)

PAINTINGS = Path("/usr/share/gcompris-qt/rcc")
"""Where Debian's `gcompris-qt-data` puts its resource files."""

_ATELIER = {"artist": "Atelier", "licence": "CC0-1.0", "source": "drawn by components/style_catalog/drawn.py"}
_DRAWN = {
    "swirls": "Night sky in swirling brush strokes",
    "stained-glass": "Rose window in stained glass",
    "woodcut": "Red sun over hills, a woodcut",
    "mosaic": "Rosette of mosaic tesserae",
    "watercolour": "Watercolour washes, wet in wet",
    "pointillism": "River bank in dots of pure colour",
    "marbling": "Marbled paper",
}


class BuiltinError(AtelierError):
    """A package does not hold the picture that the built-in catalogue takes from it."""


@dataclass(frozen=True)
class _Packaged:
    """A picture in a package: its facts are those of the package's own documentation, its hash is that of the file."""

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


@dataclass(frozen=True)
class _Painting:
    archive: str
    caption: str
    """What the puzzle's board calls it."""
    artist: str
    year: int | str
    title: str = field(default="")
    """Where it is not the caption."""


_PAINTINGS = {
    "great-wave": _Painting("paintings", "The Great Wave off Kanagawa", "Katsushika Hokusai", "1830-1832"),
    "poppies": _Painting("paintings", "Poppies", "Katsushika Hokusai", "1833-1834"),
    "auvers-street": _Painting("paintings", "Village Street in Auvers", "Vincent van Gogh", 1890),
    "moulin-galette": _Painting("paintings", "Bal du moulin de la Galette", "Pierre-Auguste Renoir", 1876),
    "summertime": _Painting("paintings", "Summertime", "Mary Cassatt", 1894),
    "composition-8": _Painting("paintings", "Composition VIII", "Wassily Kandinsky", 1923),
    "auvers-church": _Painting("details", "The Church at Auvers-sur-Oise", "Vincent van Gogh", 1890),
    "painter-on-his-way": _Painting("details", "Painter on His Way to Work", "Vincent van Gogh", 1888),
    "cafe-terrace": _Painting("details", "Cafe Terrace at Night", "Vincent van Gogh", 1888, "Café Terrace at Night"),
    "night-cafe": _Painting("details", "The Night Café", "Vincent van Gogh", 1888),
}
# As the README beside the pictures says of each archive.
_PAINTING_LICENCES = {
    "paintings": "GPL-3.0-or-later (the file, from the WebMuseum; the painting is in the public domain)",
    "details": "Public domain",
}


def write(folder: Path) -> Path:
    """Writes the catalogue: `catalog.yaml` and `pictures/`.

    Seven drawn styles and four from packages are always in it; ten paintings are where `PAINTINGS` exists.

    Returns:
      the path of `catalog.yaml`.

    Raises:
      BuiltinError: a package lacks its picture, or has another one under its name.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    entries = []
    for style_id, suffix, encoded, facts in [*_drawn(), *_from_packages(), *_paintings()]:
        file = f"pictures/{style_id}{suffix}"
        (folder / file).write_bytes(encoded)
        entries.append({"id": style_id, "file": file, "sha256": hashlib.sha256(encoded).hexdigest(), **facts})
    catalog = folder / "catalog.yaml"
    catalog.write_text(entry.dump(entries), encoding="utf-8")
    return catalog


def ids(*, anywhere: bool = False) -> tuple[str, ...]:
    """The ids that `write` gives here, or, with `anywhere`, on some machine; nothing is drawn."""
    from_archives = (
        name for name, each in _PAINTINGS.items() if anywhere or (PAINTINGS / f"{each.archive}.rcc").is_file()
    )
    return (*_DRAWN, *_PACKAGED, *from_archives)


def fingerprint() -> str:
    """Changes with what `write` would write: this code, the libraries that draw, and the archives of paintings."""
    digest = hashlib.sha256()
    for module in (__file__, drawn.__file__, paintings.__file__):
        digest.update(Path(module).read_bytes())
    for library in ("numpy", "pillow"):
        digest.update(f"{library}=={importlib.metadata.version(library)}\n".encode())
    for archive in _PAINTING_LICENCES:
        file = PAINTINGS / f"{archive}.rcc"
        digest.update(hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b"none")
    return digest.hexdigest()[:16]


def _drawn() -> Iterator[tuple[str, str, bytes, dict[str, Any]]]:
    for style_id, title in _DRAWN.items():
        yield style_id, ".png", drawn.draw(style_id), {"title": title, **_ATELIER}


def _from_packages() -> Iterator[tuple[str, str, bytes, dict[str, Any]]]:
    for style_id, origin in _PACKAGED.items():
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
            yield style_id, ".png", _png(enlarged), origin.facts


def _paintings() -> Iterator[tuple[str, str, bytes, dict[str, Any]]]:
    for archive, licence in _PAINTING_LICENCES.items():
        path = PAINTINGS / f"{archive}.rcc"
        if not path.is_file():
            continue
        try:
            files = paintings.resources(path.read_bytes())
        except (OSError, ValueError) as error:
            _LOG.warning("%s: %s; its paintings are left out", path, error)
            continue
        for style_id, painting in _PAINTINGS.items():
            if painting.archive != archive:
                continue
            facts = {
                "title": painting.title or painting.caption,
                "artist": painting.artist,
                "year": painting.year,
                "licence": licence,
                "source": f"Debian package gcompris-qt-data, {path.name}",
            }
            try:
                yield style_id, ".png", _png(paintings.assembled(files, painting.caption)), facts
            except ValueError as error:
                _LOG.warning("%s: style %s is left out: %s", path, style_id, error)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=3)
    return stream.getvalue()
