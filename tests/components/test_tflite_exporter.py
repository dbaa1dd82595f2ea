"""The TFLite exporter's parts on nets so small that their answers can be worked out by hand."""

import copy
import gzip
import json
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from atelier import tfrecord
from atelier.preprocessing import Preprocessing
from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from tfx.types import artifact_utils, standard_artifacts

    from components.tflite_exporter import convert, executor, flatbuffer, materialized, measure, proof
    from tests import object_store
    from trainer.images import lossless

pytestmark = pytest.mark.slow

SIZE = 16
RED, GREEN, BLUE = np.eye(3, dtype=np.uint8) * 200
rng = np.random.default_rng(0)
CALIBRATION = [rng.integers(40, 180, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(16)]


def build_classifier(between=None):
    """A small conv net; `between` is put in its midst."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = keras.layers.Conv2D(48, 3, strides=2, activation="relu")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    if between:
        x = between(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(x))


def build_color_judge():
    """[N, SIZE, SIZE, 3] -> the probabilities of red, green and blue: softmax of the channels' means / 64."""
    pixels = keras.Input((SIZE, SIZE, 3))
    mean = keras.layers.GlobalAveragePooling2D()(pixels)
    return keras.Model(pixels, keras.layers.Softmax()(keras.layers.Rescaling(1 / 64)(mean)))


def fill(color):
    return np.broadcast_to(color, (SIZE, SIZE, 3)).astype(np.uint8)


def read_details(content):
    interpreter = Interpreter(model_content=content)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    return source, target


@pytest.fixture(scope="module")
def net():
    return build_classifier()


@pytest.fixture(scope="module")
def variants(net):
    frozen = convert.freeze(net, SIZE)
    return {variant: convert.convert(frozen, variant, CALIBRATION) for variant in convert.VARIANTS}


def test_the_variants(variants):
    assert tuple(variants) == ("float", "dynamic", "int8")


@pytest.mark.parametrize("variant", ["float", "dynamic", "int8"])
def test_every_variant_takes_one_image_of_plain_bytes(variants, variant):
    source, target = read_details(variants[variant])
    assert source["shape"].tolist() == source["shape_signature"].tolist() == [1, SIZE, SIZE, 3]
    assert source["dtype"] == np.uint8
    assert target["shape"].tolist() == [1, 3]
    assert target["dtype"] == (np.uint8 if variant == "int8" else np.float32)


def test_int8_takes_pixel_values_as_they_are(variants):
    # The calibration images span 40 to 179 only: without help the range of the input would be theirs.
    source, target = read_details(variants["int8"])
    assert source["quantization"] == (1.0, 0)
    assert target["quantization"] == (1 / 256, 0)


def test_dynamic_has_eight_bit_weights_and_float_has_not(variants):
    def list_weight_types(content):
        interpreter = Interpreter(model_content=content)
        kernels = (detail for detail in interpreter.get_tensor_details() if detail["shape"].tolist() == [48, 3, 3, 3])
        return [detail["dtype"] for detail in kernels]

    assert list_weight_types(variants["float"]) == [np.float32]
    assert list_weight_types(variants["dynamic"]) == list_weight_types(variants["int8"]) == [np.int8]


@pytest.mark.parametrize(("variant", "tolerance"), [("float", 1e-6), ("dynamic", 0.02), ("int8", 0.02)])
def test_every_variant_gives_what_keras_gives(variants, net, tmp_path, variant, tolerance):
    images = np.stack(CALIBRATION)
    expected = net.predict(images.astype(np.float32), verbose=0)
    (tmp_path / "model.tflite").write_bytes(variants[variant])
    dataset = tf.data.Dataset.from_tensor_slices((images, np.zeros(16, np.int64)))
    found, _ = measure.measure(tmp_path / "model.tflite", dataset, np.zeros(16, np.int64), expected)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_int8_without_images_to_calibrate_on_is_refused(net):
    with pytest.raises(ValueError, match="int8 needs training images to calibrate on"):
        convert.convert(convert.freeze(net, SIZE), "int8")


def test_calibration_images_are_left_as_they_were(net):
    before = CALIBRATION[0].copy()
    convert.convert(convert.freeze(net, SIZE), "int8", CALIBRATION[:1])
    np.testing.assert_array_equal(CALIBRATION[0], before)


# ---- proof


def test_a_fully_quantized_net_is_proven(variants, tmp_path):
    file = tmp_path / "int8.tflite"
    file.write_bytes(variants["int8"])
    proof.prove_int8(file)


def test_an_op_that_stayed_in_float_is_named(tmp_path):
    # The converter is told INT8 only, and leaves SIN in float without a word.
    with_sin = build_classifier(between=lambda x: keras.ops.sin(x))
    file = tmp_path / "int8.tflite"
    file.write_bytes(convert.convert(convert.freeze(with_sin, SIZE), "int8", CALIBRATION))
    with pytest.raises(proof.NotFullyQuantizedError) as refused:
        proof.prove_int8(file)
    assert str(refused.value).startswith("int8.tflite is not fully INT8: ")
    assert "op SIN computes in FLOAT32 (" in str(refused.value)
    assert "op CONV_2D" not in str(refused.value)
    assert "is not uint8" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_a_float_border_is_refused(net, tmp_path):
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in CALIBRATION)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    file = tmp_path / "border.tflite"
    file.write_bytes(converter.convert())
    with pytest.raises(
        proof.NotFullyQuantizedError, match=r"input .* is not uint8; output .* is not uint8; op "
    ) as refused:
        proof.prove_int8(file)
    assert "op QUANTIZE computes in FLOAT32" in str(refused.value)
    assert "op DEQUANTIZE computes in FLOAT32" in str(refused.value)


