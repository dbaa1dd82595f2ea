"""Proof that a TFLite file computes in integers only.

The converter does not give it: even with `TFLITE_BUILTINS_INT8` alone it leaves an op that it cannot
quantize in float, without saying so. So the written file itself is read.
"""

from collections.abc import Iterator
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from atelier.errors import AtelierError
from components.tflite_exporter.flatbuffer import read_op_name, read_tensor_name, unpack

_FLOAT_TYPES = {
    getattr(schema.TensorType, name): name
    for name in ("FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16", "COMPLEX64", "COMPLEX128")
    if hasattr(schema.TensorType, name)
}


class NotFullyQuantizedError(AtelierError):
    """A file that should compute in integers only does not; the message names the ops."""


def prove_int8(file: Path) -> None:
    """Checks every tensor of every op, and that images and probabilities are uint8.

    Raises:
      NotFullyQuantizedError: names each op that reads or writes floats, and each border that is not uint8.
    """
    model = unpack(file.read_bytes())
    faults = [fault for graph in model.subgraphs for fault in _find_faults(model, graph)]
    if faults:
        raise NotFullyQuantizedError(f"{file.name} is not fully INT8: {'; '.join(faults)}")


def _find_faults(model: schema.ModelT, graph: schema.SubGraphT) -> Iterator[str]:
    for border, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in indices:
            if graph.tensors[index].type != schema.TensorType.UINT8:
                yield f"{border} {_name(graph, index)} is not uint8"
    for operator in graph.operators:
        # -1 stands for an optional tensor that is not there.
        touched = [index for index in (*operator.inputs, *operator.outputs) if index >= 0]
        floats = [index for index in touched if graph.tensors[index].type in _FLOAT_TYPES]
        if floats:
            kind = _FLOAT_TYPES[graph.tensors[floats[0]].type]
            yield f"op {read_op_name(model, operator)} computes in {kind} ({_name(graph, floats[0])})"


def _name(graph: schema.SubGraphT, index: int) -> str:
    return read_tensor_name(graph.tensors[index]) or f"tensor {index}"
