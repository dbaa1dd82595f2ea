"""Checks requests before the model is called, and builds responses from its outputs.

Status codes and messages are those of TensorFlow Serving where it has the same check. Two checks are ours, because a
small request must not take much memory: `max_pixels`, and tensors whose values are repeated to fill a shape.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, model_pb2, predict_pb2

from atelier import images, tfrecord
from serving.server.status import StatusError, build_invalid_error

Signatures = Mapping[str, meta_graph_pb2.SignatureDef]

_CLASSIFY_INPUT, _CLASSES, _SCORES = "inputs", "classes", "scores"


@dataclass(frozen=True)
class CheckedRequest:
    """A checked request."""

    signature: str
    inputs: Mapping[str, np.ndarray]
    """As the signature expects them, each [rows, ...]."""
    rows: int
    outputs: tuple[str, ...]
    """Names of the requested outputs."""


def check_predict(signatures: Signatures, request: predict_pb2.PredictRequest, max_pixels: int) -> CheckedRequest:
    """Checks a Predict request.

    Args:
      signatures: of the model.
      request: with one tensor for each of the signature's inputs.
      max_pixels: width x height, at most, of any image in it.

    Raises:
      StatusError: FAILED_PRECONDITION for an unknown signature, else INVALID_ARGUMENT.
    """
    name = _get_signature_name(request.model_spec)
    if name not in signatures:
        raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    signature = signatures[name]
    _check_names(request.inputs, signature.inputs)
    inputs = {alias: _read_array(alias, tensor, signature, max_pixels) for alias, tensor in request.inputs.items()}
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise build_invalid_error(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{_format_set(signature.outputs)}."
            )
    if len(set(request.output_filter)) < len(request.output_filter):
        raise build_invalid_error(f"duplicate output tensor alias: {','.join(request.output_filter)}")
    return CheckedRequest(
        name, inputs, _count_rows(inputs), tuple(request.output_filter) or tuple(sorted(signature.outputs))
    )


def check_classify(
    signatures: Signatures, request: classification_pb2.ClassificationRequest, max_pixels: int
) -> CheckedRequest:
    """Checks a Classify request; see `check_predict`.

    Raises:
      StatusError: INVALID_ARGUMENT.
    """
    name = _get_signature_name(request.model_spec)
    if name not in signatures:
        raise build_invalid_error(f"No signature was found with the name: {name}")
    signature = signatures[name]
    if set(signature.inputs) != {_CLASSIFY_INPUT} or not {_CLASSES, _SCORES} & set(signature.outputs):
        raise build_invalid_error(
            f"Signature {name} does not belong to Classify: it takes {_format_set(signature.inputs)} and gives "
            f"{_format_set(signature.outputs)}; expected {{{_CLASSIFY_INPUT}}} and {{{_CLASSES},{_SCORES}}}"
        )
    kind = request.input.WhichOneof("kind")
    examples = list(getattr(request.input, kind).examples) if kind else []
    if kind == "example_list_with_context":
        context = request.input.example_list_with_context.context
        for number, own in enumerate(examples):  # an example's own features go before the context's
            examples[number] = type(own)()
            examples[number].MergeFrom(context)
            examples[number].MergeFrom(own)
    if not examples:
        raise build_invalid_error("Input is empty")
    serialized = np.array([example.SerializeToString() for example in examples], object)
    _check_images(serialized, max_pixels)
    outputs = tuple(each for each in (_CLASSES, _SCORES) if each in signature.outputs)
    return CheckedRequest(name, {_CLASSIFY_INPUT: serialized}, len(examples), outputs)


def build_predict_response(outputs: Mapping[str, np.ndarray], names: Iterable[str]) -> predict_pb2.PredictResponse:
    """Builds a PredictResponse without its model spec."""
    return predict_pb2.PredictResponse(outputs={name: tf.make_tensor_proto(outputs[name]) for name in names})


def build_classify_response(outputs: Mapping[str, np.ndarray]) -> classification_pb2.ClassificationResponse:
    """Builds a ClassificationResponse without its model spec: the classes of each example in the model's order."""
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    shape = (classes if classes is not None else scores).shape  # type: ignore[union-attr]  # one of them is there
    response = classification_pb2.ClassificationResponse()
    for row in range(shape[0]):
        found = response.result.classifications.add()
        for column in range(shape[1]):
            entry = found.classes.add()
            if classes is not None:
                entry.label = classes[row, column]
            if scores is not None:
                entry.score = scores[row, column]
    return response