def test_dynamic_range_is_not_taken_for_int8(variants, tmp_path):
    file = tmp_path / "dynamic.tflite"
    file.write_bytes(variants["dynamic"])
    with pytest.raises(proof.NotFullyQuantizedError, match="op CONV_2D computes in FLOAT32"):
        proof.prove_int8(file)


# ---- measure


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Four images by a net whose answers are known: red, green, blue, red, of which the last is labeled blue."""
    file = tmp_path_factory.mktemp("judge") / "model.tflite"
    file.write_bytes(convert.convert(convert.freeze(build_color_judge(), SIZE), "float"))
    images = np.stack([fill(color) for color in (RED, GREEN, BLUE, RED)])
    labels = np.array([0, 1, 2, 2])
    reference = np.eye(3, dtype=np.float32)[[0, 2, 1, 0]]  # it calls the second blue and the third green
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    return file, *measure.measure(file, dataset, labels, reference)


def test_probabilities_against_numpy(judged):
    _, probabilities, _ = judged
    one = np.exp(200 / 64)
    right, wrong = one / (one + 2), 1 / (one + 2)
    expected = np.full((4, 3), wrong)
    expected[np.arange(4), [0, 1, 2, 0]] = right
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_accuracy_and_disagreement_are_shares_of_the_images(judged):
    file, _, measured = judged
    assert measured["accuracy"] == 3 / 4
    assert measured["disagreement"] == 2 / 4
    assert measured["bytes"] == file.stat().st_size
    assert 0 < measured["latency_ms_p50"] <= measured["latency_ms_p99"]
    assert json.loads(json.dumps(measured)) == measured


def test_latencies_are_percentiles_of_the_runs_without_warm_up(judged, monkeypatch):
    file, _, _ = judged
    # Each run takes one tick more than the one before: 1, 2, ... 100 ms.
    ticks = iter(np.concatenate([[0, number / 1e3] for number in range(1, 101)]))
    monkeypatch.setattr(measure, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    dataset = tf.data.Dataset.from_tensors((fill(RED), 0)).repeat(100)
    _, measured = measure.measure(file, dataset, np.zeros(100), np.eye(3)[np.zeros(100, int)])
    assert (measured["latency_ms_p50"], measured["latency_ms_p99"]) == (50.5, 99.01)
    assert next(ticks, None) is None


def test_the_card_describes_both_borders(variants, tmp_path):
    (tmp_path / "model.tflite").write_bytes(variants["int8"])
    card = measure.describe(tmp_path / "model.tflite")
    names = {border: card[border].pop("name") for border in card}
    assert all(names.values())
    assert card == {
        "input": {"shape": [1, SIZE, SIZE, 3], "dtype": "uint8", "scale": 1.0, "zero_point": 0},
        "output": {"shape": [1, 3], "dtype": "uint8", "scale": 1 / 256, "zero_point": 0},
    }


# ---- materialized predictions


def read(file, compression=""):
    return [
        tf.train.Example.FromString(record.numpy()).features.feature
        for record in tf.data.TFRecordDataset(str(file), compression)
    ]


def test_predictions_are_written_in_order_with_agreement_by_top_class(tmp_path):
    tflite = np.array([[0.6, 0.4], [0.3, 0.7]], np.float32)
    saved_model = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    materialized.write(tmp_path / "Split-test", np.array([1, 0]), {"int8": tflite, "float": saved_model}, saved_model)
    (file,) = (tmp_path / "Split-test").iterdir()
    rows = read(file, "GZIP")
    assert [list(row["label"].int64_list.value) for row in rows] == [[1], [0]]
    assert [list(row["int8_agrees"].int64_list.value) for row in rows] == [[1], [0]]
    assert [list(row["float_agrees"].int64_list.value) for row in rows] == [[1], [1]]
    for key, expected in (
        ("int8_probabilities", tflite),
        ("float_probabilities", saved_model),
        ("saved_model_probabilities", saved_model),
    ):
        np.testing.assert_array_equal([row[key].float_list.value for row in rows], expected)


def test_predictions_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        materialized.write(tmp_path / "s", np.array([1, 0]), {"int8": np.ones((1, 2))}, np.ones((2, 2)))


# ---- the executor


def make_artifact(kind, folder):
    made = kind()
    made.uri = str(folder)
    return made


class Inputs:
    """What Trainer, Evaluator and Transform would have left, with the color judge as the model."""

    def __init__(self, folder, blessed=True):
        model = folder / "model"
        judge = build_color_judge()
        module = tf.Module()

        @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8, name="pixels")])
        def serving_pixels(pixels):
            return {"probabilities": judge(tf.cast(pixels, tf.float32))}

        module.judge, module.serving_pixels = judge, serving_pixels
        tf.saved_model.save(module, str(model / "Format-Serving"), {"serving_pixels": serving_pixels})
        (model / "Format-Serving" / "assets.extra").mkdir()
        (model / "Format-Serving" / "assets.extra" / "labels.txt").write_text("red\ngreen\nblue\n")
        preprocessing = Preprocessing(size=SIZE, resize="pad", store_size=96)
        (model / "Format-Serving" / "assets.extra" / "preprocessing.json").write_text(preprocessing.to_json())
        judge.save(model / "model.keras")
        self.model = make_artifact(standard_artifacts.Model, model)

        (folder / "blessing").mkdir()
        (folder / "blessing" / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
        self.blessing = make_artifact(standard_artifacts.ModelBlessing, folder / "blessing")
        self.blessing.set_int_custom_property("blessed", int(blessed))

        self.examples = make_artifact(standard_artifacts.Examples, folder / "examples")
        self.examples.split_names = artifact_utils.encode_split_names(["train", "eval", "test"])
        rows = {
            "Split-train/transformed_examples-00000-of-00001.gz": [(RED, 0), (GREEN, 1), (BLUE, 2)],
            "Split-test/transformed_examples-00000-of-00002.gz": [(RED, 0), (GREEN, 1)],
            "Split-test/transformed_examples-00001-of-00002.gz": [(BLUE, 1)],
            # Never made for the test split; if they were, they must not be measured on.
            "Split-test/augmented-00000-of-00001.gz": [(RED, 2)] * 5,
        }
        for name, images in rows.items():
            (folder / "examples" / name).parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(folder / "examples" / name, "wb") as stream:
                for color, label in images:
                    stored = lossless.encode(tf.constant(fill(color))).numpy()
                    row = {"image_xf": stored, "label_xf": label}
                    tfrecord.write(stream, tfrecord.serialize_example(row))
        self.tflite = make_artifact(standard_artifacts.Model, folder / "tflite")
        self.predictions = make_artifact(standard_artifacts.Examples, folder / "predictions")

    def export(self, push=("int8", "float")):
        executor.export(
            self.model,
            self.blessing,
            self.examples,
            self.tflite,
            self.predictions,
            size=SIZE,
            resize="pad",
            push=push,
            calibration_images=3,
        )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    inputs = Inputs(tmp_path_factory.mktemp("exporter"))
    inputs.export()
    return Path(inputs.tflite.uri), inputs


def test_artifacts_may_lie_in_an_object_store(exported):
    folder, inputs = exported
    stored = copy.copy(inputs)
    stored.model = make_artifact(
        standard_artifacts.Model, object_store.upload(Path(inputs.model.uri), "ram://exporter/model")
    )
    stored.examples = make_artifact(
        standard_artifacts.Examples, object_store.upload(Path(inputs.examples.uri), "ram://exporter/examples")
    )
    stored.examples.split_names = inputs.examples.split_names
    stored.tflite = make_artifact(standard_artifacts.Model, "ram://exporter/tflite")
    stored.predictions = make_artifact(standard_artifacts.Examples, "ram://exporter/predictions")
    stored.export()
    assert object_store.list_files("ram://exporter/tflite") == sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )
    with tf.io.gfile.GFile("ram://exporter/tflite/preferred/int8/Format-Serving/model.tflite", "rb") as file:
        assert file.read() == (folder / "preferred" / "int8" / "Format-Serving" / "model.tflite").read_bytes()
    assert object_store.list_files("ram://exporter/predictions") == ["Split-test/predictions.gz"]


def test_a_refused_model_is_not_exported(tmp_path):
    inputs = Inputs(tmp_path, blessed=False)
    with pytest.raises(executor.NotBlessedError, match=f"the model in {tmp_path}/model was rejected by its gate"):
        inputs.export()
    assert not (tmp_path / "tflite").exists()
    assert not (tmp_path / "predictions").exists()


def test_each_preferred_variant_has_a_folder_with_model_labels_and_card(exported):
    folder, _ = exported
    assert sorted(path.name for path in (folder / "preferred").iterdir()) == ["float", "int8"]
    card = json.loads((folder / "preferred" / "float" / "Format-Serving" / "card.json").read_text())
    assert card["quantisation"] == "float"
    shipped = folder / "preferred" / "int8" / "Format-Serving"
    assert sorted(path.name for path in shipped.iterdir()) == ["card.json", "labels.txt", "model.tflite"]
    assert (shipped / "labels.txt").read_text() == "red\ngreen\nblue\n"
    assert (shipped / "model.tflite").read_bytes() == (folder / "variants" / "int8.tflite").read_bytes()
    proof.prove_int8(shipped / "model.tflite")
    card = json.loads((shipped / "card.json").read_text())
    assert (card["quantisation"], card["resize"]) == ("int8", "pad")
    assert card["preprocessing"] == Preprocessing(size=SIZE, resize="pad", store_size=96).model_dump()
    assert card["input"]["shape"] == [1, SIZE, SIZE, 3]
    assert card["test"]["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("variant", ["float", "dynamic", "int8"])
def test_every_file_holds_what_a_client_must_know(exported, variant):
    folder, _ = exported
    archive = zipfile.ZipFile(folder / "variants" / f"{variant}.tflite")
    assert archive.read("labels.txt") == b"red\ngreen\nblue\n"
    preprocessing = Preprocessing(size=SIZE, resize="pad", store_size=96)
    assert archive.read("preprocessing.json").decode() == preprocessing.to_json()
    whole = flatbuffer.unpack((folder / "variants" / f"{variant}.tflite").read_bytes())
    assert b"TFLITE_METADATA" in [entry.name for entry in whole.metadata]


def test_every_variant_is_measured_on_the_test_images(exported):
    folder, _ = exported
    assert sorted(path.name for path in (folder / "variants").iterdir()) == [
        "dynamic.tflite",
        "float.tflite",
        "int8.tflite",
    ]
    measured = json.loads((folder / "measurements.json").read_text())
    assert list(measured) == ["float", "dynamic", "int8"]
    for variant in measured.values():
        assert variant["accuracy"] == pytest.approx(2 / 3)  # blue is labeled green
        assert variant["disagreement"] == 0


def test_the_predictions_of_the_preferred_variants_are_left_for_their_gates(exported):
    _, inputs = exported
    assert artifact_utils.decode_split_names(inputs.predictions.split_names) == ["test"]
    (file,) = Path(artifact_utils.get_split_uri([inputs.predictions], "test")).iterdir()
    rows = read(file, "GZIP")
    assert [row["label"].int64_list.value[0] for row in rows] == [0, 1, 1]
    assert [int(np.argmax(row["saved_model_probabilities"].float_list.value)) for row in rows] == [0, 1, 2]
    assert {key for row in rows for key in row} == {
        "label",
        "saved_model_probabilities",
        *(f"{variant}_{what}" for variant in ("int8", "float") for what in ("probabilities", "agrees")),
    }
    # INT8's probabilities are multiples of 1/256, and the others are not.
    steps = 256 * np.array([row["int8_probabilities"].float_list.value for row in rows])
    np.testing.assert_allclose(steps, steps.round(), atol=1e-4)
    of_float, saved_model = (
        [row[f"{model}_probabilities"].float_list.value for row in rows] for model in ("float", "saved_model")
    )
    np.testing.assert_allclose(of_float, saved_model, atol=1e-5)
