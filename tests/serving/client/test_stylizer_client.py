"""The stylizer's client against a server in this process that answers as TensorFlow Serving does."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from PIL import Image

from atelier.stylization import StylizerError
from pipeline import cli
from serving.client import ServedModel, ServingError, StylizerClient
from tests.deferred import deferred_imports

with deferred_imports():
    from tests.serving.fake_stylizer import FakeStylizer, serving

ROOT = Path(__file__).resolve().parents[3]
Code = grpc.StatusCode


def make_image(size=(8, 6), color="red"):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def fake():
    return FakeStylizer()


@pytest.fixture
def target(fake):
    with serving(fake) as target:
        yield target


@pytest.fixture
def client(target):
    with StylizerClient(target) as client:
        yield client


def catch_error(call, *arguments, **options):
    with pytest.raises((ServingError, StylizerError)) as refused:
        call(*arguments, **options)
    return str(refused.value)


def test_weights_go_in_the_order_of_the_model(client, fake):
    found = client.stylize(make_image(), {"swirls": 3, "mosaic": 1}, 0.5)
    assert json.loads(found.encoded) == {"version": 2, "weights": {"mosaic": 0.25, "swirls": 0.75}, "strength": 0.5}
    assert found.version == 2
    assert found.milliseconds > 0
    client.stylize(make_image(), {"mosaic": 1})
    assert fake.signatures_asked() == ["stylization", "serving_bytes", "serving_bytes"]


@pytest.mark.parametrize("others", [["swirls", "mosaic"], ["petals", "mosaic", "swirls"], ["swirls", "petals"]])
def test_a_newer_version_with_other_styles_never_gets_weights_of_the_older(client, fake, others):
    client.stylize(make_image(), {"swirls": 1})
    fake.versions, fake.styles[3] = [2, 3], others
    found = client.stylize(make_image(), {"swirls": 1})
    assert json.loads(found.encoded) == {"version": 3, "weights": {"swirls": 1.0}, "strength": 1.0}


def test_versions_that_change_all_the_time_are_told(client, fake):
    fake.styles[1], fake.pushing = ["swirls", "mosaic"], True
    assert "answer in turn" in catch_error(client.stylize, make_image(), {"swirls": 1})
    with StylizerClient(client._target, ServedModel("stylizer", version=1)) as of_one:
        found = of_one.stylize(make_image(), {"swirls": 1})
    assert json.loads(found.encoded) == {"version": 1, "weights": {"swirls": 1.0}, "strength": 1.0}


def test_a_style_that_the_newer_version_lacks_is_told(client, fake):
    client.stylize(make_image(), {"swirls": 1})
    fake.versions, fake.styles[3] = [3], ["mosaic"]
    assert catch_error(client.stylize, make_image(), {"swirls": 1}).startswith("there is no style swirls")


def test_images_are_scaled_down(target, fake):
    with StylizerClient(target, size=20) as client:
        client.stylize(make_image((40, 10)), {"swirls": 1})
    (sent,) = fake.images
    assert Image.open(io.BytesIO(sent)).size == (20, 5)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ((Code.INVALID_ARGUMENT, "assertion failed: [it is a broken image]"), "the image: .* broken image"),
        ((Code.NOT_FOUND, "Servable not found for request: Latest(stylizer)"), r"has no model 'stylizer'.*--name"),
        ((Code.DEADLINE_EXCEEDED, "late"), r"no answer .* within 30 s.*--deadline.*--size"),
        ((Code.INTERNAL, "broken"), "answers INTERNAL: broken"),
    ],
)
def test_failures_say_what_to_do(client, fake, failure, words):
    client.stylization()
    fake.failures = [failure]
    said = catch_error(client.stylize, make_image(), {"swirls": 1})
    assert re.search(words, said), said
    assert said.startswith("the image:") == (failure[0] is Code.INVALID_ARGUMENT)


def test_what_cannot_be_restyled_is_told(client, fake):
    assert "the image: " in catch_error(client.stylize, b"no image", {"swirls": 1})
    assert "did you mean swirls?" in catch_error(client.stylize, make_image(), {"Swirls": 1})
    assert "expected 0..1" in catch_error(client.stylize, make_image(), {"swirls": 1}, 1.5)
    assert "expected 0..1" in catch_error(client.stylize, make_image(), {"swirls": 1}, float("nan"))
    said = catch_error(client.stylize, make_image((101, 100)), {"swirls": 1}, name="large.png")
    assert all(fact in said for fact in ("large.png", "10100", "10000", "--size")), said
    assert fake.images == []


def test_a_model_that_is_no_stylizer_is_told(target):
    with StylizerClient(target, ServedModel("default")) as client:
        said = catch_error(client.stylize, make_image(), {"swirls": 1})
    assert all(fact in said for fact in ("'default'", "not a stylizer", "--name", "atelier predict")), said


@pytest.mark.parametrize("told", ["[]", '{"styles": ["swirls"]} nonsense', '{"styles": [], "max_pixels": 1}'])
def test_a_description_that_cannot_be_read_is_told(client, fake, told):
    fake.told = told
    said = catch_error(client.stylize, make_image(), {"swirls": 1})
    assert all(fact in said for fact in ("'stylizer'", "version 2", "cannot be read")), said


def test_an_answer_without_an_image_is_told(client, fake):
    fake.output = "stylized"
    assert "cannot be read" in catch_error(client.stylize, make_image(), {"swirls": 1})


# ---- the command line


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / "a.png").write_bytes(make_image())
    (folder / "more" / "b.png").write_bytes(make_image(color="blue"))
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture
def stylize(capfd, tmp_path):
    """Runs the command; gives the exit code and standard error."""

    def run(*arguments):
        capfd.readouterr()
        code = cli.main(["stylize", *map(str, arguments), "--output", str(tmp_path / "out")])
        return code, capfd.readouterr().err

    return run


def test_a_folder_through_a_server_and_a_bad_image_loses_nothing(stylize, target, photos, tmp_path, fake):
    code, err = stylize(photos, "--target", target, "--style", "swirls", "--style", "mosaic:3", "--strength", "0.5")
    assert code == 1
    assert "bad.jpg: " in err
    assert "1 of 3 images" in err
    for name in ("a.jpg", "more/b.jpg"):
        written = json.loads((tmp_path / "out" / name).read_text())
        assert written == {"version": 2, "weights": {"mosaic": 0.75, "swirls": 0.25}, "strength": 0.5}
    assert fake.images == [make_image(), make_image(color="blue")]


def test_one_image_that_the_server_rejects_loses_nothing(stylize, target, photos, tmp_path, fake):
    (photos / "bad.jpg").unlink()
    fake.failures = [None, (Code.INVALID_ARGUMENT, "assertion failed: [what an image]")]
    code, err = stylize(photos, "--target", target, "--style", "swirls")
    assert code == 1
    assert "a.png: " in err
    assert "what an image" in err
    assert not (tmp_path / "out" / "a.jpg").exists()
    assert (tmp_path / "out" / "more" / "b.jpg").exists()


def test_a_server_that_fails_ends_the_work(stylize, target, photos, tmp_path, fake):
    (photos / "bad.jpg").unlink()
    fake.failures = [None, None, (Code.DEADLINE_EXCEEDED, "late")]
    code, err = stylize(photos, "--target", target, "--style", "swirls")
    assert code == 1
    assert "--deadline" in err
    assert (tmp_path / "out" / "a.jpg").exists()
    assert not (tmp_path / "out" / "more").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (["--target", "{target}", "--style", "swirl"], 1, ["did you mean swirls?"]),
        (["--target", "{target}", "--style", "swirls", "--name", "other"], 1, ["no model 'other'", "--name"]),
        (["--target", "{target}", "--style", "swirls", "--name", "default"], 1, ["not a stylizer"]),
        (["--target", "{target}", "--style", "swirls", "--version", "9"], 1, ["no version 9"]),
        (["--target", "127.0.0.1:1", "--style", "swirls"], 1, ["no server at 127.0.0.1:1"]),
        (["--target", "http://localhost:8500", "--style", "swirls"], 2, ["localhost:8500"]),
        (["--target", "{target}", "--model", "m", "--style", "swirls"], 2, ["--target", "--model"]),
        (["--target", "{target}", "--version", "1", "--label", "x", "--style", "swirls"], 2, ["--label"]),
        (["--target", "{target}", "--cert", "x", "--style", "swirls"], 2, ["--key"]),
        (["--deadline", "5", "--style", "swirls"], 2, ["--deadline", "--target"]),
        (["--name", "x", "--style", "swirls"], 2, ["--name", "--target"]),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(stylize, target, photos, tmp_path, arguments, code, facts):
    found, err = stylize(photos, *[argument.format(target=target) for argument in arguments])
    assert found == code
    assert all(fact in err for fact in facts), err
    assert not (tmp_path / "out").exists()


def test_a_server_is_asked_without_tensorflow(target, photos, tmp_path):
    code = f"""
import sys
from pipeline import cli
code = cli.main(["stylize", {str(photos / "a.png")!r}, "--target", {target!r}, "--style", "swirls", "--output",
                 {str(tmp_path / "out")!r}])
heavy = {{"tensorflow", "keras", "jax", "torch", "tfx", "apache_beam"}} & set(sys.modules)
sys.exit(str(heavy) if heavy else code)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    assert (tmp_path / "out" / "a.jpg").exists()
