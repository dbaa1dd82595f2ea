"""Puts TFLite metadata into a TFLite file: what its tensors mean, and files such as the names of the classes.

MediaPipe Tasks, Android Studio and other readers look for two things. The model's entry `TFLITE_METADATA` is a
FlatBuffer of TensorFlow's `metadata_schema.fbs`, which describes each tensor and names the files that belong to it.
The files themselves form a zip archive behind the model. LiteRT runs such a file as any other.

Google's writer of it is part of `mediapipe`, which does not go with TFX, and fails to import there.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from components.tflite_exporter.flatbuffer import finish, pack, unpack

ENTRY = "TFLITE_METADATA"
_METADATA_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.0.0"
"""The oldest reader that knows all that is written here."""

# Values of the schema's enumerations and unions.
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_RGB = 1
_NORMALIZATION = 1
_TENSOR_AXIS_LABELS = 2


@dataclass(frozen=True)
class Tensor:
    """What an input or an output means."""

    name: str
    description: str
    low: float
    """The lowest value."""
    high: float
    """The highest value."""
    image: bool = False
    """RGB pixels from `low` to `high`, to which nothing is added and which nothing divides."""
    labels: str | None = None
    """The file that names what stands along the last axis, a name a line."""


def attach_metadata(
    model: bytes,
    *,
    name: str,
    description: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    files: Mapping[str, bytes],
) -> bytes:
    """Returns the model with its metadata. Equal arguments give equal bytes.

    Args:
      model: a TFLite file without metadata.
      name: of the model, for people.
      description: of the model, for people.
      inputs: in the model's order.
      outputs: in the model's order.
      files: content by name; those of `Tensor.labels`, and any others.

    Raises:
      ValueError: the tensors are not as many as the model's, or the file of a tensor's labels is missing.
    """
    unpacked = unpack(model)
    graph = unpacked.subgraphs[0]
    if (len(graph.inputs), len(graph.outputs)) != (len(inputs), len(outputs)):
        raise ValueError(
            f"{len(inputs)} inputs and {len(outputs)} outputs are described; the model has {len(graph.inputs)} and "
            f"{len(graph.outputs)}"
        )
    if missing := {tensor.labels for tensor in (*inputs, *outputs) if tensor.labels} - set(files):
        raise ValueError(f"{', '.join(sorted(missing))}: a tensor's labels, but not among the files")

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_describe(name, description, inputs, outputs, files), np.uint8)
    unpacked.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, len(unpacked.buffers) - 1
    unpacked.metadata = [*(unpacked.metadata or []), entry]

    written = io.BytesIO(pack(unpacked))
    written.seek(0, io.SEEK_END)
    _zip(written, files)
    return written.getvalue()


def _zip(stream: io.BytesIO, files: Mapping[str, bytes]) -> None:
    """Appends an archive. Readers of metadata take stored files only; the date is fixed, so that bytes do not vary."""
    with zipfile.ZipFile(stream, "w") as archive:
        for file, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(file, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _describe(
    name: str, description: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], files: Mapping[str, bytes]
) -> bytes:
    """The table ModelMetadata. Here and below, numbers are the places of fields in the schema."""

    def build(builder: flatbuffers.Builder) -> int:
        ours = {tensor.labels for tensor in (*inputs, *outputs)}
        described = [[_build_tensor(builder, tensor) for tensor in side] for side in (inputs, outputs)]
        sides = [_build_vector(builder, tensors) for tensors in described]
        graph = _build_table(builder, {2: sides[0], 3: sides[1]})
        others = [_build_file(builder, file) for file in sorted(files) if file not in ours]
        return _build_table(
            builder,
            {
                0: builder.CreateString(name),
                1: builder.CreateString(description),
                3: _build_vector(builder, [graph]),
                6: _build_vector(builder, others),
                7: builder.CreateString(_PARSER_VERSION),
            },
        )

    return finish(build, _METADATA_IDENTIFIER)


def _build_tensor(builder: flatbuffers.Builder, tensor: Tensor) -> int:
    """TensorMetadata."""
    properties = _build_table(builder, {}, {0: _RGB} if tensor.image else {})
    content = _build_table(builder, {1: properties}, {0: _IMAGE_PROPERTIES if tensor.image else _FEATURE_PROPERTIES})
    stats = _build_table(builder, {0: _build_floats(builder, tensor.high), 1: _build_floats(builder, tensor.low)})
    fields = {
        0: builder.CreateString(tensor.name),
        1: builder.CreateString(tensor.description),
        3: content,
        5: stats,
    }
    if tensor.image:
        options = _build_table(
            builder, {0: _build_floats(builder, 0.0), 1: _build_floats(builder, 1.0)}
        )  # mean and deviation
        fields[4] = _build_vector(builder, [_build_table(builder, {1: options}, {0: _NORMALIZATION})])
    if tensor.labels:
        fields[6] = _build_vector(builder, [_build_file(builder, tensor.labels, _TENSOR_AXIS_LABELS)])
    return _build_table(builder, fields)


def _build_file(builder: flatbuffers.Builder, name: str, kind: int = 0) -> int:
    """AssociatedFile."""
    return _build_table(builder, {0: builder.CreateString(name)}, {2: kind})


def _build_table(
    builder: flatbuffers.Builder, offsets: Mapping[int, int], enums: Mapping[int, int] | None = None
) -> int:
    enums = enums or {}
    builder.StartObject(max([*offsets, *enums], default=-1) + 1)
    for place, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(place, offset, 0)
    for place, value in enums.items():
        builder.PrependUint8Slot(place, value, 0)
    return builder.EndObject()


def _build_vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _build_floats(builder: flatbuffers.Builder, value: float) -> int:
    return builder.CreateNumpyVector(np.array([value], np.float32))
