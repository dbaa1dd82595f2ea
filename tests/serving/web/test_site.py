"""The files of the page, from a run's output folder to a folder for a static host."""

import json
import re
import shutil
from pathlib import Path

import pytest

from atelier.errors import AtelierError
from serving.web.headers import CONTENT_SECURITY_POLICY
from tests.deferred import deferred_imports
from tests.serving.web.conftest import LABELS, SIDES, push

with deferred_imports():
    from serving.web import export, models, site

pytestmark = pytest.mark.slow


@pytest.fixture
def output(pushed, tmp_path):
    return Path(shutil.copytree(pushed["int8"], tmp_path / "output"))


def test_the_page_is_told_what_was_pushed(output):
    files = site.collect(output)
    told = json.loads(files["site.json"].content)["classifier"]
    assert told["labels"] == list(LABELS)
    assert told["preprocessing"] == {
        "size": 32,
        "resize": "crop",
        "store_size": 96,
        "max_pixels": 100_000_000,
        "jpeg_quality": 95,
    }
    assert (told["version"], told["accuracy"]) == (7, 0.9)
    assert told["output"] == {"scale": 1 / 256, "zero_point": 0}
    model = files[told["file"]]
    assert (model.content, model.lasting) == ((output / "tflite/7/model.tflite").read_bytes(), True)
    assert told["bytes"] == len(model.content)


def test_the_newest_version_is_shown(output, contents):
    push(contents["float"], output, version="10")
    found = models.read_classifier(output)
    assert found
    assert found.version == 10


def test_a_newer_push_is_found_without_a_restart(output, contents, caplog):
    served = site.Site(output)
    first = json.loads(served["site.json"].content)["classifier"]
    assert served["site.json"] is served["site.json"]
    push(contents["float"], output, version="10")
    second = json.loads(served["site.json"].content)["classifier"]
    assert (first["version"], second["version"]) == (7, 10)
    assert {first["file"], second["file"]} < set(served)  # a page that is open may still load the first
    shutil.copytree(output / "tflite/10", output / "tflite/11")
    (output / "tflite/11/model.tflite").write_bytes(b"no model")
    assert json.loads(served["site.json"].content)["classifier"]["version"] == 10
    assert "11/model.tflite: not a TFLite model" in caplog.text


def test_another_model_has_another_path(pushed):
    paths = {next(path for path in site.collect(output) if path.endswith(".tflite")) for output in pushed.values()}
    assert len(paths) == 3


def test_the_page_states_its_policy_and_names_no_other_host(output):
    files = site.collect(output)
    assert f'content="{CONTENT_SECURITY_POLICY}"' in files["index.html"].content.decode()
    own = {path: file.content.decode() for path, file in files.items() if not path.startswith(("vendor/", "models/"))}
    named = {host for text in own.values() for host in re.findall(r"https?://[^\s\"']+", text)}
    assert named == {"http://www.w3.org/2000/svg", "http://ns.adobe.com/xap/1.0/"}  # names, never loaded
    assert '"./loader.js"' in files["vendor/litertjs-2.5.3/core.js"].content.decode()


def test_a_source_of_the_page_has_300_lines_at_most(output):
    files = site.collect(output)
    own = {
        path: file.content.count(b"\n") for path, file in files.items() if not path.startswith(("vendor/", "models/"))
    }
    assert {path: lines for path, lines in own.items() if lines > 300} == {}


@pytest.mark.parametrize("folder", ["", "tflite", "tflite/7", "nothing"])
def test_a_folder_without_a_model_is_told(output, folder):
    if not folder:
        shutil.rmtree(output / "tflite/7")
    with pytest.raises(AtelierError) as refused:
        site.collect(output / folder)
    what = "no such folder" if folder == "nothing" else "no pushed TFLite model"
    assert str(refused.value).startswith(
        f"{output / folder}: {what}; --models takes the output folder of `atelier run`"
    )


def test_the_page_is_told_of_the_stylizer(stylizing):
    files = site.collect(stylizing)
    told = json.loads(files["site.json"].content)["stylizer"]
    assert (told["version"], len(told["styles"]), told["styles"][0]) == (9, 21, "swirls")
    assert [each["size"] for each in told["files"]] == list(SIDES)
    for each in told["files"]:
        assert len(files[each["file"]].content) == each["bytes"]


