"""Requests and answers as protocol buffers, without a server; TensorFlow's own code is the judge of tensors."""

import numpy as np
import pytest
from google.protobuf import descriptor_pool

from serving.client import ServedModel, ServingError, messages, protos
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import classification_pb2, get_model_status_pb2, predict_pb2


def answer(**outputs):
    response = predict_pb2.PredictResponse()
    response.model_spec.name, response.model_spec.signature_name = "pets", "serving_bytes"
    response.model_spec.version.value = 3
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response


# ---- requests


def test_tensorflow_reads_the_tensor_of_images():
    built = messages.build_predict_request(ServedModel(image_input="photo"), [b"one", b"\xff\0"])
    request = predict_pb2.PredictRequest.FromString(built.SerializeToString())
    tensor = tf.make_ndarray(request.inputs["photo"])
    assert tensor.shape == (2,)
    assert tensor.tolist() == [b"one", b"\xff\0"]


def test_tensorflow_reads_the_examples():
    built = messages.build_classify_request(ServedModel(image_key="photo"), [b"one", b"two"])
    request = classification_pb2.ClassificationRequest.FromString(built.SerializeToString())
    examples = [each.SerializeToString() for each in request.input.example_list.examples]
    spec = {"photo": tf.io.FixedLenFeature([], tf.string)}
    assert tf.io.parse_example(examples, spec)["photo"].numpy().tolist() == [b"one", b"two"]


@pytest.mark.parametrize(
    ("model", "version", "label"),
    [
        ({}, None, ""),
        ({"version": 0}, 0, ""),
        ({"version": 17}, 17, ""),
        ({"label": "canary"}, None, "canary"),
    ],
)
def test_every_request_names_the_version(model, version, label):
    model = ServedModel(**model)
    for request in (
        messages.build_predict_request(model, [b"x"]),
        messages.build_classify_request(model, [b"x"]),
        messages.build_description_request(model, "preprocessing"),
        messages.build_metadata_request(model),
        messages.build_status_request(model),
    ):
        spec = request.model_spec
        assert (spec.version.value if spec.HasField("version") else None) == version
        assert (spec.name, spec.version_label) == ("default", label)


def test_an_explicit_version_goes_before_a_label():
    spec = messages.build_classify_request(ServedModel(label="canary"), [b"x"], version=4).model_spec
    assert (spec.version.value, spec.version_label) == (4, "")


# ---- tensors


@pytest.mark.parametrize("values", [[[0.5, 0.25], [0.125, 1.0]], [[0.0, 0.0]], [[0.75]], np.zeros((0, 3))])
def test_floats_in_either_encoding(values):
    expected = np.array(values, np.float32)
    spelled_out = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=expected.ravel().tolist())
    for size in expected.shape:
        spelled_out.tensor_shape.dim.add(size=size)
    packed = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_FLOAT, tensor_shape=spelled_out.tensor_shape, tensor_content=expected.tobytes()
    )
    for tensor in (spelled_out, packed, tf.make_tensor_proto(expected)):
        found = messages.read_tensor(tensor)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found, tf.make_ndarray(tensor))


@pytest.mark.parametrize("value", [np.array([3, -(2**40)]), np.array([[7]]), np.array([[b"a", "é".encode()]], object)])
def test_integers_and_strings(value):
    np.testing.assert_array_equal(messages.read_tensor(tf.make_tensor_proto(value)), value)


@pytest.mark.parametrize(
    ("fields", "expected"), [({"float_val": [0.5, 0.25]}, [0.5, 0.25, 0.25, 0.25]), ({}, [0.0] * 4)]
)
def test_values_that_are_left_out_repeat_the_last(fields, expected):
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, **fields)
    tensor.tensor_shape.dim.add(size=4)
    assert messages.read_tensor(tensor).tolist() == expected == tf.make_ndarray(tensor).tolist()


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="a tensor of type DT_COMPLEX64"):
        messages.read_tensor(tf.make_tensor_proto([1j], tf.complex64))


# ---- answers


