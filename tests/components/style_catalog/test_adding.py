import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from PIL import Image

from components.style_catalog import adding, catalog
from components.style_catalog.style import CatalogError
from components.style_renderer.engine.settings import Scale
from tests.components.style_catalog.conftest import draw_noise


@pytest.fixture
def make_image(tmp_path):
    """Makes an image outside the catalog's folder."""

    def make(seed=0, name="image.png", **options):
        Image.fromarray(draw_noise(seed)).save(tmp_path / name, **options)
        return tmp_path / name

    return make


@pytest.fixture
def file(tmp_path):
    (tmp_path / "styles").mkdir()
    return tmp_path / "styles" / "catalog.yaml"


def list_names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_the_first_style_makes_the_catalog(tmp_path, make_image):
    source = make_image()
    file = tmp_path / "new" / "folder" / "catalog.yaml"
    style = adding.add_style(
        file, source, title="Dünen bei Föhr", licence="CC0-1.0", artist="A. B.", year=1901, source="me"
    )
    assert catalog.load_catalog(file) == (style,)
    assert (style.id, style.title, style.year) == ("dunen-bei-fohr", "Dünen bei Föhr", 1901)
    assert style.file == file.parent / "pictures" / "dunen-bei-fohr.png"
    assert style.file.read_bytes() == source.read_bytes()
    assert style.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert "Dünen" in file.read_text(encoding="utf-8")
    assert list_names(file.parent) == ["catalog.yaml", "pictures"]


def test_a_second_style_leaves_the_rest_of_the_file_as_it_is(file, make_image):
    adding.add_style(file, make_image(), title="Dunes", licence="CC0-1.0")
    before = "# Our styles.\n\n" + file.read_text() + "  # the best of all\n"
    file.write_text(before.rstrip("\n"))
    style = adding.add_style(file.parent, make_image(1), title="Dunes!", licence="CC0-1.0", preset={"strength": 0.5})
    assert file.read_text().startswith(before)
    assert style.id == "dunes-2"
    assert dict(style.preset) == {"strength": 0.5}
    assert [known.id for known in catalog.load_catalog(file)] == ["dunes", "dunes-2"]
    third = adding.add_style(file, make_image(2), title="Dunes", licence="CC0-1.0", id="other")
    assert [known.id for known in catalog.load_catalog(file)] == ["dunes", "dunes-2", "other"]
    assert third.preset == {}


@pytest.mark.parametrize(
    "reshape",
    [
        lambda text: "".join(f"  {line}\n" for line in text.splitlines()),
        lambda text: f"{yaml.safe_load(text)!r}\n",
        lambda text: f"---\n{text}...\n",
    ],
)
def test_other_forms_of_yaml_are_kept_or_written_anew(file, make_image, reshape):
    first = adding.add_style(file, make_image(), title="One", licence="CC0-1.0")
    file.write_text("# Kept.\n" + reshape(file.read_text()))
    second = adding.add_style(file, make_image(1), title="Two", licence="CC0-1.0")
    assert catalog.load_catalog(file) == (first, second)
    assert file.read_text().startswith("# Kept.\n")


def test_an_indented_list_keeps_its_comments(file, make_image):
    adding.add_style(file, make_image(), title="One", licence="CC0-1.0")
    indented = "".join(f"  {line}\n" for line in file.read_text().splitlines()) + "  # inside\n"
    file.write_text(indented)
    adding.add_style(file, make_image(1), title="Two", licence="CC0-1.0")
    assert file.read_text().startswith(indented)


@pytest.mark.parametrize("content", ["", "# Nothing yet.\n", "[]\n"])
def test_an_empty_catalog_may_be_added_to(file, make_image, content):
    file.write_text(content)
    style = adding.add_style(file, make_image(), title="One", licence="CC0-1.0")
    assert catalog.load_catalog(file) == (style,)
    assert file.read_text().startswith(content.replace("[]\n", ""))


def test_the_copy_is_named_by_what_it_is(file, make_image):
    jpeg = adding.add_style(file, make_image(name="a.PNG", format="JPEG"), title="a", licence="CC0-1.0")
    webp = adding.add_style(file, make_image(1, name="b", format="WEBP"), title="b", licence="CC0-1.0")
    tiff = adding.add_style(file, make_image(2, name="c.tiff"), title="c", licence="CC0-1.0")
    assert [style.file.name for style in (jpeg, webp, tiff)] == ["a.jpg", "b.webp", "c.tif"]


def test_an_image_that_is_there_stays_there(file, make_image):
    inside = file.parent / "own" / "mine.png"
    inside.parent.mkdir()
    make_image().rename(inside)
    style = adding.add_style(file, inside, title="Mine", licence="CC0-1.0")
    assert style.file == inside
    assert not (file.parent / "pictures").exists()


