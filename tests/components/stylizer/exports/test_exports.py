"""The exported SavedModel and TFLite files, against Keras and NumPy."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from atelier import stylization
from atelier.labels import read_labels
from tests.components import tflite_metadata as reading
from tests.components.stylizer import tiny
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from tensorflow.core.protobuf import saved_model_pb2

    from components.stylizer.exports import saved_model, tflite
    from components.stylizer.stylizer import Stylizer
    from serving.server import warmup
    from serving.server.loaded_model import LoadedModel


@pytest.fixture(scope="module")
def stylizer():
    """Two styles with random rows, so that each layer and strength matters."""
    return Stylizer(tiny.build_network(), ("red", "blue"))


@pytest.fixture(scope="module")
def directory(stylizer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "1"
    saved_model.export(stylizer, directory, max_pixels=1600, provenance={"code": "1234"})
    return directory


@pytest.fixture(scope="module")
def signatures(directory):
    return tf.saved_model.load(str(directory)).signatures


def make_floats(values):
    return np.array(values, np.float32)


def draw_image(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 3 % 256, columns * 5 % 256, (rows + columns) * 2 % 256], axis=-1).astype(np.uint8)


def encode(pixels, image_format="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format, **options)
    return stream.getvalue()


def decode(content):
    return np.asarray(Image.open(io.BytesIO(content)), int)


def call(signature, **inputs):
    (found,) = signature(**{name: tf.constant(value) for name, value in inputs.items()}).values()
    return found.numpy()


@pytest.mark.slow
def test_pixels_of_any_size_are_those_of_keras(signatures, stylizer):
    weights = np.array([[1, 3], [5, 0]], np.float32)  # their sums are divided out
    for height, width in ((8, 12), (9, 15), (1, 2)):  # one pixel is reflected three times
        pixels = np.stack([draw_image(height, width), draw_image(width, height).swapaxes(0, 1)])
        found = call(signatures["serving_pixels"], pixels=pixels, style_weights=weights, strength=make_floats([0.6, 1]))
        for one, restyled, blend, strength in zip(pixels, found, weights, (0.6, 1), strict=True):
            expected = stylizer.stylize(one, dict(zip(stylizer.styles, map(float, blend), strict=True)), strength)
            np.testing.assert_allclose(restyled.astype(int), expected, atol=1)
    empty = call(
        signatures["serving_pixels"],
        pixels=np.zeros((0, 5, 6, 3), np.uint8),
        style_weights=np.zeros((0, 2), np.float32),
        strength=np.zeros(0, np.float32),
    )
    assert empty.shape == (0, 5, 6, 3)


@pytest.mark.slow
def test_encoded_images_of_one_batch_may_differ_in_size_format_and_orientation(signatures, stylizer):
    turned = Image.Exif()
    turned[0x0112] = 6  # stored lying on its left side
    contents = [encode(draw_image(40, 30)), encode(draw_image(24, 32), "JPEG", quality=95, exif=turned)]
    by_id = call(
        signatures["serving_ids"], image_bytes=contents, style_id=["blue", "red"], strength=make_floats([1, 0])
    )
    weights = make_floats([[0, 2], [1, 0]])
    for name in ("serving_bytes", "serving_default"):
        found = call(signatures[name], image_bytes=contents, style_weights=weights, strength=make_floats([1, 0]))
        assert list(found) == list(by_id)
    blue, red = map(decode, by_id)
    assert np.abs(blue - stylizer.stylize(draw_image(40, 30), {"blue": 1})).mean() < 2
    upright = np.rot90(draw_image(24, 32), -1).astype(int)
    assert red.shape == (32, 24, 3)
    assert np.abs(red - upright).mean() < 2  # a strength of 0
    assert np.abs(blue - draw_image(40, 30)).mean() > 10
    none = call(
        signatures["serving_ids"], image_bytes=np.array([], str), style_id=np.array([], str), strength=make_floats([])
    )
    assert none.shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"image_bytes": [b"no image"]}, "no JPEG, PNG"),
        ({"image_bytes": [b""]}, "no JPEG, PNG"),
        ({"strength": make_floats([1.01])}, r"strength is not in 0\.\.1:.*1\.01"),
        ({"strength": make_floats([np.nan])}, r"strength is not in 0\.\.1"),
        ({"strength": make_floats([1, 1])}, r"numbers of images.* differ:.*1.*1.*2"),
        ({"style_weights": make_floats([[0, 0]])}, "style weights must be"),
        ({"style_weights": make_floats([[2, -1]])}, "style weights must be"),
        ({"style_weights": make_floats([[np.inf, 1]])}, "style weights must be"),
        ({"style_weights": make_floats([[np.nan, 1]])}, "style weights must be"),
        ({"style_weights": np.eye(2, dtype=np.float32)}, r"numbers of images.* differ:.*1.*2.*1"),
    ],
)
def test_bad_input_is_an_invalid_argument(signatures, wrong, words):
    inputs = {
        "image_bytes": [encode(draw_image(8, 8))],
        "style_weights": make_floats([[1, 0]]),
        "strength": make_floats([1]),
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        call(signatures["serving_bytes"], **inputs | wrong)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["Red", "green", ""])
def test_an_unknown_id_is_an_invalid_argument_that_lists_the_styles(signatures, style):
    inputs = {"image_bytes": [encode(draw_image(8, 8))], "style_id": [style], "strength": make_floats([1])}
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"no such style \(red, blue\).*{style}"):
        call(signatures["serving_ids"], **inputs)


@pytest.mark.slow
def test_an_image_of_too_many_pixels_is_rejected_before_the_network_sees_it(signatures):
    restyle = signatures["serving_pixels"]
    inputs = {"style_weights": make_floats([[1, 0]]), "strength": make_floats([1])}
    assert call(restyle, pixels=draw_image(40, 40)[np.newaxis], **inputs).shape == (1, 40, 40, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"more than the 1600 pixels.*1640"):
        call(restyle, pixels=draw_image(40, 41)[np.newaxis], **inputs)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no pixels"):
        call(restyle, pixels=draw_image(0, 11)[np.newaxis], **inputs)


@pytest.mark.slow
def test_the_folder_holds_what_servers_and_clients_need_and_no_more(directory, signatures):
    extra = directory / "assets.extra"
    assert read_labels(extra) == ["red", "blue"]
    told = stylization.parse((extra / "stylization.json").read_text())
    assert told == stylization.Stylization(styles=("red", "blue"), max_pixels=1600, jpeg_quality=95)
    queries = call(signatures["stylization"], queries=["", "what?"])
    assert [stylization.parse(each) for each in queries] == [told, told]
    assert json.loads((extra / "provenance.json").read_text()) == {"code": "1234"}
    stored = [name for name, _ in tf.train.list_variables(str(directory / "variables" / "variables"))]
    others = [name for name in stored if not name.startswith("model_variables/")]
    assert others == ["_CHECKPOINTABLE_OBJECT_GRAPH"]
    graph = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes()).meta_graphs[0]
    operations = {node.op for function in graph.graph_def.library.function for node in function.node_def}
    assert "Conv2D" in operations
    assert not {"PyFunc", "EagerPyFunc", "PyFuncStateless"} & operations  # no server could run them


@pytest.mark.slow
def test_a_server_can_replay_the_warm_up_requests(directory, signatures):
    model = LoadedModel(directory)
    try:
        assert set(model.signatures) == set(signatures)
        assert warmup.replay(model, directory) == len(signatures)
    finally:
        model.close()


@pytest.mark.slow
def test_tflite_files_give_what_keras_gives(stylizer, tmp_path):
    cards = tflite.export(stylizer, tmp_path, draw_image(40, 48), sizes=(32,))
    names = ["stylizer-32-dynamic", "stylizer-32-float16"]
    assert sorted(cards) == [f"{name}.tflite" for name in names]
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["labels.txt", *sorted(f"{name}.{kind}" for name in names for kind in ("json", "tflite"))]
    assert read_labels(tmp_path) == ["red", "blue"]
    for name in names:
        card = json.loads((tmp_path / f"{name}.json").read_text())
        assert card == cards[f"{name}.tflite"]
        assert card["inputs"] == {
            "image": {"shape": [1, 32, 32, 3], "dtype": "uint8"},
            "sides": {"shape": [2], "dtype": "float32"},
            "style": {"shape": [1, 2], "dtype": "float32"},
            "strength": {"shape": [1], "dtype": "float32"},
        }
        assert card["outputs"] == {"stylized": {"shape": [1, 32, 32, 3], "dtype": "float32"}}
        assert card["xnnpack"]["outside"] == ["CAST"]  # of the bytes to numbers
    assert cards["stylizer-32-float16.tflite"]["difference"]["worst"] < 1

    run = Interpreter(str(tmp_path / "stylizer-32-float16.tflite")).get_signature_runner()
    pixels = draw_image(32, 32)
    half = {"style": make_floats([[0.25, 0.75]]), "strength": make_floats([0.5]), "sides": make_floats([32, 32])}
    found = run(image=pixels[np.newaxis], **half)["stylized"]
    assert np.abs(found[0] - stylizer.stylize(pixels, {"red": 1, "blue": 3}, 0.5)).mean() < 1
    same = run(image=pixels[np.newaxis], **half | {"strength": np.zeros(1, np.float32)})["stylized"]
    np.testing.assert_allclose(same[0], pixels, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(32, 20), (12, 32), (4, 8)])
def test_an_image_in_the_corner_is_restyled_as_if_it_were_alone(stylizer, tmp_path, height, width):
    tflite.export(stylizer, tmp_path, draw_image(40, 48), sizes=(32,), variants=("float16",))
    run = Interpreter(str(tmp_path / "stylizer-32-float16.tflite")).get_signature_runner()
    square = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)  # none of the rest is seen
    square[:height, :width] = draw_image(height, width)
    given = {"style": make_floats([[0, 1]]), "strength": make_floats([1]), "sides": make_floats([height, width])}
    found = run(image=square[np.newaxis], **given)["stylized"][0, :height, :width]
    expected = stylizer.stylize(draw_image(height, width), {"blue": 1}).astype(float)
    assert np.abs(found - expected).max() < 2
    assert np.abs(found - expected).mean() < 0.5


@pytest.mark.slow
def test_tflite_files_describe_themselves(stylizer, tmp_path):
    tflite.export(stylizer, tmp_path, draw_image(40, 48), sizes=(32,), variants=("float16",))
    content = (tmp_path / "stylizer-32-float16.tflite").read_bytes()
    assert zipfile.ZipFile(io.BytesIO(content)).read("labels.txt") == b"red\nblue\n"
    metadata = reading.read_metadata(content)
    assert reading.read_text(metadata, 0) == "Stylizer"
    assert "2 styles" in reading.read_text(metadata, 1)
    assert "Apache-2.0" in reading.read_text(metadata, 1)
    (graph,) = reading.read_children(metadata, 3)
    inputs = {reading.read_text(each, 0): each for each in reading.read_children(graph, 2)}
    # In the graph's order, which is not the signature's.
    details = Interpreter(model_content=content).get_input_details()
    ranks = {"image": [1, 32, 32, 3], "sides": [2], "style": [1, 2], "strength": [1]}
    assert [ranks[name] for name in inputs] == [each["shape"].tolist() for each in details]
    (unit,) = reading.read_children(inputs["image"], 4)
    assert (
        reading.read_floats(reading.read_child(unit, 1), 0),
        reading.read_floats(reading.read_child(unit, 1), 1),
    ) == ([0], [1])
    (names,) = reading.read_children(inputs["style"], 6)
    assert reading.read_text(names, 0) == "labels.txt"
    (stylized,) = reading.read_children(graph, 3)
    assert (reading.read_text(stylized, 0), reading.read_floats(reading.read_child(stylized, 5), 0)) == (
        "stylized",
        [255],
    )
