"""The records that ingest writes: tf.Example in TFRecord files, and the schema that describes them.

TensorFlow is not imported: it would cost every Beam worker seconds, and Example is a small, frozen message.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_metadata.proto.v0 import schema_pb2

FEATURES = {
    "image/encoded": schema_pb2.BYTES,
    "image/class/label": schema_pb2.INT,
    "image/class/text": schema_pb2.BYTES,
    "image/format": schema_pb2.BYTES,
    "image/filename": schema_pb2.BYTES,
    "image/height": schema_pb2.INT,
    "image/width": schema_pb2.INT,
}
"""Every record has exactly these features, each with one value."""


def example(values: Mapping[str, bytes | str | int]) -> bytes:
    """Serializes a tf.Example with one value a feature; the same values always give the same bytes."""
    message = _Example()
    for name, value in values.items():
        feature = message.features.feature[name]
        if isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value.encode("utf-8") if isinstance(value, str) else value)
    return message.SerializeToString(deterministic=True)


def write_record(stream: BinaryIO, data: bytes) -> int:
    """Appends one TFRecord (length, its checksum, data, its checksum) and returns the bytes written."""
    length = struct.pack("<Q", len(data))
    stream.write(length + _checksum(length) + data + _checksum(data))
    return len(data) + 16


def schema(labels: Sequence[str]) -> str:
    """The schema of the records, in text format.

    Args:
      labels: the classes' names in the order of their ids; downstream nodes read the names from here.
    """
    message = schema_pb2.Schema()
    for name, kind in FEATURES.items():
        feature = message.feature.add(name=name, type=kind)
        feature.presence.min_fraction = 1.0
        feature.presence.min_count = 1
        feature.shape.SetInParent()  # no dimensions: exactly one value
        if name == "image/class/label":
            feature.int_domain.CopyFrom(
                schema_pb2.IntDomain(name=name, min=0, max=len(labels) - 1, is_categorical=True)
            )
        elif name == "image/class/text":
            feature.string_domain.CopyFrom(schema_pb2.StringDomain(name=name, value=labels))
        elif name == "image/format":
            feature.string_domain.CopyFrom(schema_pb2.StringDomain(name=name, value=["jpeg", "png"]))
    return text_format.MessageToString(message)


def _checksum(data: bytes) -> bytes:
    """TFRecord's masked CRC-32C."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _example_class() -> Any:
    """tensorflow/core/example/example.proto, in a pool of its own beside TensorFlow's."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def add(message: Any, number: int, name: str, kind: int, type_name: str | None = None, **options: int) -> None:
        options.setdefault("label", field.LABEL_OPTIONAL)
        message.field.add(name=name, number=number, type=kind, type_name=type_name, **options)

    lists = {"bytes": (1, field.TYPE_BYTES), "float": (2, field.TYPE_FLOAT), "int64": (3, field.TYPE_INT64)}
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for name, (number, kind) in lists.items():
        message = file.message_type.add(name=f"{name.capitalize()}List")
        add(message, 1, "value", kind, label=field.LABEL_REPEATED)
        add(feature, number, f"{name}_list", field.TYPE_MESSAGE, f".tensorflow.{message.name}", oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    add(entry, 1, "key", field.TYPE_STRING)
    add(entry, 2, "value", field.TYPE_MESSAGE, ".tensorflow.Feature")
    entries = ".tensorflow.Features.FeatureEntry"
    add(features, 1, "feature", field.TYPE_MESSAGE, entries, label=field.LABEL_REPEATED)
    add(file.message_type.add(name="Example"), 1, "features", field.TYPE_MESSAGE, ".tensorflow.Features")

    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_Example = _example_class()
