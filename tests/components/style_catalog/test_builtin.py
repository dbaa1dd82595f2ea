import hashlib
import io
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.style_catalog import builtin, catalog, paintings
from components.style_catalog.catalog import CatalogError
from tests.components.style_catalog.test_paintings import board, rcc, webp

PACKAGES = Path(sysconfig.get_path("purelib"))


@pytest.fixture(autouse=True)
def _no_paintings(tmp_path, monkeypatch):
    """Whether this machine has the paintings must not matter."""
    monkeypatch.setattr(builtin, "PAINTINGS", tmp_path / "rcc")


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "PAINTINGS", tmp_path_factory.mktemp("none"))
        return catalog.open_catalog("builtin", tmp_path_factory.mktemp("builtin"))


@pytest.fixture
def quickly(monkeypatch):
    """Leaves the drawings out."""
    monkeypatch.setattr(builtin, "_DRAWN", {})


@pytest.mark.slow
def test_there_are_eight_styles_or_more_with_licence_source_and_true_hash(styles):
    assert len(styles) >= 8
    for style in styles:
        assert style.licence not in ("", "unknown")
        assert style.source
        assert style.artist
        assert hashlib.sha256(style.file.read_bytes()).hexdigest() == style.sha256
    assert len({style.sha256 for style in styles}) == len(styles)


@pytest.mark.slow
def test_the_ids_are_known_without_drawing(styles):
    assert builtin.ids() == tuple(style.id for style in styles)


@pytest.mark.slow
def test_pictures_of_packages_are_theirs(styles):
    by_id = {style.id: style for style in styles}
    for style_id, file in (("tissue", "ihc.png"), ("galaxies", "hubble_deep_field.jpg"), ("gravel", "gravel.png")):
        assert by_id[style_id].file.read_bytes() == (PACKAGES / "skimage" / "data" / file).read_bytes()
    readme = (PACKAGES / "sklearn" / "datasets" / "images" / "README.txt").read_text()
    flower = readme[readme.index("flower.jpg") :]
    assert "creativecommons.org/licenses/by/2.0" in flower
    assert by_id["petals"].licence == "CC-BY-2.0"
    assert by_id["petals"].artist in flower
    whole = Image.open(PACKAGES / "sklearn" / "datasets" / "images" / "flower.jpg")
    detail = np.asarray(whole.crop((172, 84, 446, 358))).astype(int)
    halved = catalog.pixels(by_id["petals"]).reshape(274, 2, 274, 2, 3).mean((1, 3))
    assert np.abs(halved - detail).mean() < 3


@pytest.mark.slow
def test_writing_it_twice_gives_the_same(styles, tmp_path):
    again = catalog.open_catalog("builtin", tmp_path / "again")
    assert [(style.id, style.sha256) for style in again] == [(style.id, style.sha256) for style in styles]


@pytest.mark.usefixtures("quickly")
def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("atelier.files.packaged.util.find_spec", lambda _: None)
    with pytest.raises(CatalogError, match=r"style tissue: data/ihc\.png of the package skimage is not installed"):
        catalog.open_catalog("builtin")


@pytest.mark.usefixtures("quickly")
def test_another_picture_under_the_same_name_is_refused(monkeypatch, tmp_path):
    (tmp_path / "ihc.png").write_bytes(b"other")
    monkeypatch.setattr("atelier.files.packaged.find", lambda *_: tmp_path / "ihc.png")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(CatalogError, match=rf"style tissue: .*ihc\.png has the SHA-256 {found}, not f8dd1aa3"):
        catalog.open_catalog("builtin")


def archive(caption):
    """An archive of one puzzle of one piece, 80 x 100 pixels of a colour that lossless WebP keeps."""
    levels = [{"pixmapfile": "image/bg.svg", "width": 80, "height": 100}]
    levels += [{"pixmapfile": "image/piece.webp", "x": "0.5", "y": "0.5"}]
    image = webp(np.full((100, 80, 3), (10, 200, 30), np.uint8))
    return rcc({"r": {"board": {"b.qml": board(caption, levels)}, "image": {"piece.webp": image}}})


@pytest.mark.usefixtures("quickly")
def test_paintings_are_added_where_they_are_installed(tmp_path, caplog):
    before = builtin.fingerprint()
    builtin.PAINTINGS.mkdir()
    (builtin.PAINTINGS / "paintings.rcc").write_bytes(archive("Katsushika Hokusai, The Great Wave off Kanagawa - 1823"))
    (builtin.PAINTINGS / "details.rcc").write_bytes(b"damaged")
    assert builtin.fingerprint() != before
    by_id = {style.id: style for style in catalog.open_catalog("builtin", tmp_path / "out")}
    wave = by_id["great-wave"]
    assert (wave.title, wave.artist) == ("The Great Wave off Kanagawa", "Katsushika Hokusai")
    assert wave.licence.startswith("GPL-3.0-or-later")
    assert wave.source == "Debian package gcompris-qt-data, paintings.rcc"
    assert catalog.pixels(wave).shape == (94, 74, 3)
    assert set(map(tuple, catalog.pixels(wave).reshape(-1, 3).tolist())) == {(10, 200, 30)}
    assert "poppies" not in by_id
    assert "style poppies is left out: no board bears the title Poppies" in caplog.text
    assert "details.rcc: it is no Qt resource file, or is damaged; its paintings are left out" in caplog.text


@pytest.mark.usefixtures("quickly")
@pytest.mark.skipif(
    not Path("/usr/share/gcompris-qt/rcc").is_dir(), reason="Debian's gcompris-qt-data is not installed"
)
def test_the_installed_paintings_are_all_found(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "PAINTINGS", Path("/usr/share/gcompris-qt/rcc"))
    by_id = {style.id: style for style in catalog.open_catalog("builtin", tmp_path)}
    assert by_id.keys() >= builtin._PAINTINGS.keys()
    assert min(min(catalog.pixels(by_id[style_id]).shape[:2]) for style_id in builtin._PAINTINGS) > 300


def test_the_fingerprint_tells_whether_the_code_changed(monkeypatch, tmp_path):
    before = builtin.fingerprint()
    assert before == builtin.fingerprint() == catalog.fingerprint("builtin")
    other = tmp_path / "paintings.py"
    other.write_bytes(Path(paintings.__file__).read_bytes() + b"\n")
    monkeypatch.setattr(paintings, "__file__", str(other))
    assert builtin.fingerprint() != before


@pytest.mark.slow
def test_drawings_are_png(styles):
    drawn = [style for style in styles if style.artist == "Atelier"]
    assert len(drawn) >= 4
    assert all(Image.open(io.BytesIO(style.file.read_bytes())).format == "PNG" for style in drawn)
