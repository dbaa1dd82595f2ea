"""Content images from folders and records; what is broken is named."""

import gzip
import io
import os

import numpy as np
import pytest
from PIL import Image

from atelier import tfrecord
from tests.components.style_renderer import fake_engine
from tests.deferred import deferred_imports

with deferred_imports():
    from components.style_renderer.batch import contents

MAX_PIXELS = 10_000


def prepare_sources(tmp_path, sources, most=0, preview=fake_engine.SIZE):
    lists = str(tmp_path / "lists")
    prepare = contents.Prepare(str(tmp_path / "out"), lists, preview, MAX_PIXELS, most)
    sources = contents.take_first(sources, most)
    for element in enumerate(sources):
        prepare.process(element)
    return contents.collect(lists, len(sources), most)


def write_records(path, *rows, pack=gzip.compress):
    stream = io.BytesIO()
    for row in rows:
        tfrecord.write(stream, tfrecord.serialize_example(row))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pack(stream.getvalue()))


def test_a_folder_gives_its_images_in_order_without_junk(folder, tmp_path):
    for name in (".hidden.png", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    result = prepare_sources(tmp_path, contents.list_files(str(folder)))
    assert [content.id for content in result.contents] == ["a.png", "b.png", "sub/c.png"]
    assert {(content.height, content.width) for content in result.contents} == {(20, 32)}
    assert (result.dead, result.count) == ((), 3)


def test_a_prepared_content_has_the_very_pixels(folder, tmp_path):
    (content, *_) = prepare_sources(tmp_path, contents.list_files(str(folder))).contents
    image = contents.read(str(tmp_path / "out"), content, MAX_PIXELS)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(folder / "a.png")))
    with Image.open(tmp_path / "out" / "originals" / f"a--{content.sha256[:12]}.jpg") as original:
        assert original.size == (32, 20)


def test_large_originals_are_scaled_down_and_have_a_thumbnail(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "wide.png").write_bytes(fake_engine.encode_noise(0, 8, 1200))
    prepare_sources(tmp_path, contents.list_files(str(tmp_path / "in")), preview=800)
    (original,) = (tmp_path / "out" / "originals").iterdir()
    (thumbnail,) = (tmp_path / "out" / "thumbnails" / "originals").iterdir()
    assert Image.open(original).size == (800, 5)
    assert Image.open(thumbnail).size[0] == 512


def test_broken_images_are_dead_letters_with_reason_and_the_rest_goes_on(folder, tmp_path):
    (folder / "b.png").write_bytes(fake_engine.encode_noise(1)[:-30])
    (folder / "d.txt").write_text("no image")
    (folder / "e.png").write_bytes(b"")
    (folder / "f.png").write_bytes(fake_engine.encode_noise(1, 101, 100))
    (folder / "gone.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    result = prepare_sources(tmp_path, contents.list_files(str(folder)))
    assert [content.id for content in result.contents] == ["a.png", "sub/c.png"]
    assert {letter.content: letter.reason for letter in result.dead} == {
        "b.png": "truncated",
        "d.txt": "not_an_image",
        "e.png": "empty",
        "f.png": "too_large",
        "gone.png": "unreadable",
        "pipe.png": "unreadable",
    }
    assert all(letter.detail and not letter.style for letter in result.dead)
    assert result.count == 8


def test_a_file_that_goes_away_is_a_dead_letter(folder, tmp_path):
    sources = contents.list_files(str(folder))
    (folder / "a.png").unlink()
    result = prepare_sources(tmp_path, sources)
    assert [(letter.content, letter.reason) for letter in result.dead] == [("a.png", "unreadable")]


def test_a_name_that_is_not_utf8_is_a_dead_letter_that_can_be_printed(folder, tmp_path):
    try:
        (folder / "caf\udce9.png").write_bytes(fake_engine.encode_noise(9))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    result = prepare_sources(tmp_path, contents.list_files(str(folder)))
    assert [(letter.content, letter.reason) for letter in result.dead] == [("caf\\xe9.png", "unreadable_name")]


def test_the_same_image_under_two_names_stays_two(folder, tmp_path):
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    result = prepare_sources(tmp_path, contents.list_files(str(folder)))
    assert [content.id for content in result.contents] == ["a.png", "b.png", "sub/c.png"]
    assert result.contents[0].sha256 == result.contents[1].sha256


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_records_give_their_images(tmp_path, pack):
    ending = ".gz" if pack is gzip.compress else ""
    one, two = fake_engine.encode_noise(1), fake_engine.encode_noise(2)
    write_records(tmp_path / "split" / f"a-00000{ending}", {"pic": one, "image/filename": "x/one.png"}, pack=pack)
    write_records(tmp_path / "split" / f"a-00001{ending}", {"pic": two}, {"other": b"x"}, pack=pack)
    result = prepare_sources(tmp_path, contents.list_records(str(tmp_path / "split"), "pic"))
    assert [content.id for content in result.contents] == ["x/one.png", result.contents[1].sha256[:12]]
    assert [letter.reason for letter in result.dead] == ["empty"]


def test_a_damaged_record_file_gives_what_it_can_and_says_so(tmp_path):
    path = tmp_path / "split" / "a-00000"
    write_records(path, {"pic": fake_engine.encode_noise(1)}, {"pic": fake_engine.encode_noise(2)}, pack=bytes)
    path.write_bytes(path.read_bytes()[:-9])
    result = prepare_sources(tmp_path, contents.list_records(str(tmp_path / "split"), "pic"))
    assert len(result.contents) == 1
    assert [(letter.content, letter.reason) for letter in result.dead] == [(str(path), "unreadable")]


def test_no_more_are_taken_than_asked_for(folder, tmp_path):
    assert [c.id for c in prepare_sources(tmp_path, contents.list_files(str(folder)), most=2).contents] == [
        "a.png",
        "b.png",
    ]
    rows = [{"pic": fake_engine.encode_noise(seed), "image/filename": str(seed)} for seed in range(4)]
    write_records(tmp_path / "split" / "a-00000.gz")
    write_records(tmp_path / "split" / "a-00001.gz", *rows[:1])
    write_records(tmp_path / "split" / "a-00002.gz", *rows[1:])
    result = prepare_sources(tmp_path, contents.list_records(str(tmp_path / "split"), "pic"), most=3)
    assert [content.id for content in result.contents] == ["0", "1", "2"]


@pytest.mark.parametrize(("function", "keys"), [("list_files", ()), ("list_records", ("pic",))])
def test_nothing_there_is_said(tmp_path, function, keys):
    with pytest.raises(contents.ContentError, match=f"{tmp_path}: no .* found; "):
        getattr(contents, function)(str(tmp_path), *keys)
