"""What is exported: its signatures, the files beside it, and that nothing random is in any of its graphs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from atelier import tfrecord
from atelier.preprocessing import Preprocessing
from tests.deferred import deferred_imports
from tests.trainer.image_kinds import ANIMATED_WEBP, IMAGES
from tests.trainer.tiny_classes import CLASSES, SIZE
from trainer.settings import Augmentation

with deferred_imports():
    import keras
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.lite.python import schema_py_generated as lite
    from tensorflow_serving.apis import prediction_log_pb2

    from tests.trainer import tiny_data
    from trainer import augmentation, export, features, signatures
    from trainer.images import lossless, ops

pytestmark = pytest.mark.slow  # what they share is exported first, with its TFLite file

CUT_PNG = IMAGES["png"][:99]
ENCODED = [IMAGES["jpeg"], IMAGES["png"], IMAGES["jpeg_orientation_6"]]


# Signatures


@pytest.mark.parametrize(
    ("signature", "name", "shape", "dtype"),
    [
        ("serving_default", "examples", [None], "string"),
        ("serving_bytes", "image_bytes", [None], "string"),
        ("serving_pixels", "pixels", [None, SIZE, SIZE, 3], "uint8"),
    ],
)
def test_serving_signatures(exported, signature, name, shape, dtype):
    function = exported.loaded.signatures[signature]
    assert function.structured_input_signature == ((), {name: tf.TensorSpec(shape, tf.as_dtype(dtype), name)})
    outputs = {key: (spec.shape.as_list(), spec.dtype) for key, spec in function.structured_outputs.items()}
    assert outputs == {
        "probabilities": ([None, len(CLASSES)], tf.float32),
        "class_id": ([None], tf.int64),
        "label": ([None], tf.string),
    }


def test_exactly_these_signatures(exported):
    public = {
        "serving_default",
        "serving_bytes",
        "serving_pixels",
        "serving_features",
        "transform_features",
        "classify",
        "preprocessing",
    }
    assert set(exported.loaded.signatures) == set(signatures.SIGNATURES) == public
    taken = exported.loaded.signatures["transform_features"].structured_input_signature
    assert taken == ((), {"examples": tf.TensorSpec([None], tf.string, "examples")})


def test_the_graph_that_decodes_is_stored_once(exported):
    """Transform's own, which all signatures call: a second copy takes a third of each load."""
    content = (exported.directory / "saved_model.pb").read_bytes()
    library = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def.library
    assert [node.op for function in library.function for node in function.node_def].count("DecodeJpeg") == 1


def test_features_are_what_the_last_layer_takes(exported, classifier):
    found = exported.serve("serving_features", image_bytes=tf.constant(ENCODED))["features"]
    kernel, bias = classifier.layers[-1].get_weights()
    assert found.shape == (len(ENCODED), len(kernel))
    scores = np.exp(found @ kernel + bias)
    want = exported.serve("serving_bytes", image_bytes=tf.constant(ENCODED))["probabilities"]
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), want, rtol=1e-4)
    assert exported.serve("serving_features", image_bytes=tf.zeros([0], tf.string))["features"].shape == (
        0,
        len(kernel),
    )


def test_classify_names_every_class_of_every_image(exported):
    requests = tf.constant([tiny_data.make_request(encoded) for encoded in ENCODED])
    found = exported.serve("classify", inputs=requests)
    assert found["classes"].tolist() == [[name.encode() for name in CLASSES]] * len(ENCODED)
    want = exported.serve("serving_default", examples=requests)["probabilities"]
    np.testing.assert_array_equal(found["scores"], want)


def test_tf_serving_finds_classify_by_its_method(exported):
    saved = saved_model_pb2.SavedModel.FromString((exported.directory / "saved_model.pb").read_bytes())
    methods = {name: signature.method_name for name, signature in saved.meta_graphs[0].signature_def.items()}
    assert methods.pop("classify") == "tensorflow/serving/classify"
    assert set(methods.values()) == {"", "tensorflow/serving/predict"}  # "": what initializes the tables


def test_class_and_label_are_those_of_the_largest_probability(exported, transformed):
    found = exported.serve("serving_pixels", pixels=transformed.read_pixels("golden"))
    want = found["probabilities"].argmax(axis=1)
    assert len(set(want)) > 1
    np.testing.assert_array_equal(found["class_id"], want)
    assert found["label"].tolist() == [CLASSES[at].encode() for at in want]


