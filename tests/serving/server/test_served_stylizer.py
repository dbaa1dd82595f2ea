"""A stylizer's SavedModel in the local server, through gRPC, the client and the command line, against Keras."""

import io

import grpc
import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.commands.work import serve_models
from serving.client import Client, ServedModel, ServingError, StylizerClient
from serving.server.model_server_config import BatchingParameters
from tests.components.stylizer import tiny
from tests.deferred import deferred_imports

with deferred_imports():
    from components.stylizer.exports import saved_model
    from components.stylizer.stylizer import Stylizer
    from serving.server.local_server import LocalServer, Options
    from tests.serving.door import Door

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stylizer():
    return Stylizer(tiny.build_network(), ("red", "blue"))


@pytest.fixture(scope="module")
def models(stylizer, tmp_path_factory):
    """The folder of its versions."""
    folder = tmp_path_factory.mktemp("stylizer")
    saved_model.export(stylizer, folder / "3", max_pixels=10_000)
    (folder / "2").mkdir()  # an older one that is broken
    return folder


@pytest.fixture(scope="module")
def target(models):
    """A server that batches the requests of several clients."""
    options = Options(port=0, batching=BatchingParameters(max_batch_size=4, batch_timeout_micros=1000))
    with LocalServer(serve_models.find_config(models, None), options) as server:
        yield server.target


@pytest.fixture(scope="module")
def door(target):
    with grpc.insecure_channel(target) as channel:
        yield Door(channel)


def image(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 2 % 256, columns * 3 % 256, 255 - rows - columns], axis=-1).astype(np.uint8)


def encoded(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)), int)


def floats(values):
    return np.array(values, np.float32)


def test_pixels_by_grpc_are_those_of_keras(door, stylizer):
    pixels = image(30, 41)[np.newaxis]
    inputs = {"pixels": pixels, "style_weights": floats([[1, 3]]), "strength": floats([0.7])}
    found, spec = door.predict("serving_pixels", inputs, name="stylizer")
    assert spec.version.value == 3
    expected = stylizer.stylize(pixels[0], {"red": 0.25, "blue": 0.75}, 0.7)
    np.testing.assert_allclose(found["stylized"][0].astype(int), expected, atol=1)


def test_ids_and_weights_by_grpc_are_alike_and_strength_0_gives_the_image_back(door, stylizer):
    pixels = [image(40, 30), image(24, 52)]  # of one batch, in two sizes
    content = [encoded(each) for each in pixels]
    by_id, _ = door.predict(
        "serving_ids",
        {"image_bytes": content, "style_id": ["blue", "red"], "strength": floats([1, 0])},
        name="stylizer",
    )
    by_weight, _ = door.predict(
        "",  # the default one
        {"image_bytes": content, "style_weights": floats([[0, 1], [1, 0]]), "strength": floats([1, 0])},
        name="stylizer",
    )
    assert by_id["stylized_bytes"].tolist() == by_weight["stylized_bytes"].tolist()
    blue, same = map(decoded, by_id["stylized_bytes"])
    assert np.abs(blue - stylizer.stylize(pixels[0], {"blue": 1})).mean() < 2
    assert np.abs(blue - pixels[0]).mean() > 10
    assert same.shape == (24, 52, 3)
    assert np.abs(same - pixels[1]).mean() < 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"style_id": ["Red"]}, "no such style (red, blue)"),
        ({"style_id": [b"\xff\xfe"]}, "no such style"),
        ({"style_id": ["red", "red"]}, "equal 0th-dimension size"),
        ({"strength": floats([2])}, "strength is not in 0..1"),
        ({"strength": floats([np.nan])}, "strength is not in 0..1"),
        ({"strength": np.array([1.0])}, "expects it to be float"),
        ({"image_bytes": [b"no image"]}, "no JPEG, PNG"),
        ({"image_bytes": [encoded(image(101, 100))]}, "more than the 10000 pixels"),
        ({"style_id": [], "image_bytes": [], "strength": floats([])}, "the batch is empty"),
    ],
)
def test_bad_input_is_an_invalid_argument(door, change, words):
    inputs = {"image_bytes": [encoded(image(8, 8))], "style_id": ["red"], "strength": floats([1])} | change
    inputs = {name: np.array(value, object) if isinstance(value, list) else value for name, value in inputs.items()}
    with pytest.raises(grpc.RpcError) as refused:
        door.predict("serving_ids", inputs, name="stylizer")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, refused.value.details()
    assert words in refused.value.details()


def test_the_client(target, stylizer):
    with StylizerClient(target) as client:
        assert client.stylization().styles == ("red", "blue")
        found = client.stylize(encoded(image(33, 44)), {"red": 1, "blue": 1}, 0.6)
    expected = stylizer.stylize(image(33, 44), {"red": 1, "blue": 1}, 0.6)
    assert np.abs(decoded(found.encoded) - expected).mean() < 2


def test_a_classifier_is_not_what_answers(target):
    with Client(target, ServedModel("stylizer")) as client, pytest.raises(ServingError) as refused:
        client.predict([encoded(image(8, 8))])
    assert "atelier stylize" in str(refused.value)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(image(40, 30)).save(folder / "a.png")
    Image.fromarray(image(24, 52)).save(folder / "more" / "b.bmp")
    Image.fromarray(image(101, 100)).save(folder / "large.png")
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


@pytest.mark.parametrize("path", ["{models}", "{models}/3", "{file}", None])
def test_the_command_line_gives_one_answer_whatever_is_asked(target, models, stylizer, photos, tmp_path, capfd, path):
    stylizer.save(tmp_path / "red-blue.npz")
    asked = ["--model", path.format(models=models, file=tmp_path / "red-blue.npz")] if path else ["--target", target]
    rest = ["--style", "red", "--style", "blue:3", "--strength", "0.5", "--output", str(tmp_path / "out")]
    assert cli.main(["stylize", str(photos), *asked, *rest]) == 1
    err = capfd.readouterr().err
    assert "bad.jpg: " in err
    is_limited = path != "{file}"
    assert ("large.png: " in err) == is_limited
    assert f"{1 + is_limited} of 4 images" in err
    for name, pixels in (("a.jpg", image(40, 30)), ("more/b.jpg", image(24, 52))):
        found = decoded((tmp_path / "out" / name).read_bytes())
        expected = stylizer.stylize(pixels, {"red": 1, "blue": 3}, 0.5)
        assert np.abs(found - expected).mean() < 2


def test_what_is_no_stylizer_is_told(models, photos, tmp_path, capfd):
    (tmp_path / "classifier" / "1").mkdir(parents=True)
    (tmp_path / "classifier" / "1" / "saved_model.pb").touch()
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken" / "1"
    (broken / "assets.extra").mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"no model")
    (broken / "assets.extra" / "stylization.json").write_bytes(
        (models / "3" / "assets.extra" / "stylization.json").read_bytes()
    )
    for model, facts in (
        (tmp_path / "classifier", ["classifier/1", "not a stylizer"]),
        (tmp_path / "empty", ["empty", "no versions"]),
        (tmp_path / "broken", ["broken/1", "cannot be loaded"]),
        (tmp_path / "missing", ["missing", "cannot be read"]),
    ):
        arguments = ["stylize", str(photos), "--model", str(model), "--style", "red", "--output", str(tmp_path / "out")]
        assert cli.main(arguments) == 1
        err = capfd.readouterr().err
        assert all(fact in err for fact in facts), err
    arguments = ["stylize", str(photos), "--model", str(models), "--style", "Red", "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 1
    assert "did you mean red?" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
