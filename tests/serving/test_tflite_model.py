"""A pushed TFLite file, made of a net that is worked out by hand."""

import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from atelier.preprocessing import Preprocessing
from serving.client import AS_IS, Preparation, ServingError
from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    import tensorflow as tf

    from atelier import labels
    from components.tflite_exporter import convert, measure
    from serving.tflite_model import TFLiteModel

pytestmark = pytest.mark.slow

SIZE = 16
# The probabilities are softmax(channel means / 64): of plain (200, 72, 72), e^2 : 1 : 1 = 0.787 : 0.107 : 0.107.
REDDISH, BLUEISH = (200, 72, 72), (72, 72, 200)
STRONG, WEAK = np.exp(2) / (np.exp(2) + 2), 1 / (np.exp(2) + 2)


def make_image(color, size=(SIZE, SIZE), kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def contents():
    """The flatbuffer by variant."""
    pixels = keras.Input((SIZE, SIZE, 3))
    mean = keras.layers.GlobalAveragePooling2D()(pixels)
    net = keras.Model(pixels, keras.layers.Softmax()(keras.layers.Rescaling(1 / 64)(mean)))
    calibration = [np.full((SIZE, SIZE, 3), color, np.uint8) for color in (REDDISH, BLUEISH, (0, 255, 0))]
    frozen = convert.freeze(net, SIZE)
    return {variant: convert.convert(frozen, variant, calibration) for variant in ("float", "int8")}


@pytest.fixture
def pushed(contents, tmp_path):
    return push(contents["float"], tmp_path / "tflite" / "1795521361")


def push(content, folder):
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(content)
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    card = measure.describe(folder / "model.tflite") | {"resize": "crop", "quantisation": "float"}
    card["preprocessing"] = Preprocessing(size=SIZE, resize="crop", store_size=512).model_dump()
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def catch_error(path):
    with pytest.raises(ServingError) as refused:
        TFLiteModel(path)
    assert refused.value.code is None
    return str(refused.value)


@pytest.mark.parametrize(("variant", "tolerance"), [("float", 1e-6), ("int8", 0.02)])
def test_predictions(contents, tmp_path, variant, tolerance):
    model = TFLiteModel(push(contents[variant], tmp_path / "7") / "model.tflite")
    (tmp_path / "red.bmp").write_bytes(make_image(REDDISH, kind="BMP"))
    red, blue = model.predict([tmp_path / "red.bmp", make_image(BLUEISH)], top=3)
    assert [label for label, _ in red.top] == ["red", "green", "blue"]
    np.testing.assert_allclose([each for _, each in red.top], [STRONG, WEAK, WEAK], atol=tolerance)
    assert (red.label, red.probability, red.version) == (*red.top[0], 7)
    assert blue.label == "blue"
    assert len(model.predict([make_image(BLUEISH)])[0].top) == 1
    assert red.milliseconds > 0


def test_a_folder_without_a_number_is_version_0(contents, tmp_path):
    assert TFLiteModel(push(contents["float"], tmp_path / "here")).predict([make_image(REDDISH)])[0].version == 0


def test_the_card_tells_how_to_resize(pushed):
    # Red in the midst, blue at both sides: `crop` sees red only, `stretch` as much blue as red.
    image = Image.new("RGB", (64, 32), BLUEISH)
    image.paste(REDDISH, (16, 0, 48, 32))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    (cropped,) = TFLiteModel(pushed).predict([stream.getvalue()])
    card = {"resize": "stretch", "preprocessing": {"size": SIZE, "resize": "stretch", "store_size": 512}}
    (pushed / "card.json").write_text(json.dumps(card))
    (stretched,) = TFLiteModel(pushed).predict([stream.getvalue()], top=3)
    assert cropped.probability == pytest.approx(STRONG, abs=1e-6)
    # Means (136, 72, 136): e : 1 : e.
    assert dict(stretched.top)["green"] == pytest.approx(1 / (2 * math.e + 1), abs=2e-3)


@pytest.mark.parametrize("preparation", [None, AS_IS])
def test_what_is_no_image_is_named(pushed, tmp_path, preparation):
    (tmp_path / "notes.jpg").write_text("remember the milk")
    with pytest.raises(ServingError, match=r"notes\.jpg: not_an_image"):
        TFLiteModel(pushed, preparation=preparation).predict([make_image(REDDISH), tmp_path / "notes.jpg"])


def test_a_large_image_is_scaled_down_as_for_a_server(pushed):
    prepared = TFLiteModel(pushed).prepare(make_image(REDDISH, (3000, 2000), "JPEG"))
    assert Image.open(io.BytesIO(prepared.encoded)).size == (512, 341)
    assert TFLiteModel(pushed).predict([prepared])[0].label == "red"


@pytest.mark.parametrize(("store_size", "size"), [(96, (96, 64)), (2000, (2000, 1333)), (None, (3000, 2000))])
def test_images_are_prepared_as_the_card_tells(pushed, store_size, size):
    told = Preprocessing(size=SIZE, resize="crop", store_size=store_size).model_dump()
    (pushed / "card.json").write_text(json.dumps({"resize": "crop", "preprocessing": told}))
    model = TFLiteModel(pushed)
    assert model.preparation() == Preparation(store_size)
    assert Image.open(io.BytesIO(model.prepare(make_image(REDDISH, (3000, 2000), "JPEG")).encoded)).size == size


def test_a_card_of_before_is_read_as_by_default_and_that_is_told(pushed, caplog):
    (pushed / "card.json").write_text('{"resize": "stretch"}')
    assert TFLiteModel(pushed).preparation() == Preparation(512)
    (line,) = caplog.messages
    assert line.startswith(f"{pushed / 'card.json'} does not tell how images are prepared")
    caplog.clear()
    assert TFLiteModel(pushed, preparation=AS_IS).preparation() == AS_IS
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "card.json"])
def test_a_missing_file_is_named(pushed, name):
    (pushed / name).unlink()
    assert catch_error(pushed).startswith(f"{pushed / name}: cannot be read: No such file or directory")


