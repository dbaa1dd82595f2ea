"""The messages of TensorFlow Serving's API: builds requests, and reads responses into typed values."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atelier import layout, tfrecord
from atelier.files import versions
from atelier.preprocessing import (
    PREPROCESSING,
    QUERIES,
    Preprocessing,
    PreprocessingError,
    parse,
)
from serving.client import protos
from serving.client.errors import ServingError
from serving.client.protos import DataType, VersionState

PROBABILITIES, LABEL = "probabilities", "label"

# By type: the field for a tensor's values, how `tensor_content` packs them (strings never are), and the value of those
# that are left out.
_VALUES: Mapping[int, tuple[str, np.dtype, Any]] = {
    DataType.FLOAT: ("float_val", np.dtype("<f4"), 0.0),
    DataType.INT64: ("int64_val", np.dtype("<i8"), 0),
    DataType.STRING: ("string_val", np.dtype(object), b""),
}


@dataclass(frozen=True)
class ServedModel:
    """Which model is asked, and the names of its signatures, inputs and features.

    Attributes:
      name: as the server knows it; `default` is ModelServer's own default.
      version: its number; None: that of the label, or the newest.
      label: that the server gives to a version, such as `stable`; never together with a number.
      signature: for Predict.
      image_input: the signature's input, [N] encoded images.
      classify_signature: for Classify.
      image_key: the encoded image's feature in the tf.Examples of Classify.
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
        if self.version is not None and versions.parse_version(str(self.version)) is None:
            raise ValueError(f"version {self.version!r}: expected an integer of at most 64 bits")
        if self.label == "":
            raise ValueError("label '': expected the name that the server gives to a version, such as stable")


DEFAULT_MODEL = ServedModel()


@dataclass(frozen=True)
class PredictAnswer:
    """An answer to Predict: the model's version, `labels` (N of them) and `probabilities` [N, C] float32."""

    version: int
    labels: tuple[str, ...]
    probabilities: np.ndarray


@dataclass(frozen=True)
class ClassifyAnswer:
    """An answer to Classify: the model's version, C `names` by id (none if it has none), `scores` [N, C] float32."""

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


def build_predict_request(model: ServedModel, encoded: Sequence[bytes]) -> Any:
    """Builds a PredictRequest for N encoded images."""
    return _build_strings_request(_build_spec(model, model.signature), model.image_input, encoded)


def build_classify_request(model: ServedModel, encoded: Sequence[bytes], version: int | None = None) -> Any:
    """Builds a ClassificationRequest for N encoded images; `version` overrides the model's own choice."""
    request = protos.ClassificationRequest(model_spec=_build_spec(model, model.classify_signature, version))
    request.input.example_list.examples.extend(
        tfrecord.serialize_example({model.image_key: image}) for image in encoded
    )
    return request


def build_description_request(model: ServedModel, signature: str, version: int | None = None) -> Any:
    """Builds a PredictRequest for a signature by which the model describes itself, such as its preprocessing.

    `version` overrides the model's own choice.
    """
    return _build_strings_request(_build_spec(model, signature, version), QUERIES, [b""])


def build_metadata_request(model: ServedModel) -> Any:
    """Builds a GetModelMetadataRequest for the signatures, the only metadata that a server knows."""
    return protos.GetModelMetadataRequest(model_spec=_build_spec(model), metadata_field=["signature_def"])


def build_status_request(model: ServedModel) -> Any:
    """Builds a GetModelStatusRequest, for all versions unless the model names one."""
    return protos.GetModelStatusRequest(model_spec=_build_spec(model))


def read_predict_response(response: Any, count: int) -> PredictAnswer:
    """Reads the PredictResponse for `count` images.

    Raises:
      ServingError: the outputs are not those of a classifier of this pipeline.
    """
    where = describe(response.model_spec)
    for name in (PROBABILITIES, LABEL):
        if name not in response.outputs:
            raise ServingError(
                f"{where}: its answer has no {name!r}, only {', '.join(sorted(response.outputs)) or 'nothing'}: choose "
                f"a signature with {PROBABILITIES!r} and {LABEL!r}"
            )
    try:
        probabilities, labels = (read_tensor(response.outputs[name]) for name in (PROBABILITIES, LABEL))
    except ValueError as error:
        raise ServingError(f"{where}: its answer cannot be read: {error}") from error
    if probabilities.ndim != 2 or len(probabilities) != count or labels.shape != (count,):
        raise ServingError(
            f"{where}: the answer for {count} images has {PROBABILITIES} of shape {list(probabilities.shape)} and "
            f"{LABEL} of shape {list(labels.shape)}; expected [{count}, classes] and [{count}]"
        )
    if not probabilities.shape[1]:
        raise ServingError(f"{where}: its answer has no class")
    texts = tuple(label.decode("utf-8", "replace") for label in labels)
    return PredictAnswer(response.model_spec.version.value, texts, probabilities)


