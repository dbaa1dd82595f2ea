"""The messages of TensorFlow Serving's API: requests are built here, and answers read, without TensorFlow's help."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from atelier import layout, versions
from serving.client.errors import ServingError

PROBABILITIES, LABEL = "probabilities", "label"

# By type: the field for a tensor's values, how `tensor_content` packs them (strings never are), and the value of those
# that are left out.
_VALUES: Mapping[int, tuple[str, np.dtype, Any]] = {
    types_pb2.DT_FLOAT: ("float_val", np.dtype("<f4"), 0.0),
    types_pb2.DT_INT64: ("int64_val", np.dtype("<i8"), 0),
    types_pb2.DT_STRING: ("string_val", np.dtype(object), b""),
}


@dataclass(frozen=True)
class ServedModel:
    """Which model is asked, and the names that it gives to things.

    Attributes:
      name: as the server knows it; `default` is ModelServer's own default.
      version: its number; None: the label's, or the newest.
      label: that the server gives to a version, such as `stable`; never together with a number.
      signature: for Predict.
      image_input: the signature's input, [N] encoded pictures.
      classify_signature: for Classify.
      image_key: the encoded picture's feature in the tf.Examples of Classify.
    """

    name: str = "default"
    version: int | None = None
    label: str | None = None
    signature: str = "serving_bytes"
    image_input: str = "image_bytes"
    classify_signature: str = "classify"
    image_key: str = layout.ENCODED_IMAGE

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError(f"version {self.version} and label {self.label!r}: give one of them, or neither")
        if self.version is not None and versions.parse(str(self.version)) is None:
            raise ValueError(f"version {self.version!r}: expected an integer of at most 64 bits")


DEFAULT_MODEL = ServedModel()


@dataclass(frozen=True)
class Predicted:
    """An answer to Predict: the model's version, `labels` (N of them) and `probabilities` [N, C] float32."""

    version: int
    labels: tuple[str, ...]
    probabilities: np.ndarray


@dataclass(frozen=True)
class Classified:
    """An answer to Classify: the model's version, C `names` by id (none if it tells none), `scores` [N, C] float32."""

    version: int
    names: tuple[str, ...]
    scores: np.ndarray


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: `dtype` as TensorFlow names it (`string`, `float`), `shape` (-1: any; None: any rank)."""

    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Signature:
    """One of a model's signatures: its method's name, inputs and outputs."""

    method: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Metadata:
    """An answer to GetModelMetadata."""

    name: str
    version: int
    signatures: Mapping[str, Signature]


@dataclass(frozen=True)
class VersionStatus:
    """Of one version: `state` is START, LOADING, AVAILABLE, UNLOADING or END; `error` is empty if all is well."""

    version: int
    state: str
    error: str


def predict_request(model: ServedModel, encoded: Sequence[bytes]) -> predict_pb2.PredictRequest:
    """Predict for N encoded pictures."""
    request = predict_pb2.PredictRequest(model_spec=_spec(model, model.signature))
    tensor = request.inputs[model.image_input]
    tensor.dtype = types_pb2.DT_STRING
    tensor.tensor_shape.dim.add(size=len(encoded))
    tensor.string_val.extend(encoded)
    return request


def classify_request(
    model: ServedModel, encoded: Sequence[bytes], version: int | None = None
) -> classification_pb2.ClassificationRequest:
    """Classify for N encoded pictures; `version` goes before the model's own choice."""
    request = classification_pb2.ClassificationRequest(model_spec=_spec(model, model.classify_signature, version))
    for picture in encoded:
        example = request.input.example_list.examples.add()
        example.features.feature[model.image_key].bytes_list.value.append(picture)
    return request


def metadata_request(model: ServedModel) -> get_model_metadata_pb2.GetModelMetadataRequest:
    """GetModelMetadata for the signatures, the only metadata that there are."""
    return get_model_metadata_pb2.GetModelMetadataRequest(model_spec=_spec(model), metadata_field=["signature_def"])


def status_request(model: ServedModel) -> get_model_status_pb2.GetModelStatusRequest:
    """GetModelStatus, of all versions unless the model names one."""
    return get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(model))


