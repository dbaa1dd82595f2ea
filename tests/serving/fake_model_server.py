"""A gRPC server on loopback that answers as TensorFlow Serving does, in its words, from a table."""

import collections
import contextlib
import json
import threading
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

Code = grpc.StatusCode
NAMES = ("cat", "dog", "bird")
ROW = (0.25, 0.625, 0.125)
"""The answer for any image that `rows` does not tell: a dog."""


class FakeModelServer(
    prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer
):
    """Serves `default` and `pets`; version 1 is labeled `stable`.

    Attributes:
      calls: (method, request, seconds left) of each, those that failed, too.
      rows: probabilities by an image's bytes.
      versions: of both models.
      failures: (code, details) with which the next calls end; None: that one does not.
      signatures: that there are.
      preprocessing: what the signature of that name returns, by version; None: a model of before there was one.
      queries: requests to that signature, which are not among `calls`.
      alternating: the newest version is another one after each call.
      as_content: tensors are packed as `tensor_content`.
      held: calls wait for it.
    """

    def __init__(self):
        self.calls, self.rows, self.failures, self.names = [], {}, [], NAMES
        self.versions = [1, 2]
        self.signatures = {"serving_bytes", "classify"}
        told = {"size": 8, "resize": "crop", "store_size": 512, "max_pixels": 100_000_000, "jpeg_quality": 95}
        self.preprocessing: Any = collections.defaultdict(lambda: dict(told))
        self.queries = []
        self.as_content = self.alternating = False
        self.held = threading.Event()
        self.held.set()

    def methods(self):
        return [method for method, _, _ in self.calls]

    def requests(self, method):
        return [request for name, request, _ in self.calls if name == method]

    # ---- the API

    def Predict(self, request, context):  # noqa: N802
        if request.model_spec.signature_name == "preprocessing":
            return self._tell_preprocessing(request, context)
        spec = self._begin("Predict", request, context)
        if spec.signature_name not in self.signatures:
            context.abort(Code.FAILED_PRECONDITION, f'Serving signature key "{spec.signature_name}" not found.')
        (encoded,) = (tensor.string_val for tensor in request.inputs.values())
        rows = np.array([self.rows.get(each, ROW) for each in encoded], np.float32)
        best = rows.argmax(axis=1)
        response = predict_pb2.PredictResponse(model_spec=spec)
        self._fill(response.outputs["probabilities"], types_pb2.DT_FLOAT, rows)
        self._fill(response.outputs["class_id"], types_pb2.DT_INT64, best.astype(np.int64))
        labels = np.array([self.names[number].encode() for number in best], object)
        self._fill(response.outputs["label"], types_pb2.DT_STRING, labels)
        return response

    def Classify(self, request, context):  # noqa: N802
        spec = self._begin("Classify", request, context)
        if spec.signature_name not in self.signatures:
            context.abort(Code.INVALID_ARGUMENT, f"No signature was found with the name: {spec.signature_name}")
        response = classification_pb2.ClassificationResponse(model_spec=spec)
        for example in request.input.example_list.examples:
            (encoded,) = example.features.feature["image/encoded"].bytes_list.value
            row = response.result.classifications.add()
            for name, score in zip(self.names, self.rows.get(encoded, ROW), strict=True):
                row.classes.add(label=name, score=score)
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        spec = self._begin("GetModelMetadata", request, context)
        assert list(request.metadata_field) == ["signature_def"]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        signature = signatures.signature_def["serving_bytes"]
        signature.method_name = "tensorflow/serving/predict"
        signature.inputs["image_bytes"].dtype = types_pb2.DT_STRING
        signature.inputs["image_bytes"].tensor_shape.dim.add(size=-1)
        signature.outputs["probabilities"].dtype = types_pb2.DT_FLOAT
        signature.outputs["probabilities"].tensor_shape.unknown_rank = True
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=spec)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def GetModelStatus(self, request, context):  # noqa: N802
        self._note("GetModelStatus", request, context)
        spec = request.model_spec
        if spec.name not in ("default", "pets"):
            context.abort(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        wanted = spec.version.value if spec.HasField("version") else None
        if wanted not in (None, *self.versions):
            context.abort(Code.NOT_FOUND, f"Could not find version {wanted} of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.versions if wanted is None else (wanted,):
            response.model_version_status.add(version=version, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE)
        return response

    # ---- behind it

    def _tell_preprocessing(self, request, context):
        self.queries.append(request)
        spec = self._find(request.model_spec, context)
        if self.preprocessing is None or self.preprocessing[spec.version.value] is None:
            context.abort(Code.FAILED_PRECONDITION, 'Serving signature key "preprocessing" not found.')
        told = json.dumps(self.preprocessing[spec.version.value]).encode()
        response = predict_pb2.PredictResponse(model_spec=spec)
        (queries,) = (tensor.string_val for tensor in request.inputs.values())
        self._fill(response.outputs["preprocessing"], types_pb2.DT_STRING, np.array([told] * len(queries), object))
        return response

    def _begin(self, method, request, context):
        """The model spec of the answer, as TF Serving finds it."""
        self._note(method, request, context)
        return self._find(request.model_spec, context)

    def _find(self, spec, context):
        if spec.version_label and spec.version_label != "stable":
            context.abort(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
        version = spec.version.value if spec.HasField("version") else None
        if spec.name not in ("default", "pets") or version not in (None, *self.versions):
            wanted = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
            context.abort(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        found = type(spec)(name=spec.name, signature_name=spec.signature_name)
        newest = self.versions[len(self.calls) % 2] if self.alternating else max(self.versions)
        found.version.value = version or (1 if spec.version_label else newest)
        return found

    def _note(self, method, request, context):
        self.calls.append((method, request, context.time_remaining()))
        self.held.wait(10)
        failure = self.failures.pop(0) if self.failures else None
        if failure:
            context.abort(*failure)

    def _fill(self, tensor, dtype, values):
        tensor.dtype = dtype
        for size in values.shape:
            tensor.tensor_shape.dim.add(size=size)
        if dtype == types_pb2.DT_STRING:
            tensor.string_val.extend(values.tolist())
        elif self.as_content:
            tensor.tensor_content = values.tobytes()
        elif dtype == types_pb2.DT_FLOAT:
            tensor.float_val.extend(values.ravel().tolist())
        else:
            tensor.int64_val.extend(values.tolist())


@contextlib.contextmanager
def serving(fake, credentials=None, **options):
    """Runs it and gives the target: one address, where `localhost` may be two. Options are gRPC's, less `grpc.`."""
    given = {"max_receive_message_length": -1, "max_send_message_length": -1} | options
    server = grpc.server(
        futures.ThreadPoolExecutor(16), options=[(f"grpc.{name}", value) for name, value in given.items()]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(fake, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(fake, server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        fake.held.set()
        server.stop(None).wait()
