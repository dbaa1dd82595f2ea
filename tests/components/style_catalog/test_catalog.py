import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from components.style_catalog import catalog
from components.style_catalog.style import CatalogError, load_pixels, resolve_settings
from components.style_renderer.engine.settings import Settings


def read_faults(path):
    with pytest.raises(CatalogError) as refused:
        catalog.load_catalog(path)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


# What is read.


def test_an_entry_becomes_a_style(tmp_path, make_entry, write_catalog):
    full = make_entry("wave", artist="Hokusai", year=1831, source="here", preset={"style_scale": 0.5})
    least = make_entry("least", 1)
    wave, plain = catalog.load_catalog(write_catalog(full, least))
    assert wave.file == tmp_path / "wave.png"
    assert wave.sha256 == hashlib.sha256((tmp_path / "wave.png").read_bytes()).hexdigest()
    assert (wave.id, wave.title, wave.artist, wave.year) == ("wave", "A title", "Hokusai", 1831)
    assert (wave.licence, wave.source, wave.preset) == ("CC0-1.0", "here", {"style_scale": 0.5})
    assert (plain.artist, plain.year, plain.source, plain.preset) == ("", None, "", {})


def test_a_relative_catalog_gives_absolute_files(tmp_path, monkeypatch, make_entry, write_catalog):
    write_catalog(make_entry("a", year="1830-1832"))
    monkeypatch.chdir(tmp_path)
    (style,) = catalog.open_catalog("catalog.yaml")
    assert (style.file, style.year) == (tmp_path / "a.png", "1830-1832")


def test_styles_travel_to_workers(make_entry, write_catalog):
    styles = catalog.load_catalog(write_catalog(make_entry("a", preset={"scales": [{"size": 64, "iterations": 3}]})))
    assert pickle.loads(pickle.dumps(styles)) == styles  # noqa: S301
    assert len({*styles, *styles}) == 1


def test_pixels_are_upright_rgb(tmp_path, make_entry, write_catalog):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    stored = np.random.default_rng(5).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    entry = make_entry("a")
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    entry["sha256"] = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    pixels = load_pixels(catalog.load_catalog(write_catalog(entry))[0])
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.rot90(stored, -1))


def test_pixels_of_a_file_that_has_changed_are_refused(tmp_path, make_entry, write_catalog):
    (style,) = catalog.load_catalog(write_catalog(make_entry("a")))
    make_entry("a", seed=1)
    with pytest.raises(CatalogError, match=rf"a\.png: its SHA-256 is [0-9a-f]{{64}}, the catalog says {style.sha256}"):
        load_pixels(style)


# Presets.


def test_overrides_lie_over_the_preset_and_that_over_the_defaults(make_entry, write_catalog):
    preset = {"style_weight": 7, "style_scale": 0.5, "scales": [{"size": 64, "iterations": 3}]}
    (style,) = catalog.load_catalog(write_catalog(make_entry("a", preset=preset)))
    settings = resolve_settings(style, {"style_scale": 2.0})
    assert (settings.style_weight, settings.style_scale) == (7, 2)
    assert [(scale.size, scale.iterations) for scale in settings.scales] == [(64, 3)]
    assert settings.pooling == Settings().pooling
    with pytest.raises(
        CatalogError, match=r"style a: unknown setting settings.style_wait; did you mean style_weight\?"
    ):
        resolve_settings(style, {"style_wait": 1})


@pytest.mark.parametrize(
    ("preset", "fault"),
    [
        ({"style_wait": 1}, "unknown setting preset.style_wait; did you mean style_weight?"),
        ({"strength": 2}, "preset.strength is 2: input should be less than or equal to 1"),
        ({"scales": [{"sise": 64, "size": 64, "iterations": 3}]}, "unknown setting preset.scales.0.sise; did you"),
        ({"scales": [{"size": 64}]}, "preset.scales.0.iterations is missing"),
        ({"weights": "w.h5"}, "preset: weights names the file w.h5: give its weights_sha256 too"),
        (["style_weight"], "preset is ['style_weight'], not a mapping"),
        ({1: 2}, "unknown setting preset.1; known here:"),
    ],
)
def test_a_wrong_preset_is_named(make_entry, write_catalog, preset, fault):
    (line,) = read_faults(write_catalog(make_entry("a", preset=preset)))
    assert line.startswith(f"entry 1 (a): {fault}")


# What is refused.


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"licence": ...}, "licence is missing"),
        ({"licence": ""}, "licence is missing"),
        ({"licence": None}, "licence is missing"),
        ({"licence": "  "}, "licence is blank"),
        ({"title": ...}, "title is missing"),
        ({"file": ...}, "file is missing"),
        ({"sha256": ...}, "sha256 is missing"),
        ({"license": "CC0"}, "unknown key license; did you mean licence?"),
        ({"zzz": 1}, "unknown key zzz; known here: id, file, title"),
        ({"title": 1984}, "title is 1984: it must be text; put it in quotes"),
        ({"year": 18.5}, "year is 18.5: it must be a number, or a text"),
        ({"year": True}, "year is True: it must be a number, or a text"),
        ({"sha256": "abc"}, "sha256 'abc' must be 64 lower-case hexadecimal digits"),
        ({"file": "../a.png"}, "file ../a.png leads out of the catalog's folder"),
        ({"file": "x/../../a.png"}, "file x/../../a.png leads out of the catalog's folder"),
        ({"file": "/etc/hostname"}, "file /etc/hostname leads out of the catalog's folder"),
        ({"file": "C:\\a.png"}, "file C:\\a.png leads out of the catalog's folder"),
    ],
)
def test_a_faulty_entry_is_named(make_entry, write_catalog, values, fault):
    (line,) = read_faults(write_catalog(make_entry("good", 1), make_entry("a", **values)))
    assert line.startswith(f"entry 2 (a): {fault}")