def predicted(response: predict_pb2.PredictResponse, count: int) -> Predicted:
    """Reads the answer for `count` pictures.

    Raises:
      ServingError: the outputs are not those of a classifier of this pipeline.
    """
    spec = response.model_spec
    where = f"model {spec.name!r}, version {spec.version.value}, signature {spec.signature_name!r}"
    for name in (PROBABILITIES, LABEL):
        if name not in response.outputs:
            raise ServingError(
                f"{where}: its answer has no {name!r}, only {', '.join(sorted(response.outputs)) or 'nothing'}: choose "
                f"a signature with {PROBABILITIES!r} and {LABEL!r}"
            )
    try:
        probabilities, labels = (array(response.outputs[name]) for name in (PROBABILITIES, LABEL))
    except ValueError as error:
        raise ServingError(f"{where}: its answer cannot be read: {error}") from error
    if probabilities.ndim != 2 or len(probabilities) != count or labels.shape != (count,):
        raise ServingError(
            f"{where}: the answer for {count} pictures has {PROBABILITIES} of shape {list(probabilities.shape)} and "
            f"{LABEL} of shape {list(labels.shape)}; expected [{count}, classes] and [{count}]"
        )
    if not probabilities.shape[1]:
        raise ServingError(f"{where}: its answer has no class")
    return Predicted(spec.version.value, tuple(label.decode("utf-8", "replace") for label in labels), probabilities)


def classified(response: classification_pb2.ClassificationResponse, count: int) -> Classified:
    """Reads the answer for `count` pictures.

    Raises:
      ServingError: it is for another number of pictures, or for different classes each.
    """
    rows = response.result.classifications
    names = {tuple(entry.label for entry in row.classes) for row in rows}
    if len(rows) != count or len(names) != 1 or names == {()}:
        raise ServingError(
            f"model {response.model_spec.name!r}: Classify answers for {len(rows)} pictures of {count}, or not with "
            "the same classes for each"
        )
    (class_names,) = names
    scores = np.array([[entry.score for entry in row.classes] for row in rows], np.float32)
    return Classified(response.model_spec.version.value, class_names if any(class_names) else (), scores)


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> Metadata:
    """Reads the signatures."""
    found = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(found)
    signatures = {
        name: Signature(signature.method_name, _tensors(signature.inputs), _tensors(signature.outputs))
        for name, signature in found.signature_def.items()
    }
    return Metadata(response.model_spec.name, response.model_spec.version.value, signatures)


def statuses(response: get_model_status_pb2.GetModelStatusResponse) -> list[VersionStatus]:
    """Reads the versions' states, newest first."""
    found = [
        VersionStatus(
            each.version,
            get_model_status_pb2.ModelVersionStatus.State.Name(each.state),
            each.status.error_message,
        )
        for each in response.model_version_status
    ]
    return sorted(found, key=lambda each: -each.version)


def array(tensor: tensor_pb2.TensorProto) -> np.ndarray:
    """A float32, int64 or string tensor, in either encoding that TensorFlow uses; strings as objects of type bytes.

    Raises:
      ValueError: it is of another type, or its values do not fill its shape.
    """
    if tensor.dtype not in _VALUES:
        raise ValueError(f"a tensor of type {types_pb2.DataType.Name(tensor.dtype)}")
    field, dtype, fill = _VALUES[tensor.dtype]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = list(getattr(tensor, field))
    # TensorFlow leaves out the last values where they repeat the one before them.
    left_out = math.prod(shape) - len(values)
    return np.array(values + [values[-1] if values else fill] * left_out, dtype).reshape(shape)


def _spec(model: ServedModel, signature: str = "", version: int | None = None) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=model.name, signature_name=signature)
    if version is None:
        version = model.version
    if version is not None:
        spec.version.value = version
    elif model.label is not None:
        spec.version_label = model.label
    return spec


def _tensors(infos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            types_pb2.DataType.Name(info.dtype).removeprefix("DT_").lower(),
            None if info.tensor_shape.unknown_rank else tuple(dimension.size for dimension in info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }
