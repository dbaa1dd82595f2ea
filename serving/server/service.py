"""TensorFlow Serving's gRPC services over `Models`: PredictionService and ModelService."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, cast

import grpc
import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.server import calls, model_server_config
from serving.server.batching import BatchScheduler
from serving.server.loaded_model import LoadedModel
from serving.server.models import Models
from serving.server.observer import Observer, ServedCall
from serving.server.status import StatusError, build_invalid_error
from serving.server.version_table import Version

_METADATA_FIELD = "signature_def"
_log = logging.getLogger("atelier.serving")


def _convert_errors(method: Callable[[Any, Any, grpc.ServicerContext], Any]) -> Callable[..., Any]:
    """Converts a StatusError to the call's status, and any other error to INTERNAL with its trace in the log alone."""

    @functools.wraps(method)
    def call(self: "_Service", request: object, context: grpc.ServicerContext) -> object:
        started, response, code = time.perf_counter(), None, grpc.StatusCode.OK
        try:
            response = method(self, request, context)
            return response
        except StatusError as error:
            code = error.code
            return context.abort(code, str(error))
        except Exception:  # noqa: BLE001  # the server lives on, whatever it was
            code = grpc.StatusCode.INTERNAL
            _log.exception("%s failed", method.__name__)
            return context.abort(code, f"{method.__name__} failed; the server's log says why")
        finally:
            self.note_call(method.__name__, request, response, code, time.perf_counter() - started)

    return call


class _Service:
    """What both services know."""

    def __init__(self, models: Models, observer: Observer | None) -> None:
        self._models, self._observer = models, observer

    def note_call(
        self, method: str, request: object, response: object | None, code: grpc.StatusCode, seconds: float
    ) -> None:
        """Tells the observer of a call; a name that no model has is not told: callers may make up any number."""
        if self._observer is None:
            return
        name = getattr(getattr(request, "model_spec", None), "name", "")
        spec = getattr(response, "model_spec", None)
        version = int(spec.version.value) if spec else None
        self._observer.note_call(ServedCall(name if self._models.has(name) else "", method, version, code, seconds))


def tell_batches(observer: Observer) -> Callable[[Hashable, int, Sequence[float]], None]:
    """Returns what tells an observer of the batches of a `PredictionService`."""

    def note_batch(key: Any, rows: int, waits: Sequence[float]) -> None:
        version: Version = key[0]
        observer.note_batch(version.model_name, version.number, rows, waits)

    return note_batch


class PredictionService(_Service, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify and GetModelMetadata; Regress and MultiInference stay UNIMPLEMENTED."""

    def __init__(
        self, models: Models, batches: BatchScheduler | None, max_pixels: int, observer: Observer | None = None
    ) -> None:
        """Answers from `models`, through `batches` if there are any; images have at most `max_pixels`."""
        super().__init__(models, observer)
        self._batches, self._max_pixels = batches, max_pixels

    @_convert_errors
    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs one signature on tensors."""
        with self._models.borrow(_get_spec(request)) as version:
            checked = calls.check_predict(_get_model(version).signatures, request, self._max_pixels)
            response = calls.build_predict_response(self._run(version, checked, context), checked.outputs)
            response.model_spec.CopyFrom(_build_spec(version, checked.signature))
            return response

    @_convert_errors
    def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """Runs a classification signature on tf.Examples."""
        with self._models.borrow(_get_spec(request)) as version:
            checked = calls.check_classify(_get_model(version).signatures, request, self._max_pixels)
            response = calls.build_classify_response(self._run(version, checked, context))
            response.model_spec.CopyFrom(_build_spec(version, checked.signature))
            return response

    @_convert_errors
    def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures."""
        spec = _get_spec(request)
        if not request.metadata_field:
            raise build_invalid_error("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _METADATA_FIELD:
                raise build_invalid_error(f"Metadata field {field} is not supported")
        with self._models.borrow(spec) as version:
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=dict(_get_model(version).signatures))
            response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=_build_spec(version))
            response.metadata[_METADATA_FIELD].Pack(signatures)
            return response

    def _run(
        self, version: Version, request: calls.CheckedRequest, context: grpc.ServicerContext
    ) -> Mapping[str, np.ndarray]:
        outputs = self._wait_for_outputs(version, request, context)
        if self._observer:
            self._observer.note_outputs(version.model_name, version.number, outputs)
        return outputs

    def _wait_for_outputs(
        self, version: Version, request: calls.CheckedRequest, context: grpc.ServicerContext
    ) -> Mapping[str, np.ndarray]:
        # Without a deadline, gRPC returns a time near the year 2262, longer than threads can wait.
        seconds = min(context.time_remaining() or 0.0, threading.TIMEOUT_MAX)
        if seconds <= 0:
            raise _build_deadline_error()
        run = functools.partial(_get_model(version).run, request.signature)
        if self._batches is None:
            if self._observer:
                self._observer.note_batch(version.model_name, version.number, request.rows, [])
            return run(request.inputs)
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(request.inputs.items()))
        # The version itself, not its number: a reload may replace it by one of the same number.
        key = (version, request.signature, shapes)
        answer = self._batches.submit(key, run, request.inputs, request.rows)
        try:
            return answer.result(seconds)
        except FutureTimeoutError:
            if not answer.cancel():
                futures.wait([answer])  # it runs by now: its version must not be unloaded under it
            raise _build_deadline_error() from None


class ModelService(_Service, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, models: Models, configured: Callable[[], None], observer: Observer | None = None) -> None:
        """Reports and changes `models`; calls `configured` after each change."""
        super().__init__(models, observer)
        self._configured = configured

    @_convert_errors
    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of every version, newest first, or of one."""
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self._models.find_versions(_get_spec(request)):
            found = response.model_version_status.add(version=version.number, state=version.state)
            if version.error:
                found.status.error_code = version.error.code.value[0]
                found.status.error_message = str(version.error)
        return response

    @_convert_errors
    def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the model configuration; returns when its versions are loaded."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise build_invalid_error(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        try:
            model_server_config.check(request.config)
        except model_server_config.ModelServerConfigError as error:
            raise build_invalid_error(str(error)) from None
        try:
            self._models.configure(request.config)
        finally:
            self._configured()
        return model_management_pb2.ReloadConfigResponse()


def _get_spec(request: Any) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise build_invalid_error("Missing ModelSpec")
    return request.model_spec


def _build_spec(version: Version, signature: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=version.model_name, signature_name=signature)
    spec.version.value = version.number
    return spec


def _get_model(version: Version) -> LoadedModel:
    return cast("LoadedModel", version.model)


def _build_deadline_error() -> StatusError:
    return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the model's turn came")