def test_predicted():
    found = messages.read_predict_response(
        answer(probabilities=np.array([[0.25, 0.75]], np.float32), label=["Katze ü"]), 1
    )
    assert (found.version, found.labels, found.probabilities.tolist()) == (3, ("Katze ü",), [[0.25, 0.75]])


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"features": [1.0]}, "its answer has no 'probabilities', only features: choose a signature with "),
        ({}, "its answer has no 'probabilities', only nothing"),
        ({"probabilities": [[1.0]]}, "its answer has no 'label', only probabilities"),
        (
            {"probabilities": [[1.0]] * 2, "label": ["a"] * 2},
            "the answer for 1 images has probabilities of shape [2, 1]",
        ),
        ({"probabilities": [1.0], "label": ["a"]}, "has probabilities of shape [1] and label of shape [1]"),
        ({"probabilities": np.zeros((1, 0), np.float32), "label": ["a"]}, "its answer has no class"),
        ({"probabilities": np.array([[1.0]], np.float16), "label": ["a"]}, "cannot be read: a tensor of type DT_HALF"),
    ],
)
def test_answers_of_other_models_are_told(outputs, words):
    with pytest.raises(ServingError) as refused:
        messages.read_predict_response(answer(**outputs), 1)
    assert str(refused.value).startswith("model 'pets', version 3, signature 'serving_bytes': ")
    assert words in str(refused.value)


def classes(*rows):
    response = classification_pb2.ClassificationResponse()
    for row in rows:
        found = response.result.classifications.add()
        for label, score in row:
            found.classes.add(label=label, score=score)
    return response


def test_classified():
    found = messages.read_classify_response(classes([("a", 0.25), ("b", 0.75)], [("a", 0.5), ("b", 0.5)]), 2)
    assert (found.names, found.scores.tolist()) == (("a", "b"), [[0.25, 0.75], [0.5, 0.5]])


def test_scores_without_names():
    assert messages.read_classify_response(classes([("", 0.25), ("", 0.75)]), 1).names == ()


@pytest.mark.parametrize("rows", [[], [[]], [[("a", 1.0)]] * 2])
def test_classes_for_another_number_of_images(rows):
    with pytest.raises(ServingError, match=f"Classify answers for {len(rows)} images of 1"):
        messages.read_classify_response(classes(*rows), 1)


# ---- definitions


def test_the_definitions_are_those_of_tensorflow_serving():
    """Every field has upstream's number and type. What upstream has as an enum or a message may be opaque here."""
    renamed = {"Tensor": "TensorProto", "TensorShape": "TensorShapeProto", "TensorShapeDim": "TensorShapeProto.Dim"}
    of_tensorflow = {"TensorInfo", "SignatureDef", *renamed}
    checked = 0
    for name, message in protos._MESSAGES.items():
        if name.endswith("Entry"):
            continue
        package = "tensorflow" if name in of_tensorflow else "tensorflow.serving"
        theirs = (renamed | {"Status": "StatusProto"}).get(name, name)
        known = descriptor_pool.Default().FindMessageTypeByName(f"{package}.{theirs}").fields_by_name
        for field in message.DESCRIPTOR.fields:
            want = known[field.name]
            assert (field.number, field.is_repeated) == (want.number, want.is_repeated), (name, field.name)
            opaque = [(field.TYPE_INT32, field.TYPE_ENUM), (field.TYPE_BYTES, field.TYPE_MESSAGE)]
            assert field.type == want.type or (field.type, want.type) in opaque, (name, field.name)
            checked += 1
    assert checked > 40
    for each in protos.DataType:
        assert types_pb2.DataType.Value(f"DT_{each.name}") == each.value
    states = get_model_status_pb2.ModelVersionStatus.State
    assert {each.name: each.value for each in protos.VersionState} == dict(states.items())


def test_a_version_that_failed_to_load():
    response = get_model_status_pb2.GetModelStatusResponse()
    status = response.model_version_status.add(version=5, state=get_model_status_pb2.ModelVersionStatus.END)
    status.status.error_message = "no such file"
    response.model_version_status.add(version=6, state=get_model_status_pb2.ModelVersionStatus.LOADING)
    assert messages.read_status_response(response) == [
        messages.VersionStatus(6, "LOADING", ""),
        messages.VersionStatus(5, "END", "no such file"),
    ]
