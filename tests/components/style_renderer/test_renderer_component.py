"""StyleRenderer as TFX runs it, with the engine that costs nothing."""

import io
import json

import pytest

from atelier import tfrecord
from components.style_catalog import entry
from tests.components.style_renderer import fake_engine
from tests.deferred import deferred_imports

with deferred_imports():
    from tfx.dsl.components.base import base_beam_executor
    from tfx.types import artifact_utils, channel_utils, standard_artifacts
    from tfx.types.experimental import simple_artifacts

    from components.style_renderer import component, executor
    from components.style_renderer.batch import contents, engines, outcome
    from tests.components.style_renderer.conftest import IN_MEMORY

pytestmark = pytest.mark.slow


def make_artifact(kind, path):
    made = kind()
    made.uri = str(path)
    path.mkdir(exist_ok=True)
    return made


@pytest.fixture
def catalog(styles, tmp_path):
    """A published catalog."""
    made = make_artifact(simple_artifacts.Dataset, tmp_path / "catalog")
    entries = []
    for style in styles:
        (tmp_path / "catalog" / style.file.name).write_bytes(style.file.read_bytes())
        entries.append({**vars(style), "file": style.file.name})
    (tmp_path / "catalog" / "catalog.yaml").write_text(entry.dump_entries(entries))
    return made


@pytest.fixture
def examples(tmp_path):
    """Examples whose split `test` holds three images."""
    made = make_artifact(standard_artifacts.Examples, tmp_path / "examples")
    made.split_names = artifact_utils.encode_split_names(["train", "test"])
    stream = io.BytesIO()
    for seed in range(3):
        values = {"photo": fake_engine.encode_noise(seed), "image/filename": f"{seed}.png"}
        tfrecord.write(stream, tfrecord.serialize_example(values))
    (tmp_path / "examples" / "Split-test").mkdir()
    (tmp_path / "examples" / "Split-test" / "data_tfrecord-00000-of-00001").write_bytes(stream.getvalue())
    return made


@pytest.fixture
def do(catalog, tmp_path, monkeypatch):
    """Builds the component and runs its executor; gives the gallery."""
    monkeypatch.setattr(engines, "load", lambda *_: fake_engine.render)

    def run(examples=None, name="gallery", **arguments):
        node = component.StyleRenderer(
            channel_utils.as_channel([catalog]),
            examples=channel_utils.as_channel([examples]) if examples else None,
            store_directory=str(tmp_path / "store"),
            engine_code="e",
            code="c",
            overrides={"scales": [{"size": 32, "iterations": 1}]},
            **arguments,
        )
        gallery = make_artifact(simple_artifacts.Dataset, tmp_path / name)
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=list(IN_MEMORY), tmp_dir=str(tmp_path / "tmp"), unique_id="1"
        )
        inputs = {"catalog": [catalog], **({"examples": [examples]} if examples else {})}
        executor.Executor(context).Do(inputs, {"gallery": [gallery]}, node.spec.exec_properties)
        return gallery

    return run


def read_manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_a_splits_images_are_rendered_in_the_catalogs_styles(do, examples, tmp_path):
    gallery = do(examples, contents="split:test", image_key="photo", max_contents=2, strengths=(0.5, 1))
    lines = read_manifest(tmp_path / "gallery")
    assert [(line["content"]["id"], line["style"]["id"], line["strength"]) for line in lines] == [
        (content, style, strength)
        for content in ("0.png", "1.png")
        for style in ("red", "blue")
        for strength in (0.5, 1)
    ]
    assert all((tmp_path / "gallery" / line["file"]).stat().st_size for line in lines)
    assert {path.name for path in (tmp_path / "gallery").iterdir()} == {
        "contact_sheet.jpg",
        "dead_letters.jsonl",
        "gallery.html",
        "manifest.jsonl",
        "originals",
        "pictures",
        "renders-00000-of-00001.tfrecord",
        "styles",
    }
    assert gallery.get_int_custom_property("pictures") == gallery.get_int_custom_property("rendered") == 8
    assert gallery.get_int_custom_property("dead_letters") == 0


def test_the_next_execution_takes_from_the_store(do, examples, read_calls, tmp_path):
    do(examples, contents="split:test", image_key="photo", max_contents=2)
    assert len(read_calls()) == 4
    gallery = do(examples, name="second", contents="split:test", image_key="photo")
    assert len(read_calls()) == 2
    assert (gallery.get_int_custom_property("pictures"), gallery.get_int_custom_property("rendered")) == (6, 2)
    assert len(list((tmp_path / "second" / "pictures").iterdir())) == 6


def test_a_folder_of_contents(do, folder, tmp_path):
    (folder / "b.png").write_bytes(b"broken")
    do(contents=str(folder), max_bad_fraction=0.4, picture_format="png")
    assert {line["file"].rpartition(".")[2] for line in read_manifest(tmp_path / "gallery")} == {"png"}
    assert "not_an_image" in (tmp_path / "gallery" / "dead_letters.jsonl").read_text()


def test_over_the_budget_it_fails_and_the_store_keeps_what_there_is(do, folder, tmp_path):
    (folder / "b.png").write_bytes(b"broken")
    with pytest.raises(outcome.RenderError, match="2 of 6"):
        do(contents=str(folder))
    assert len(list((tmp_path / "store" / "pictures").iterdir())) == 4


@pytest.mark.parametrize(
    ("given", "message"), [("split:test", "was given no examples"), ("/no/such/folder", "no such folder")]
)
def test_contents_that_are_not_there_are_named(do, given, message):
    with pytest.raises(contents.ContentError, match=message):
        do(contents=given)


def test_an_unknown_split_is_named_with_those_there_are(do, examples):
    with pytest.raises(contents.ContentError, match=r"split:eval.* train, test"):
        do(examples, contents="split:eval")


def test_every_argument_is_part_of_the_cache_key(catalog):
    node = component.StyleRenderer(
        channel_utils.as_channel([catalog]),
        contents="x",
        store_directory="s",
        engine_code="e",
        code="c",
        overrides={"seed": 1},
        size=96,
        strengths=(0.5,),
        engine="fast",
        stylizer="mine.npz",
        stylizer_sha256="ab",
    )
    assert node.spec.exec_properties == {
        "contents": "x",
        "size": 96,
        "image_key": "image/encoded",
        "max_contents": 0,
        "overrides": '{"seed": 1}',
        "strengths": "[0.5]",
        "picture_format": "jpeg",
        "max_bad_fraction": 0.1,
        "engine": "fast",
        "stylizer": "mine.npz",
        "stylizer_sha256": "ab",
        "store_directory": "s",
        "engine_code": "e",
        "code": "c",
    }


def test_progress_is_logged_some_twenty_times(caplog):
    log = executor._LogSteps()
    with caplog.at_level("INFO", logger="atelier.style_renderer"):
        for step in range(1001):
            log(f"{step} of 1000", step / 1000)
    assert 15 <= len(caplog.records) <= 21
