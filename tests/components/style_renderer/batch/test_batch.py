"""A batch in memory: what it writes, that nothing is done twice, and what happens to what fails."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from atelier import tfrecord
from components.style_catalog.style import CatalogError
from tests.components.style_renderer import fake_engine
from tests.deferred import deferred_imports

with deferred_imports():
    from apache_beam.options.pipeline_options import PipelineOptions

    from components.style_renderer.batch import batch, contents, outcome, publishing, rendering

pytestmark = pytest.mark.slow


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def read_manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def read_dead_letters(folder):
    return [json.loads(line) for line in (folder / "dead_letters.jsonl").read_text().splitlines()]


def name_units(lines):
    return [(line["content"]["id"], line["style"]["id"], line["strength"]) for line in lines]


def list_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


ALL = [(content, style, 1.0) for content in ("a.png", "b.png", "sub/c.png") for style in ("red", "blue")]


def test_every_content_is_rendered_in_every_style(run, out, styles):
    report = run(picture_format="png")
    assert (report.contents, report.images, report.rendered, report.dead) == (3, 6, 6, ())
    assert report.gallery == str(out / "gallery.html")
    lines = read_manifest(out)
    assert name_units(lines) == ALL
    image = np.asarray(Image.open(out / lines[1]["file"]))
    source = np.random.default_rng(0).integers(0, 256, (20, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(image, (source * 0.5 + np.array([0, 0, 127.5])).astype(np.uint8))
    assert lines[1]["file"] == f"pictures/a--blue--{lines[1]['key'][:12]}.png"
    assert lines[1]["style"]["sha256"] == styles[1].sha256


def test_the_manifest_says_how_each_image_came_about(run, out, styles):
    run(code="engine-1", overrides={"scales": [{"size": 40, "iterations": 9}], "seed": 5})
    (line, *_) = read_manifest(out)
    assert line["content"]["id"] == "a.png"
    assert len(line["content"]["sha256"]) == len(line["key"]) == 64
    assert {name: line["style"][name] for name in ("title", "artist", "year", "licence")} == {
        "title": "Red",
        "artist": "A. Painter",
        "year": 1900,
        "licence": "CC0",
    }
    assert line["settings"]["scales"] == [{"size": 40, "iterations": 9, "tv_weight": None}]
    assert (line["settings"]["seed"], line["strength"], line["code"]) == (5, 1.0, "engine-1")
    assert (line["engine"], line["stylizer"]) == ("finest", "")
    assert line["losses"] == {"total": 6.0, "content": 1.0, "style": 2.0, "tv": 3.0}
    assert (line["iterations"], line["height"], line["width"], line["format"]) == (7, 20, 32, "jpeg")
    assert line["seconds"] >= 0
    assert line["seam_score"] is None
    assert {"keras", "numpy", "scipy", "tensorflow"} <= set(line["versions"])
    assert all(line["versions"].values())


def test_a_presets_settings_and_each_strength_reach_the_engine(run, out, tmp_path):
    style = fake_engine.make_style(tmp_path, "green", "#00ff00", preset={"strength": 0.5, "seed": 3})
    run(styles=[style])
    assert {(line["strength"], line["settings"]["seed"]) for line in read_manifest(out)} == {(0.5, 3)}
    run(styles=[style], strengths=(0.25, 1.0))
    assert name_units(read_manifest(out))[:2] == [("a.png", "green", 0.25), ("a.png", "green", 1.0)]
    weak, strong = (np.asarray(Image.open(out / line["file"])).mean(axis=(0, 1)) for line in read_manifest(out)[:2])
    assert strong[1] > weak[1] + 50  # 0.75 of 127.5 brighter in green


def test_the_records_hold_the_images(run, out):
    run(strengths=(0.5,))
    (file,) = out.glob("renders-*.tfrecord")
    assert file.name == "renders-00000-of-00001.tfrecord"
    records = list(tfrecord.read(io.BytesIO(file.read_bytes())))
    for record, line in zip(records, read_manifest(out), strict=True):
        assert tfrecord.read_first_bytes(record, "image/encoded") == (out / line["file"]).read_bytes()
        assert tfrecord.read_first_bytes(record, "image/format") == b"jpeg"
        assert tfrecord.read_first_bytes(record, "content/id") == line["content"]["id"].encode()
        assert tfrecord.read_first_bytes(record, "style/id") == line["style"]["id"].encode()
        assert tfrecord.read_first_bytes(record, "key") == line["key"].encode()


def test_tensorflow_reads_the_records(run, out):
    import tensorflow as tf

    run()
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "strength": tf.io.FixedLenFeature([], tf.float32),
    }
    rows = [
        tf.io.parse_single_example(record, spec)
        for record in tf.data.TFRecordDataset([str(file) for file in out.glob("renders-*.tfrecord")])
    ]
    assert [tuple(tf.io.decode_jpeg(row["image/encoded"]).shape) for row in rows] == [(20, 32, 3)] * 6
    assert [(int(row["image/height"]), float(row["strength"])) for row in rows] == [(20, 1.0)] * 6


def test_many_records_are_split_and_former_ones_do_not_stay(run, out, monkeypatch):
    monkeypatch.setattr(publishing, "_PER_SHARD", 4)
    run()
    names = [file.name for file in sorted(out.glob("renders-*"))]
    assert names == ["renders-00000-of-00002.tfrecord", "renders-00001-of-00002.tfrecord"]
    run(max_contents=1)
    assert [file.name for file in out.glob("renders-*")] == ["renders-00000-of-00001.tfrecord"]


def test_a_rerun_renders_nothing_and_changes_nothing(run, out, read_calls):
    run()
    assert len(read_calls()) == 6
    before = {name: (out / name).read_bytes() for name in list_files(out)}
    report = run()
    assert read_calls() == []
    assert (report.images, report.rendered) == (6, 0)
    assert {name: (out / name).read_bytes() for name in list_files(out)} == before


@pytest.mark.parametrize("part", ["pictures", "sidecars"])
def test_only_what_is_missing_is_rendered(run, out, read_calls, part):
    run()
    read_calls()
    (victim,) = (out / part).glob("b--blue--*")
    before = {name: (out / name).read_bytes() for name in list_files(out) if name.startswith("pictures/")}
    victim.unlink()
    assert run().rendered == 1
    assert [call[0] for call in read_calls()] == ["blue"]
    assert {name: (out / name).read_bytes() for name in list_files(out) if name.startswith("pictures/")} == before


@pytest.mark.parametrize("damage", ["", "no JSON", "[]", '{"key": "another"}'])
def test_a_damaged_sidecar_or_an_empty_image_is_as_none(run, out, read_calls, damage):
    run()
    read_calls()
    next((out / "sidecars").glob("a--red--*")).write_text(damage)
    next((out / "pictures").glob("b--red--*")).write_bytes(b"")
    assert run().rendered == 2
    assert len(read_calls()) == 2
    assert name_units(read_manifest(out)) == ALL


def test_a_new_style_is_one_new_column(run, out, read_calls, styles, tmp_path):
    run()
    read_calls()
    green = fake_engine.make_style(tmp_path, "green", "#00ff00")
    report = run(styles=[*styles, green])
    assert [call[0] for call in read_calls()] == ["green"] * 3
    assert (report.images, report.rendered) == (9, 3)


def test_a_content_by_another_name_is_not_rendered_again(run, out, read_calls, folder):
    run()
    read_calls()
    (folder / "a.png").rename(folder / "z.png")
    report = run()
    assert (read_calls(), report.rendered) == ([], 0)
    assert {line["content"]["id"] for line in read_manifest(out)} == {"b.png", "sub/c.png", "z.png"}


def test_the_same_content_twice_is_rendered_once_and_shown_twice(run, out, read_calls, folder):
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    report = run()
    assert len(read_calls()) == 4
    assert (report.contents, report.images) == (3, 6)
    assert name_units(read_manifest(out)) == ALL


@pytest.mark.parametrize("change", [{"code": "2"}, {"overrides": {"seed": 1}}, {"picture_format": "png"}])
def test_what_changes_images_renders_all_again(run, read_calls, change):
    run()
    read_calls()
    assert run(**change).rendered == 6
    assert len(read_calls()) == 6


def test_a_changed_content_is_rendered_again(run, read_calls, folder):
    run()
    read_calls()
    (folder / "a.png").write_bytes(fake_engine.encode_noise(77))
    assert run().rendered == 2


def test_results_may_go_to_another_folder_whole(run, out, tmp_path, folder):
    (folder / "a.png").write_bytes(fake_engine.encode_noise(0, 8, 1200))
    run(overrides={"scales": [{"size": 1024, "iterations": 1}]}, output=str(tmp_path / "artifact"))
    artifact = tmp_path / "artifact"
    assert not (out / "manifest.jsonl").exists()
    for line in read_manifest(artifact):
        assert (artifact / line["file"]).read_bytes() == (out / line["file"]).read_bytes()
    page = (artifact / "gallery.html").read_text()
    shown = {name for name in list_files(artifact) if name.endswith(".jpg")} - {"contact_sheet.jpg"}
    # Renderings, originals and styles; thumbnails of a's original and its two renderings.
    assert len(shown) == 6 + 3 + 2 + 3
    assert all(name in page for name in shown)


def test_broken_contents_go_to_the_dead_letters_and_the_rest_is_rendered(run, out, folder):
    (folder / "b.png").write_bytes(b"\x89PNG broken")
    report = run(max_bad_fraction=0.34)
    assert name_units(read_manifest(out)) == [unit for unit in ALL if unit[0] != "b.png"]
    assert [(letter["content"], letter["reason"], letter["style"]) for letter in read_dead_letters(out)] == [
        ("b.png", "truncated", "")
    ]
    assert "truncated" in (out / "gallery.html").read_text()
    assert "b.png" in outcome.summarize(report)


def test_over_the_budget_the_batch_fails_after_writing_what_it_has(run, out, folder):
    (folder / "b.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(outcome.RenderError) as error:
        run(max_bad_fraction=0.33)
    assert "2 of 6 images (33.3%)" in str(error.value)
    assert "--max-bad-fraction" in str(error.value)
    assert "truncated" in str(error.value)
    assert "b.png" in str(error.value)
    assert len(read_manifest(out)) == len(list(out.glob("pictures/*.jpg"))) == 4
    assert (out / "gallery.html").is_file()


def test_a_unit_that_fails_is_a_dead_letter_and_is_tried_again(run, out, read_calls):
    report = run(engine=fake_engine.refuse_red, max_bad_fraction=0.5)
    assert (report.images, report.rendered, len(report.dead)) == (3, 3, 3)
    assert read_dead_letters(out)[0] == {
        "content": "a.png",
        "reason": "FloatingPointError",
        "detail": "the loss is not finite",
        "style": "red",
        "strength": 1.0,
    }
    read_calls()
    assert run().rendered == 3
    assert read_dead_letters(out) == []
    assert name_units(read_manifest(out)) == ALL


def test_a_unit_that_goes_missing_without_a_word_is_a_dead_letter_too(run, out, monkeypatch):
    process = rendering.Render.process
    skip = lambda self, unit: None if unit.content.id == "b.png" else process(self, unit)  # noqa: E731
    monkeypatch.setattr(rendering.Render, "process", skip)
    run(max_bad_fraction=0.5)
    assert [(letter["content"], letter["style"], letter["reason"]) for letter in read_dead_letters(out)] == [
        ("b.png", "red", "lost"),
        ("b.png", "blue", "lost"),
    ]


def test_failing_units_count_against_the_budget(run):
    with pytest.raises(outcome.RenderError, match=r"3 of 6 images \(50.0%\)"):
        run(engine=fake_engine.refuse_red, max_bad_fraction=0.49)


def test_nothing_at_all_is_never_within_the_budget(run, out, folder):
    for file in folder.rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(outcome.RenderError, match="not_an_image") as error:
        run(max_bad_fraction=1.0)
    assert "--max-bad-fraction" not in str(error.value)  # it would not help
    assert len(read_dead_letters(out)) == 3
    assert read_manifest(out) == []


def test_progress_counts_units_and_ends_at_one(run):
    told = []
    run(progress_to=lambda text, share: told.append((text, share)))
    assert told[-1] == ("6 of 6 rendered", 1.0)
    shares = [share for _, share in told]
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("mode", "workers", "expected"),
    [("multi_processing", 2, 4), ("multi_processing", 3, 2), ("multi_processing", 0, 1), ("in_memory", 1, 0)],
)
def test_worker_processes_share_the_processors(monkeypatch, mode, workers, expected):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    args = [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    assert batch._choose_threads(PipelineOptions(args)) == expected


def test_nothing_of_the_work_stays_behind(run, out):
    run()
    assert not [name for name in list_files(out) if "partial" in name or ".work" in name]


def test_wrong_settings_are_named_before_anything_is_done(run, out):
    with pytest.raises(CatalogError, match="seeed"):
        run(overrides={"seeed": 1})
    assert not out.exists()


def test_contents_may_come_from_records(run, out, tmp_path):
    stream = io.BytesIO()
    tfrecord.write(
        stream, tfrecord.serialize_example({"image/encoded": fake_engine.encode_noise(5), "image/filename": "x.png"})
    )
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "data-00000").write_bytes(stream.getvalue())
    run(sources=contents.list_records(str(tmp_path / "split"), "image/encoded"))
    assert name_units(read_manifest(out)) == [("x.png", "red", 1.0), ("x.png", "blue", 1.0)]
