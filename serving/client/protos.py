"""The part of TensorFlow Serving's gRPC API that the clients use, without the package that imports TensorFlow for it.

Names and numbers are those of tensorflow_serving/apis/*.proto and tensorflow/core/{framework,protobuf}/*.proto.
"""

import enum
from collections.abc import Callable
from typing import Any

from atelier.protobuf import build_messages

_DEFINITIONS = """
message TensorShapeDim {
  int64 size = 1;
}
message TensorShape {
  repeated TensorShapeDim dim = 2;
  bool unknown_rank = 3;
}
message Tensor {
  int32 dtype = 1;
  TensorShape tensor_shape = 2;
  bytes tensor_content = 4;
  repeated float float_val = 5;
  repeated bytes string_val = 8;
  repeated int64 int64_val = 10;
}
message ModelSpec {
  string name = 1;
  Int64Value version = 2;
  string signature_name = 3;
  string version_label = 4;
}
message PredictRequest {
  ModelSpec model_spec = 1;
  map<string, Tensor> inputs = 2;
}
message PredictResponse {
  map<string, Tensor> outputs = 1;
  ModelSpec model_spec = 2;
}
message ExampleList {
  repeated bytes examples = 1;
}
message Input {
  ExampleList example_list = 1;
}
message ClassificationRequest {
  ModelSpec model_spec = 1;
  Input input = 2;
}
message Class {
  string label = 1;
  float score = 2;
}
message Classifications {
  repeated Class classes = 1;
}
message ClassificationResult {
  repeated Classifications classifications = 1;
}
message ClassificationResponse {
  ClassificationResult result = 1;
  ModelSpec model_spec = 2;
}
message TensorInfo {
  int32 dtype = 2;
  TensorShape tensor_shape = 3;
}
message SignatureDef {
  map<string, TensorInfo> inputs = 1;
  map<string, TensorInfo> outputs = 2;
  string method_name = 3;
}
message SignatureDefMap {
  map<string, SignatureDef> signature_def = 1;
}
message GetModelMetadataRequest {
  ModelSpec model_spec = 1;
  repeated string metadata_field = 2;
}
message GetModelMetadataResponse {
  ModelSpec model_spec = 1;
  map<string, Any> metadata = 2;
}
message GetModelStatusRequest {
  ModelSpec model_spec = 1;
}
message Status {
  int32 error_code = 1;
  string error_message = 2;
}
message ModelVersionStatus {
  int64 version = 1;
  int32 state = 2;
  Status status = 3;
}
message GetModelStatusResponse {
  repeated ModelVersionStatus model_version_status = 1;
}
message ReloadConfigRequest {
  bytes config = 1;
}
message ReloadConfigResponse {
  Status status = 1;
}
"""
"""Enums are int32, and a tf.Example and a ModelServerConfig are bytes here: on the wire they are the same."""

_MESSAGES = build_messages(_DEFINITIONS, "tensorflow.serving")
PredictRequest = _MESSAGES["PredictRequest"]
PredictResponse = _MESSAGES["PredictResponse"]
ClassificationRequest = _MESSAGES["ClassificationRequest"]
ClassificationResponse = _MESSAGES["ClassificationResponse"]
GetModelMetadataRequest = _MESSAGES["GetModelMetadataRequest"]
GetModelMetadataResponse = _MESSAGES["GetModelMetadataResponse"]
GetModelStatusRequest = _MESSAGES["GetModelStatusRequest"]
GetModelStatusResponse = _MESSAGES["GetModelStatusResponse"]
ReloadConfigRequest = _MESSAGES["ReloadConfigRequest"]
ReloadConfigResponse = _MESSAGES["ReloadConfigResponse"]
SignatureDefMap = _MESSAGES["SignatureDefMap"]
ModelSpec = _MESSAGES["ModelSpec"]

PREDICTION_SERVICE, MODEL_SERVICE = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"


class DataType(enum.IntEnum):
    """Types of tensors that a signature may have, by the numbers of tensorflow/core/framework/types.proto."""

    FLOAT = 1
    DOUBLE = 2
    INT32 = 3
    UINT8 = 4
    INT16 = 5
    INT8 = 6
    STRING = 7
    COMPLEX64 = 8
    INT64 = 9
    BOOL = 10
    QINT8 = 11
    QUINT8 = 12
    QINT32 = 13
    BFLOAT16 = 14
    QINT16 = 15
    QUINT16 = 16
    UINT16 = 17
    COMPLEX128 = 18
    HALF = 19
    RESOURCE = 20
    VARIANT = 21
    UINT32 = 22
    UINT64 = 23


class VersionState(enum.IntEnum):
    """States of a version, by the numbers of tensorflow_serving/apis/get_model_status.proto."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Stubs:
    """The calls of a server over one channel, be it gRPC's blocking one or that of asyncio."""

    def __init__(self, channel: Any) -> None:
        """Makes a callable for each call."""
        self.predict = _build_stub(channel, PREDICTION_SERVICE, "Predict", PredictResponse)
        self.classify = _build_stub(channel, PREDICTION_SERVICE, "Classify", ClassificationResponse)
        self.get_model_metadata = _build_stub(channel, PREDICTION_SERVICE, "GetModelMetadata", GetModelMetadataResponse)
        self.get_model_status = _build_stub(channel, MODEL_SERVICE, "GetModelStatus", GetModelStatusResponse)
        self.reload_config = _build_stub(channel, MODEL_SERVICE, "HandleReloadConfigRequest", ReloadConfigResponse)


def _build_stub(channel: Any, service: str, method: str, response: Any) -> Callable[..., Any]:
    return channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=response.FromString,
    )
