import io
from typing import Any, cast

import grpc
import pytest
from PIL import Image

from atelier import tfrecord
from serving.server.status import StatusError
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2, regression_pb2

    from serving.server import local_server, warmup
    from serving.server.loaded_model import LoadedModel
    from tests.serving import tiny_model

pytestmark = pytest.mark.slow


class Asked:
    """Stands for a loaded model, and only takes note of what it is asked."""

    def __init__(self, model: "LoadedModel") -> None:
        self.signatures = model.signatures
        self.calls: list[tuple] = []

    def run(self, signature, inputs):
        self.calls.append((signature, {name: array.tolist() for name, array in inputs.items()}))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("tiny"), 1)


@pytest.fixture(scope="module")
def model(directory):
    made = LoadedModel(directory)
    yield made
    made.close()


@pytest.fixture
def extra(directory):
    """The file of warm-up records; gone after the test."""
    file = directory / warmup.FILE
    file.parent.mkdir(exist_ok=True)
    yield file
    file.unlink(missing_ok=True)


def write(file, *logs):
    with file.open("wb") as stream:
        for log in logs:
            tfrecord.write(stream, log.SerializeToString())


def make_image():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (51, 51, 51)).save(stream, "PNG")
    return stream.getvalue()


def make_predict_log(signature, name, value):
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(signature_name=signature))
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def make_classify_log(encoded):
    log = prediction_log_pb2.PredictionLog()
    log.classify_log.request.model_spec.signature_name = "classify"
    example = log.classify_log.request.input.example_list.examples.add()
    example.MergeFromString(tfrecord.serialize_example({"image/encoded": encoded}))
    return log


def test_every_record_is_answered_by_its_own_signature(model, directory, extra):
    write(extra, make_predict_log("serving_bytes", "image_bytes", [make_image()]), make_classify_log(make_image()))
    asked: Any = Asked(model)
    assert warmup.replay(asked, directory) == 2
    (first, second) = asked.calls
    assert first == ("serving_bytes", {"image_bytes": [make_image()]})
    assert second == ("classify", {"inputs": [tfrecord.serialize_example({"image/encoded": make_image()})]})


def test_without_a_file_there_is_nothing_to_do(model, directory):
    assert warmup.replay(model, directory) == 0


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (lambda: make_predict_log("serving_bytes", "image_bytes", [b"no image"]), "record 1: assertion failed"),
        (lambda: make_predict_log("nope", "image_bytes", [b""]), 'record 1: Serving signature key "nope" not found.'),
        (
            lambda: prediction_log_pb2.PredictionLog(
                regress_log=prediction_log_pb2.RegressLog(request=regression_pb2.RegressionRequest())
            ),
            "Unsupported log_type for warmup: regress_log",
        ),
    ],
)
def test_a_version_that_cannot_answer_its_own_requests_is_not_loaded(directory, extra, log, said):
    write(extra, log())
    with pytest.raises(StatusError) as caught:
        local_server.load(directory)
    assert str(extra) in str(caught.value)
    assert said in str(caught.value)


def test_a_damaged_file_is_named(directory, extra):
    write(extra, make_classify_log(make_image()))
    extra.write_bytes(extra.read_bytes()[:-1])
    with pytest.raises(StatusError, match="damaged or cut short") as caught:
        local_server.load(directory)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_more_records_than_tf_serving_takes_are_refused(model, directory, extra, monkeypatch):
    monkeypatch.setattr(warmup, "MOST_RECORDS", 2)
    write(extra, *[make_classify_log(make_image())] * 3)
    with pytest.raises(StatusError, match="more than 2 warm-up records"):
        warmup.replay(cast(Any, Asked(model)), directory)