@pytest.mark.parametrize(
    ("signature", "name", "shape", "dtype"),
    [
        ("serving_default", "examples", [0], "string"),
        ("serving_bytes", "image_bytes", [0], "string"),
        ("serving_pixels", "pixels", [0, SIZE, SIZE, 3], "uint8"),
    ],
)
def test_an_empty_batch_gives_an_empty_answer(exported, signature, name, shape, dtype):
    assert exported.serve(signature, **{name: tf.zeros(shape, tf.as_dtype(dtype))})["probabilities"].shape == (
        0,
        len(CLASSES),
    )


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("serving_bytes", {"image_bytes": [b"no image"]}, "no JPEG, PNG, BMP, GIF or WebP"),
        ("serving_bytes", {"image_bytes": [IMAGES["png"], b""]}, "no JPEG, PNG, BMP, GIF or WebP"),
        ("serving_bytes", {"image_bytes": [ANIMATED_WEBP]}, "animated WebP"),
        ("serving_default", {"examples": [tfrecord.serialize_example({"image/other": b"x"})]}, "image/encoded"),
        ("serving_default", {"examples": [b"no example"]}, "Could not parse example"),
        (
            "transform_features",
            {"examples": [tfrecord.serialize_example({"image/encoded": IMAGES["png"][:99]})]},
            "Invalid PNG",
        ),
    ],
)
def test_requests_that_cannot_be_answered_say_why(exported, signature, inputs, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        exported.serve(signature, **inputs)


def test_sparse_raw_features_may_be_left_out(classifier, text_transformed):
    """Another maker's schema without shapes; nothing is saved here, the functions are those that would be."""
    preprocessing = Preprocessing(size=SIZE, resize="pad", store_size=None)
    served = export.ServedClassifier(classifier, CLASSES, text_transformed.output, "photo", preprocessing)
    requests = tf.constant([tiny_data.make_request(encoded, "photo") for encoded in ENCODED])
    found = served.transform_features(requests)
    assert found[features.LABEL].numpy().tolist() == [-1, -1, -1]
    want = lossless.encode_batch(ops.decode_and_resize(tf.constant(ENCODED), SIZE, "pad"))
    assert found[features.IMAGE].numpy().tolist() == want.numpy().tolist()
    by_example, by_bytes = served.serving_default(requests), served.serving_bytes(tf.constant(ENCODED))
    np.testing.assert_allclose(by_example["probabilities"], by_bytes["probabilities"], atol=1e-6)


# Files beside the graph


def test_labels_and_provenance(exported):
    extra = exported.directory / "assets.extra"
    assert (extra / "labels.txt").read_text() == "reddish thing\ngreenish thing\nbluish thing\n"
    assert json.loads((extra / "provenance.json").read_text()) == {"data": "made up", "code": "1234"}


def test_the_preprocessing_is_written_and_told_once_for_each_query(exported):
    want = {"size": SIZE, "resize": "crop", "store_size": 96, "max_pixels": 1_000_000, "jpeg_quality": 90}
    assert json.loads((exported.directory / "assets.extra" / "preprocessing.json").read_text()) == want
    for count in (0, 1, 3):
        (told,) = exported.serve("preprocessing", queries=["anything"] * count or tf.zeros([0], tf.string)).values()
        assert [json.loads(row) for row in told] == [want] * count


def test_the_keras_file_is_the_same_network_of_stock_layers(exported, classifier):
    loaded = keras.models.load_model(exported.directory.parent / "model.keras", compile=False)
    assert {layer.__module__.partition(".")[0] for layer in loaded.layers} == {"keras"}
    for ours, theirs in zip(classifier.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def read_warmup(exported):
    file = exported.directory / "assets.extra" / "tf_serving_warmup_requests"
    return [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]


def test_warm_up_asks_every_signature_once(exported):
    *predictions, classification = read_warmup(exported)
    asked = [log.predict_log.request.model_spec.signature_name for log in predictions]
    assert sorted([*asked, classification.classify_log.request.model_spec.signature_name]) == sorted(
        signatures.SIGNATURES
    )


def test_warm_up_classifies_the_same_example(exported):
    *predictions, classification = read_warmup(exported)
    (example,) = classification.classify_log.request.input.example_list.examples
    request = predictions[0].predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert example.SerializeToString(deterministic=True) == tf.make_ndarray(request.inputs["examples"])[0]


def test_warm_up_requests_hold_a_training_image_and_are_answered(exported, transformed):
    answers = {
        request.model_spec.signature_name: exported.serve(
            request.model_spec.signature_name,
            **{name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()},
        )
        for request in (log.predict_log.request for log in read_warmup(exported) if log.HasField("predict_log"))
    }
    image = transformed.read_pixels("train")[0]
    as_jpeg = tf.io.decode_jpeg(tf.io.encode_jpeg(image, quality=95), dct_method="INTEGER_ACCURATE").numpy()
    kept = lossless.decode(answers["transform_features"][features.IMAGE][0], SIZE)
    np.testing.assert_array_equal(kept, as_jpeg)
    for signature, pixels in (("serving_pixels", image), ("serving_bytes", as_jpeg), ("serving_default", as_jpeg)):
        want = exported.serve("serving_pixels", pixels=pixels[np.newaxis])["probabilities"]
        np.testing.assert_allclose(answers[signature]["probabilities"], want, atol=1e-6)


# Nothing random


def list_saved_model_ops(directory):
    """Names of all ops of a SavedModel: main graph and function library, whatever signature they belong to."""
    saved = saved_model_pb2.SavedModel.FromString((Path(directory) / "saved_model.pb").read_bytes())
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    return {node.op for graph in graphs for node in graph.node} | {
        node.op for graph in graphs for function in graph.library.function for node in function.node_def
    }


def list_tflite_ops(flatbuffer):
    """Names of all ops of a TFLite file, those of TensorFlow that it carries included."""
    builtin = {number: name for name, number in vars(lite.BuiltinOperator).items() if isinstance(number, int)}
    codes = lite.ModelT.InitFromPackedBuf(flatbuffer, 0).operatorCodes
    names = {builtin[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in codes}
    return names | {code.customCode.decode() for code in codes if code.customCode}


def find_random_ops(names):
    """Ops that draw or that warp by a matrix. StatelessIf, -While and -Case are TensorFlow's plain control flow."""
    flow = {"StatelessIf", "StatelessWhile", "StatelessCase"}
    pattern = re.compile("random|stateless|multinomial|imageprojectivetransform", re.IGNORECASE)
    return {name for name in names if pattern.search(name.replace("_", "")) and name not in flow}


@pytest.fixture(scope="module")
def augmenting():
    """A function as it must never be served, for the proof that the search finds it."""
    settings = Augmentation(copies=1, crop_area=0.5, brightness=0.1, hue=0.1)

    @tf.function(input_signature=[tf.TensorSpec([1, SIZE, SIZE, 3], tf.uint8, "pixels")])
    def augment(pixels):
        seed = augmentation.derive_seed(tf.strings.as_string(tf.reduce_sum(tf.cast(pixels, tf.int32))), 1)
        # Inside a function of its own, and a branch: it must be found there, too.
        return tf.cond(
            pixels[0, 0, 0, 0] > 3,
            lambda: tf.map_fn(lambda one: augmentation.augment(one, seed, settings), pixels),
            lambda: pixels,
        )

    return augment


def test_the_search_finds_augmentation_in_a_saved_model(augmenting, tmp_path):
    module = tf.Module()
    module.augmenting = augmenting
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": augmenting})
    found = find_random_ops(list_saved_model_ops(tmp_path))
    assert {"StatelessRandomUniformV2", "ImageProjectiveTransformV3"} <= found


def test_the_search_finds_augmentation_in_a_tflite_file():
    settings = Augmentation(copies=1)

    @tf.function(input_signature=[tf.TensorSpec([SIZE, SIZE, 3], tf.uint8, "pixels")])
    def augment(pixels):
        return augmentation.augment(pixels, tf.constant([1, 2], tf.int64), settings)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([augment.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    assert "FlexImageProjectiveTransformV3" in find_random_ops(list_tflite_ops(converter.convert()))


def test_no_augmentation_in_the_saved_model(exported):
    names = list_saved_model_ops(exported.directory)
    # The search has seen decoders, resizing, the network, and Transform's graph.
    assert {"DecodeJpeg", "ScaleAndTranslate", "DepthwiseConv2dNative", "EncodePng", "ParseExampleV2"} <= names
    assert not find_random_ops(names)


def test_no_augmentation_in_transforms_graph(transformed):
    names = list_saved_model_ops(Path(transformed.output.transform_savedmodel_dir))
    assert {"DecodeJpeg", "ScaleAndTranslate", "EncodePng"} <= names
    assert not find_random_ops(names)


def test_no_augmentation_in_tflite(float_tflite):
    names = list_tflite_ops(float_tflite)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"} <= names
    assert not find_random_ops(names)


@pytest.mark.slow
def test_a_signature_is_added_by_one_registered_function(exported, classifier, transformed, tmp_path, monkeypatch):
    monkeypatch.setattr(signatures, "_SIGNATURES", dict(signatures._SIGNATURES))
    monkeypatch.setattr(export, "SIGNATURES", signatures._SIGNATURES)

    @signatures.register("best_score", "examples", lambda sample: [sample.example])
    def compute_best_score(parts, examples):
        return {"score": tf.reduce_max(parts.signatures["serving_default"](examples)["probabilities"], axis=-1)}

    with pytest.raises(ValueError, match="best_score"):
        signatures.register("best_score", "examples", lambda sample: [sample.example])
    directory = tmp_path / "Format-Serving"
    export.export(
        classifier,
        directory,
        class_names=CLASSES,
        transform_output=transformed.output,
        image_key="image/encoded",
        preprocessing=Preprocessing(size=SIZE, resize="crop", store_size=None),
        sample=tf.constant(transformed.read_pixels("train")[:1], tf.float32),
        provenance={},
    )
    added = type(exported)(directory, tf.saved_model.load(str(directory)))
    request = [tiny_data.make_request(ENCODED[0])]
    best = added.serve("serving_default", examples=request)["probabilities"].max(axis=-1)
    np.testing.assert_allclose(added.serve("best_score", examples=request)["score"], best, rtol=1e-6)
    asked = [log.predict_log.request.model_spec.signature_name for log in read_warmup(added)]
    assert "best_score" in asked