def test_a_folder_of_versions_is_told(pushed):
    with pytest.raises(ServingError, match=f"the folder holds versions; give one of them, such as {pushed}"):
        TFLiteModel(pushed.parent)


def test_a_wrong_file_is_named(pushed):
    assert catch_error(pushed / "labels.txt").startswith(
        f"{pushed}/labels.txt: not a TFLite model that LiteRT can run: "
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.txt", b"red\ngreen\n", "2 class names for a model of 3 classes"),
        ("labels.txt", b"\xff\n", "not UTF-8 text"),
        ("card.json", b"{", "not a JSON object"),
        ("card.json", b"[]", "not a JSON object"),
        ("card.json", b'{"resize": "zoom"}', "resize is 'zoom'; expected one of crop, pad, stretch"),
        ("card.json", b"{}", "resize is None"),
        ("card.json", b'{"resize": "pad", "preprocessing": {"size": 16}}', "preprocessing: resize: field required"),
        (
            "card.json",
            b'{"resize": "pad", "preprocessing": {"size": 8, "resize": "pad", "store_size": 96}}',
            "its size is 8, and the model takes images of 16 pixels",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_named(pushed, name, content, words):
    (pushed / name).write_bytes(content)
    assert catch_error(pushed).startswith(f"{pushed / name}: {words}")


def test_a_model_of_something_else(pushed):
    vector = keras.Input((4,))
    converted = keras.Model(vector, keras.layers.Dense(3)(vector))
    (pushed / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(converted).convert())
    assert catch_error(pushed).startswith(
        f"{pushed}/model.tflite: its input and its output have the shapes [[1, 4], [1, 3]]"
    )


def test_names_may_hold_what_ends_a_line_elsewhere(pushed):
    labels.write_labels(pushed, ["re\u2028d", "gre\u0085en", "blue"])
    assert [name for name, _ in TFLiteModel(pushed).predict([make_image(REDDISH)], top=3)[0].top] == [
        "re\u2028d",
        "gre\u0085en",
        "blue",
    ]