def _get_signature_name(spec: model_pb2.ModelSpec) -> str:
    return spec.signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def _check_names(sent: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    if len(sent) != len(wanted):
        extra, missing = set(sent) - set(wanted), set(wanted) - set(sent)
        raise build_invalid_error(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({_format_set(sent)}) != "
            f"len({_format_set(wanted)}). Sent extra: {_format_set(extra)}. "
            f"Missing but required: {_format_set(missing)}."
        )
    for alias in sent:
        if alias not in wanted:
            raise build_invalid_error(
                f"input tensor alias not found in signature: {alias}. "
                f"Inputs expected to be in the set {_format_set(wanted)}."
            )


def _read_array(
    alias: str, tensor: tensor_pb2.TensorProto, signature: meta_graph_pb2.SignatureDef, max_pixels: int
) -> np.ndarray:
    """Returns one input, checked against the signature."""
    wanted = signature.inputs[alias]
    if tensor.dtype != wanted.dtype:
        sent, needed = (
            tf.dtypes.as_dtype(number).name if number else "nothing" for number in (tensor.dtype, wanted.dtype)
        )
        raise build_invalid_error(f"input {alias}: expects it to be {needed} but {sent} is provided")
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    expected = [dimension.size for dimension in wanted.tensor_shape.dim]
    fits = len(shape) == len(expected) and all(e in (-1, s) for s, e in zip(shape, expected, strict=True))
    if not wanted.tensor_shape.unknown_rank and not fits:
        raise build_invalid_error(
            f"input {alias}: its shape is {shape}; the signature takes {expected}, -1 being any number"
        )
    if min(shape, default=0) < 0 or math.prod(shape) > 3 * max_pixels:
        raise build_invalid_error(
            f"input {alias}: its shape {shape} is more than this server takes ({max_pixels} pixels)"
        )
    if wanted.dtype == tf.string.as_datatype_enum and len(tensor.string_val) != math.prod(shape):
        raise build_invalid_error(
            f"tensor parsing error: {alias}: {len(tensor.string_val)} strings for the shape {shape}"
        )
    try:
        array = tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise build_invalid_error(f"tensor parsing error: {alias}: {error}") from None
    if array.dtype == object:
        _check_images(array, max_pixels)
    return array


def _count_rows(inputs: Mapping[str, np.ndarray]) -> int:
    rows = {array.shape[0] if array.ndim else None for array in inputs.values()}
    if None in rows:
        raise build_invalid_error("input tensors must have at least one dimension")
    if len(rows) > 1:
        raise build_invalid_error("input tensors must have equal 0th-dimension size")
    (count,) = rows or {0}
    if not count:
        raise build_invalid_error("the batch is empty: send at least one image")
    return int(count or 0)


def _check_images(values: np.ndarray, max_pixels: int) -> None:
    """Rejects images, also those in tf.Examples, whose headers promise too many pixels; nothing is decoded for it."""
    for number, value in enumerate(values.ravel()):
        for encoded in _read_encoded_images(value):
            if images.count_promised_pixels(encoded) > max_pixels:
                raise build_invalid_error(
                    f"image {number}: its header promises more than the {max_pixels} pixels that this server takes"
                )


def _read_encoded_images(value: bytes) -> list[bytes]:
    try:
        return tfrecord.list_bytes(value)
    except DecodeError:
        return [value]


def _format_set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