def test_a_file_that_no_entry_knows_is_not_overwritten(file, make_image):
    (file.parent / "pictures").mkdir()
    (file.parent / "pictures" / "mine.png").write_text("precious")
    style = adding.add_style(file, make_image(), title="Mine", licence="CC0-1.0")
    assert (style.id, style.file.name) == ("mine", "mine-2.png")
    assert (file.parent / "pictures" / "mine.png").read_text() == "precious"


def test_scales_may_be_objects(file, make_image):
    preset = {"scales": (Scale(size=64, iterations=3),)}
    style = adding.add_style(file, make_image(), title="Mine", licence="CC0-1.0", preset=preset)
    assert style.preset == {"scales": [{"size": 64, "iterations": 3}]}


def test_a_relative_path_will_do(file, make_image, monkeypatch):
    make_image()
    monkeypatch.chdir(file.parent.parent)
    style = adding.add_style(Path("styles/catalog.yaml"), Path("image.png"), title="Mine", licence="CC0-1.0")
    assert style.file == file.parent / "pictures" / "mine.png"


# What is refused, and leaves everything as it was.


def test_styles_that_are_added_at_once_are_all_in_the_catalog(file, make_image):
    """The threads stand for processes: each opens the folder for itself, and so locks it for itself."""
    sources = [make_image(seed, f"{seed}.png") for seed in range(4)]
    together = threading.Barrier(len(sources))

    def add(source):
        together.wait(20)
        return adding.add_style(file, source, title="Dunes", licence="CC0-1.0").sha256

    with ThreadPoolExecutor(len(sources)) as threads:
        added = list(threads.map(add, sources))
    assert added == [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
    found = catalog.load_catalog(file)
    assert sorted(style.id for style in found) == ["dunes", "dunes-2", "dunes-3", "dunes-4"]
    assert {style.sha256 for style in found} == {*added}


def test_the_same_image_is_refused_twice(file, make_image):
    adding.add_style(file, make_image(), title="One", licence="CC0-1.0")
    before = file.read_text()
    with pytest.raises(CatalogError, match=r"image\.png: .*catalog\.yaml already holds this image, as one$"):
        adding.add_style(file, make_image(), title="Two", licence="CC0-1.0")
    assert file.read_text() == before
    assert len(list_names(file.parent / "pictures")) == 1


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"licence": ""}, "licence is missing"),
        ({"licence": " "}, "licence is blank"),
        ({"title": ""}, "title is missing"),
        ({"id": "Not Good"}, "id 'Not Good' must be"),
        ({"id": "one"}, "the id one is taken; give another"),
        ({"id": ""}, "id is missing"),
        ({"preset": {"strenght": 1}}, "unknown setting preset.strenght; did you mean strength?"),
        ({"year": 1.5}, "year is 1.5"),
    ],
)
def test_wrong_values_are_refused(file, make_image, values, fault):
    adding.add_style(file, make_image(), title="One", licence="CC0-1.0")
    before = file.read_text()
    with pytest.raises(CatalogError) as refused:
        adding.add_style(file, make_image(1), **{"title": "Two", "licence": "CC0-1.0", **values})
    assert fault in str(refused.value)
    assert file.read_text() == before
    assert list_names(file.parent / "pictures") == ["one.png"]


def test_a_bad_image_is_refused(tmp_path, file):
    with pytest.raises(CatalogError, match=r"none\.png: .*No such file or directory"):
        adding.add_style(file, tmp_path / "none.png", title="One", licence="CC0-1.0")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(CatalogError, match=r"text\.png: not_an_image"):
        adding.add_style(file, tmp_path / "text.png", title="One", licence="CC0-1.0")
    assert list_names(file.parent) == []


def test_a_faulty_catalog_is_not_added_to(file, make_image):
    file.write_text("- id: a\n")
    with pytest.raises(CatalogError, match=r"entry 1 \(a\): file is missing"):
        adding.add_style(file, make_image(), title="One", licence="CC0-1.0")
    assert file.read_text() == "- id: a\n"


def test_where_the_catalog_cannot_be_written_no_copy_stays(file, make_image, monkeypatch):
    def raise_full(*_, **__):
        raise OSError(28, "No space left on device")

    source = make_image()
    monkeypatch.setattr(Path, "replace", raise_full)
    with pytest.raises(CatalogError, match=r"catalog\.yaml: .*No space left on device"):
        adding.add_style(file, source, title="One", licence="CC0-1.0")
    assert list_names(file.parent / "pictures") == []
    assert not file.exists()


def test_an_image_in_the_catalog_whose_name_is_not_utf8_is_copied_under_another(file, make_image):
    source = make_image()
    inside = file.parent / os.fsdecode(b"caf\xe9.png")
    source.rename(inside)
    style = adding.add_style(file, inside, title="Café", licence="CC0-1.0")
    assert style.file == file.parent / "pictures" / "cafe.png"
    assert catalog.load_catalog(file) == (style,)