def test_a_stylizer_alone_is_enough(stylizing, tmp_path):
    shutil.copytree(stylizing / "stylizer", tmp_path / "stylizer")
    told = json.loads(site.collect(tmp_path)["site.json"].content)
    assert told["classifier"] is None
    assert told["stylizer"]["version"] == 9


def test_a_stylizer_of_other_styles_is_rejected(stylizing, tmp_path):
    shutil.copytree(stylizing / "stylizer", tmp_path / "stylizer")
    folder = tmp_path / "stylizer/9/assets.extra/tflite"
    (folder / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(
        AtelierError,
        match=r"stylizer-64-float16\.tflite: takes tensors .* the weights of 2 styles, .* push the stylizer again",
    ):
        site.collect(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.tflite", b"no model", "not a TFLite model that LiteRT can run"),
        ("labels.txt", b"ant\n", "1 class names for a model of 5 classes"),
        ("labels.txt", b"\xff\n", "not UTF-8 text"),
        ("card.json", b"[", "not a JSON object"),
        ("card.json", b"[]", "not a JSON object"),
        ("card.json", b'{"preprocessing": {"size": 16, "resize": "pad", "store_size": 9}}', "its size is 16"),
        ("card.json", b'{"preprocessing": {"size": 32}}', "preprocessing: resize: field required"),
        ("card.json", b'{"resize": "zoom"}', "preprocessing: resize: "),
    ],
)
def test_a_wrong_file_is_named(output, name, content, words):
    (output / "tflite/7" / name).write_bytes(content)
    with pytest.raises(AtelierError) as refused:
        models.read_classifier(output)
    assert str(refused.value).startswith(f"{output}/tflite/7/{name}: {words}")


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "card.json"])
def test_a_missing_file_is_named(output, name):
    (output / "tflite/7" / name).unlink()
    with pytest.raises(AtelierError, match=f"{name}: cannot be read: No such file or directory"):
        models.read_classifier(output)


def test_a_card_of_an_earlier_version_means_the_defaults(output):
    (output / "tflite/7/card.json").write_text('{"resize": "stretch"}')
    told = models.read_classifier(output)
    assert told
    assert (told.preprocessing.resize, told.preprocessing.store_size, told.accuracy) == ("stretch", 512, None)


def test_an_export_holds_every_file_and_the_headers(output, tmp_path):
    files = site.collect(output)
    export.export(files, tmp_path / "host")
    written = {
        path.relative_to(tmp_path / "host").as_posix() for path in (tmp_path / "host").rglob("*") if path.is_file()
    }
    assert written == {*files, "_headers"}
    headers = (tmp_path / "host/_headers").read_text()
    assert "Cross-Origin-Opener-Policy: same-origin" in headers
    assert "Cross-Origin-Embedder-Policy: require-corp" in headers


def test_an_export_replaces_an_export_and_nothing_else(output, tmp_path):
    files = site.collect(output)
    (tmp_path / "host").mkdir()
    export.export(files, tmp_path / "host")
    (tmp_path / "host/page/old.js").touch()
    export.export(files, tmp_path / "host")
    assert not (tmp_path / "host/page/old.js").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(AtelierError, match="mine: it holds something else than an exported page"):
        export.export(files, tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").exists()
    (tmp_path / "mine/site.json").write_text('{"title": "of another tool"}')
    with pytest.raises(AtelierError, match="mine: it holds something else than an exported page"):
        export.export(files, tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host", "mine", "output"]


def test_what_lies_beside_an_export_stays_and_its_own_files_are_replaced(output, tmp_path):
    files = site.collect(output)
    (tmp_path / "host").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "host")
    export.export(files, tmp_path / "link")
    (tmp_path / "host/.git").mkdir()
    (tmp_path / "host/.git/HEAD").write_text("ref: refs/heads/main")
    (tmp_path / "host/CNAME").write_text("example.org")
    (tmp_path / "host/models/old").mkdir()
    (tmp_path / "host/index.html").write_text("edited")
    export.export(files, tmp_path / "link")
    written = {
        path.relative_to(tmp_path / "host").as_posix() for path in (tmp_path / "host").rglob("*") if path.is_file()
    }
    assert written == {*files, "_headers", "CNAME", ".git/HEAD"}
    assert (tmp_path / "host/index.html").read_bytes() == files["index.html"].content
    assert not (tmp_path / "host/models/old").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host", "link", "output"]