@pytest.mark.parametrize("style_id", ["A", "-a", "a b", "ä", "a" * 65, "a\n"])
def test_an_id_has_a_form(make_entry, write_catalog, style_id):
    entry = {**make_entry("a"), "id": style_id}
    assert f"id {style_id!r} must be 1 to 64 lower-case letters" in "\n".join(read_faults(write_catalog(entry)))
    catalog.load_catalog(write_catalog({**entry, "id": "a" * 64}))


def test_a_missing_id_is_named_by_its_number(make_entry, write_catalog):
    assert read_faults(write_catalog(make_entry("a"), {**make_entry("b", 1), "id": None})) == ["entry 2: id is missing"]
    (line,) = read_faults(write_catalog("just a text"))
    assert line.startswith("entry 1: is 'just a text', not a mapping with the keys id, file")


def test_a_double_id_names_both(make_entry, write_catalog):
    again = {**make_entry("b", 1), "id": "a"}
    assert read_faults(write_catalog(make_entry("a"), again)) == ["entry 2 (a): entry 1 has the id a already"]


def test_a_missing_file_is_named(tmp_path, make_entry, write_catalog):
    entry = make_entry("a")
    (tmp_path / "a.png").unlink()
    missing = f"{tmp_path}/a.png: the file cannot be read: No such file or directory"
    assert read_faults(write_catalog(entry)) == [f"entry 1 (a): {missing}"]
    (tmp_path / "a.png").mkdir()
    assert read_faults(write_catalog(entry)) == [f"entry 1 (a): {tmp_path}/a.png: it is not a file"]


def test_a_wrong_hash_shows_both(tmp_path, make_entry, write_catalog):
    found = hashlib.sha256((tmp_path / make_entry("a")["file"]).read_bytes()).hexdigest()
    (line,) = read_faults(write_catalog(make_entry("a", sha256="0" * 64)))
    assert line.startswith(f"entry 1 (a): a.png: its SHA-256 is {found}, the catalog says {'0' * 64}")


def test_an_unreadable_image_has_its_reason(tmp_path, make_entry, write_catalog):
    entry = make_entry("a")
    cut = (tmp_path / "a.png").read_bytes()[:-200]
    (tmp_path / "a.png").write_bytes(cut)
    entry["sha256"] = hashlib.sha256(cut).hexdigest()
    (line,) = read_faults(write_catalog(entry))
    assert line.startswith("entry 1 (a): a.png: truncated: ")


def test_a_tiny_image_is_refused(make_entry, write_catalog):
    catalog.load_catalog(write_catalog(make_entry("a", height=64, width=300)))
    (line,) = read_faults(write_catalog(make_entry("a", height=300, width=63)))
    assert line == "entry 1 (a): a.png: 63 x 300 pixels are too few; a style needs 64 on the shorter side"


def test_all_faults_are_reported_together(make_entry, write_catalog):
    entries = [
        make_entry("a", licence=""),
        make_entry("b", 1),
        make_entry("c", 2, sha256="0" * 64),
        make_entry("d", 3, x=1),
    ]
    lines = read_faults(write_catalog(*entries))
    assert [line[: line.index(")") + 1] for line in lines] == ["entry 1 (a)", "entry 3 (c)", "entry 4 (d)"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"- id: [", "it is not YAML: "),
        (b"id: a", "it must be a list of entries"),
        (b"", "it holds no entries; `atelier styles add` writes one"),
        (b"# only this\n", "it holds no entries"),
        (b"- id: \xff", "it is not UTF-8 text"),
    ],
)
def test_what_is_no_catalog_is_named(tmp_path, content, fault):
    file = tmp_path / "catalog.yaml"
    file.write_bytes(content)
    (line,) = read_faults(file)
    assert line.startswith(fault)


# Opening by name.


def test_a_catalog_is_opened_by_file_and_by_folder(tmp_path, make_entry, write_catalog):
    file = write_catalog(make_entry("a"))
    assert catalog.open_catalog(file) == catalog.open_catalog(str(tmp_path)) == catalog.load_catalog(file)
    with pytest.raises(CatalogError, match=f"{tmp_path}/none: .*No such file or directory"):
        catalog.open_catalog(tmp_path / "none")


