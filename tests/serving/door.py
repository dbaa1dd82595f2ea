"""A server's gRPC door: its stubs, and the messages that go through it."""

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.malformed import make_image


class Door:
    """The stubs of one server."""

    def __init__(self, channel):
        self.channel = channel
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, signature, inputs, timeout=20, **spec):
        request = predict_request(signature, inputs, **spec)
        response = self.prediction.Predict(request, timeout=timeout)
        return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}, response.model_spec

    def bright(self, *values, **spec):
        """The probabilities of `bright`, and the version that gave them."""
        found, answered = self.predict("serving_bytes", {"image_bytes": [make_image(v) for v in values]}, **spec)
        return found["probabilities"][:, 1].tolist(), answered.version.value

    def states(self, **spec):
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=named(**spec))
        found = self.model.GetModelStatus(request, timeout=20).model_version_status
        return [(status.version, status.State.Name(status.state)) for status in found]


def named(name="tiny", version=None, label=None, signature=""):
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def predict_request(signature, inputs, **spec):
    request = predict_pb2.PredictRequest(model_spec=named(signature=signature, **spec))
    for name, given in inputs.items():
        value = given() if callable(given) else given
        request.inputs[name].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    return request