def read_classify_response(response: Any, count: int) -> ClassifyAnswer:
    """Reads the ClassificationResponse for `count` images.

    Raises:
      ServingError: it is for another number of images, or for different classes each.
    """
    rows = response.result.classifications
    names = {tuple(entry.label for entry in row.classes) for row in rows}
    if len(rows) != count or len(names) != 1 or names == {()}:
        raise ServingError(
            f"model {response.model_spec.name!r}: Classify answers for {len(rows)} images of {count}, or not with "
            "the same classes for each"
        )
    (class_names,) = names
    scores = np.array([[entry.score for entry in row.classes] for row in rows], np.float32)
    return ClassifyAnswer(response.model_spec.version.value, class_names if any(class_names) else (), scores)


def read_preprocessing_response(response: Any) -> tuple[int, Preprocessing]:
    """Returns the model's version and its preprocessing.

    Raises:
      ServingError: the answer is not a preprocessing that this client knows.
    """
    try:
        (text,) = read_tensor(response.outputs[PREPROCESSING])
        return response.model_spec.version.value, parse(text)
    except (TypeError, PreprocessingError, ValueError) as error:
        where = describe(response.model_spec)
        raise ServingError(f"{where}: its answer cannot be read: {error}") from error


def read_metadata_response(response: Any) -> Metadata:
    """Reads the signatures of a GetModelMetadataResponse."""
    found = protos.SignatureDefMap()
    response.metadata["signature_def"].Unpack(found)
    signatures = {
        name: Signature(signature.method_name, _read_tensors(signature.inputs), _read_tensors(signature.outputs))
        for name, signature in found.signature_def.items()
    }
    return Metadata(response.model_spec.name, response.model_spec.version.value, signatures)


def read_status_response(response: Any) -> list[VersionStatus]:
    """Reads the versions' states of a GetModelStatusResponse, newest first."""
    found = [
        VersionStatus(each.version, _format_enum(VersionState, each.state), each.status.error_message)
        for each in response.model_version_status
    ]
    return sorted(found, key=lambda each: -each.version)


def read_tensor(tensor: Any) -> np.ndarray:
    """Reads a float32, int64 or string tensor, in either encoding that TensorFlow uses; strings are bytes.

    Raises:
      ValueError: it is of another type, or its values do not fill its shape.
    """
    if tensor.dtype not in _VALUES:
        raise ValueError(f"a tensor of type DT_{_format_enum(DataType, tensor.dtype)}")
    field, dtype, fill = _VALUES[tensor.dtype]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = list(getattr(tensor, field))
    # TensorFlow leaves out the last values where they repeat the one before them.
    left_out = math.prod(shape) - len(values)
    return np.array(values + [values[-1] if values else fill] * left_out, dtype).reshape(shape)


def describe(spec: Any) -> str:
    """Returns what messages call the model that answered."""
    return f"model {spec.name!r}, version {spec.version.value}, signature {spec.signature_name!r}"


def _build_strings_request(spec: Any, name: str, values: Sequence[bytes]) -> Any:
    request = protos.PredictRequest(model_spec=spec)
    tensor = request.inputs[name]
    tensor.dtype = DataType.STRING
    tensor.tensor_shape.dim.add(size=len(values))
    tensor.string_val.extend(values)
    return request


def _build_spec(model: ServedModel, signature: str = "", version: int | None = None) -> Any:
    spec = protos.ModelSpec(name=model.name, signature_name=signature)
    if version is None:
        version = model.version
    if version is not None:
        spec.version.value = version
    elif model.label is not None:
        spec.version_label = model.label
    return spec


def _read_tensors(infos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            _format_enum(DataType, info.dtype).lower(),
            None if info.tensor_shape.unknown_rank else tuple(dimension.size for dimension in info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }


def _format_enum(kind: type[enum.IntEnum], number: int) -> str:
    return kind(number).name if number in set(kind) else str(number)