def test_an_image_beside_a_catalog_that_does_not_name_it_is_refused(tmp_path, make_entry, write_catalog):
    file = write_catalog(make_entry("a"))
    make_entry("b", 1)
    (tmp_path / "Thumbs.db").touch()
    with pytest.raises(CatalogError, match=r"b\.png is beside catalog\.yaml, .*styles add.*give .*catalog\.yaml"):
        catalog.open_catalog(str(tmp_path))
    assert [style.id for style in catalog.open_catalog(str(file))] == ["a"]


def test_an_image_whose_name_is_not_utf8_has_a_title_that_can_be_written(tmp_path, make_entry):
    make_entry("a")
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"caf\xe9 [1].png"))
    (style,) = catalog.load_folder(tmp_path)
    assert (style.id, style.title) == ("caf-1", r"caf\xe9 [1]")
    assert load_pixels(style).shape == (80, 96, 3)


def test_a_folder_called_builtin_is_a_folder_where_it_is_a_path(tmp_path, make_entry, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_entry("a")
    tmp_path.rename(tmp_path.with_name("builtin"))
    for name in (Path("builtin"), "./builtin"):
        monkeypatch.chdir(tmp_path.parent)
        assert [style.id for style in catalog.open_catalog(name)] == ["a"]
    assert len(catalog.compute_fingerprint("builtin:builtin")) == 16


def test_a_plain_folder_is_a_catalog_of_unknown_licences(tmp_path, make_entry):
    for name in ("Café Nuit", "cafe-nuit", "日本"):
        make_entry("x", seed=len(name))
        (tmp_path / "x.png").rename(tmp_path / f"{name}.PNG")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "deeper.d").mkdir()
    styles = catalog.load_folder(tmp_path)
    assert [(style.id, style.title) for style in styles] == [
        ("cafe-nuit", "Café Nuit"),
        ("cafe-nuit-2", "cafe-nuit"),
        ("style", "日本"),
    ]
    assert {style.licence for style in styles} == {"unknown"}
    assert load_pixels(styles[0]).shape == (80, 96, 3)
    assert styles[2].sha256 == hashlib.sha256((tmp_path / "日本.PNG").read_bytes()).hexdigest()


def test_bad_images_of_a_folder_are_all_named(tmp_path, make_entry):
    make_entry("good")
    make_entry("tiny", height=10)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(CatalogError) as refused:
        catalog.load_folder(tmp_path)
    first, second = str(refused.value).splitlines()
    assert first == f"{tmp_path}/empty.jpg: empty: 0 bytes"
    assert second.startswith(f"{tmp_path}/tiny.png: 96 x 10 pixels are too few")


def test_a_folder_leaves_no_image_out_because_of_its_ending(tmp_path, make_entry):
    make_entry("a")
    (tmp_path / "a.png").rename(tmp_path / "a.jfif")
    assert [style.id for style in catalog.load_folder(tmp_path)] == ["a"]
    (tmp_path / "b.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(12))
    with pytest.raises(CatalogError, match=r"b\.HEIC: .*convert it to JPEG"):
        catalog.load_folder(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(CatalogError, match=f"{tmp_path}: neither a catalog.yaml nor an image"):
        catalog.open_catalog(tmp_path)
    with pytest.raises(CatalogError, match=r"No such file or directory; give a catalog\.yaml or a folder"):
        catalog.load_folder(tmp_path / "none")


# Fingerprints.


def test_the_fingerprint_changes_with_the_file_and_with_every_image(tmp_path, make_entry, write_catalog):
    entries = [make_entry("a"), make_entry("b", 1)]
    file = write_catalog(*entries)
    first = catalog.compute_fingerprint(str(file))
    assert (
        first == catalog.compute_fingerprint(str(tmp_path)) == catalog.compute_fingerprint(str(write_catalog(*entries)))
    )
    seen = {first, catalog.compute_fingerprint(str(write_catalog(entries[0])))}
    write_catalog(*entries)
    for style_id in ("a", "b"):
        make_entry(style_id, seed=9)
        seen.add(catalog.compute_fingerprint(str(file)))
    (tmp_path / "a.png").unlink()
    seen.add(catalog.compute_fingerprint(str(file)))
    assert len(seen) == 5
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in seen)


def test_the_fingerprint_of_a_folder_changes_with_its_images(tmp_path, make_entry):
    make_entry("a")
    seen = {catalog.compute_fingerprint(str(tmp_path))}
    (tmp_path / "notes.txt").touch()
    assert catalog.compute_fingerprint(str(tmp_path)) in seen
    make_entry("b", 1)
    seen.add(catalog.compute_fingerprint(str(tmp_path)))
    make_entry("b", 2)
    seen.add(catalog.compute_fingerprint(str(tmp_path)))
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    seen.add(catalog.compute_fingerprint(str(tmp_path)))
    assert len(seen) == 4
    with pytest.raises(CatalogError, match="No such file"):
        catalog.compute_fingerprint(str(tmp_path / "none.yaml"))


def test_yaml_that_names_no_image_still_has_a_fingerprint(tmp_path):
    file = tmp_path / "catalog.yaml"
    file.write_text(yaml.safe_dump([{"id": "a"}, "text", {"file": 3}]))
    assert len(catalog.compute_fingerprint(str(file))) == 16
