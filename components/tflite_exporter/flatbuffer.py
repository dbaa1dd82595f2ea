"""Reads and writes TFLite files by their schema, without TensorFlow."""

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_MODEL_IDENTIFIER = b"TFL3"
_OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def unpack(content: bytes) -> schema.ModelT:
    """Reads a TFLite file; what follows the model in the file is left out."""
    return schema.ModelT.InitFromPackedBuf(content, 0)


def pack(model: schema.ModelT) -> bytes:
    """Writes a TFLite file."""
    return finish(model.Pack, _MODEL_IDENTIFIER)


def finish(build: Callable[[flatbuffers.Builder], int], identifier: bytes) -> bytes:
    """Writes a FlatBuffer, whose root table `build` makes."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(build(builder), identifier)
    return bytes(builder.Output())


def read_op_name(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """The op as the schema calls it, such as CONV_2D."""
    code = model.operatorCodes[operator.opcodeIndex]
    return _OP_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def read_tensor_name(tensor: schema.TensorT) -> str:
    """The tensor's name; "" if it has none."""
    return tensor.name.decode() if tensor.name else ""


def read_constant(model: schema.ModelT, tensor: schema.TensorT, dtype: Any) -> np.ndarray:
    """A constant tensor of the shape that the model tells."""
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)


def write_constant(model: schema.ModelT, tensor: schema.TensorT, values: np.ndarray) -> None:
    """Replaces a constant tensor by another of the same shape and type."""
    model.buffers[tensor.buffer].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
