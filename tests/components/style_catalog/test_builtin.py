import hashlib
import io
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.style_catalog import builtin, catalog, drawn
from components.style_catalog.style import CatalogError, load_pixels

PACKAGES = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    return catalog.open_catalog("builtin", tmp_path_factory.mktemp("builtin"))


@pytest.fixture
def quickly(monkeypatch):
    """Leaves the drawings out."""
    monkeypatch.setattr(builtin, "_DRAWN", {})


@pytest.mark.slow
def test_there_are_eleven_styles_with_licence_source_and_true_hash(styles):
    assert len(styles) == 11
    for style in styles:
        assert style.licence not in ("", "unknown")
        assert style.source
        assert style.artist
        assert hashlib.sha256(style.file.read_bytes()).hexdigest() == style.sha256
    assert len({style.sha256 for style in styles}) == len(styles)


@pytest.mark.slow
def test_the_ids_are_known_without_drawing(styles):
    assert builtin.list_ids() == tuple(style.id for style in styles)


@pytest.mark.slow
def test_images_of_packages_are_theirs(styles):
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
    halved = load_pixels(by_id["petals"]).reshape(274, 2, 274, 2, 3).mean((1, 3))
    assert np.abs(halved - detail).mean() < 3


@pytest.mark.slow
def test_writing_it_twice_gives_the_same(styles, tmp_path):
    again = catalog.open_catalog("builtin", tmp_path / "again")
    assert [(style.id, style.sha256) for style in again] == [(style.id, style.sha256) for style in styles]


def test_only_the_selected_styles_are_drawn(monkeypatch, tmp_path):
    calls: list[str] = []
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(stream, "PNG")

    def draw(name):
        calls.append(name)
        return stream.getvalue()

    monkeypatch.setattr("components.style_catalog.drawn.draw", draw)
    opened = catalog.open_catalog("builtin", tmp_path / "few", ["petals", "mosaic"])
    assert sorted(style.id for style in opened) == ["mosaic", "petals"]
    assert calls == ["mosaic"]
    with pytest.raises(CatalogError, match="there is no style mosaik; did you mean mosaic"):
        catalog.open_catalog("builtin", tmp_path / "none", ["mosaik"])
    assert calls == ["mosaic"]


@pytest.mark.usefixtures("quickly")
def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("atelier.files.packaged.util.find_spec", lambda _: None)
    with pytest.raises(CatalogError, match=r"style tissue: data/ihc\.png of the package skimage is not installed"):
        catalog.open_catalog("builtin")


@pytest.mark.usefixtures("quickly")
def test_another_image_under_the_same_name_is_refused(monkeypatch, tmp_path):
    (tmp_path / "ihc.png").write_bytes(b"other")
    monkeypatch.setattr("atelier.files.packaged.find", lambda *_: tmp_path / "ihc.png")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(CatalogError, match=rf"style tissue: .*ihc\.png has the SHA-256 {found}, not f8dd1aa3"):
        catalog.open_catalog("builtin")


def test_the_fingerprint_tells_whether_the_code_changed(monkeypatch, tmp_path):
    before = builtin.compute_fingerprint()
    assert before == builtin.compute_fingerprint() == catalog.compute_fingerprint("builtin")
    shutil.copytree(Path(drawn.__file__).parent, tmp_path / "copy")
    monkeypatch.setattr(drawn, "__file__", str(tmp_path / "copy" / "drawn.py"))
    assert builtin.compute_fingerprint() == before
    for name in ("drawn.py", "drawings/swirls.py"):
        with (tmp_path / "copy" / name).open("a") as file:
            file.write("\n")
        assert builtin.compute_fingerprint() != before
        before = builtin.compute_fingerprint()


@pytest.mark.slow
def test_drawings_are_png(styles):
    drawn = [style for style in styles if style.artist == "Atelier"]
    assert len(drawn) >= 4
    assert all(Image.open(io.BytesIO(style.file.read_bytes())).format == "PNG" for style in drawn)
