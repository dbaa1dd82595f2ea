"""tf.Example in TFRecord files, without TensorFlow, which would cost every Beam worker seconds.

Example is a small, frozen message.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet

from atelier.errors import AtelierError

Value = bytes | str | int | float

_FEATURE_LISTS = 2
"""Number of the field that a tf.SequenceExample has beside its context; that one's number is a tf.Example's own."""
_MAGIC = {b"\x1f\x8b": "GZIP", b"BZh": "BZIP2", b"\x28\xb5\x2f\xfd": "Zstandard", b"\xfd7zXZ": "XZ"}
_WRITE_AGAIN = "write the file again, without compression or with GZIP and a name that ends in .gz"
_REMEDIES = {
    "GZIP": "let its name end in .gz",
    **dict.fromkeys(("ZLIB", "BZIP2", "Zstandard", "XZ"), _WRITE_AGAIN),
}
_COMPRESSED_OTHERWISE = {
    False: "its content is not compressed: take .gz off its name",
    True: f"its content is compressed otherwise: {_WRITE_AGAIN}",
}


class DamagedError(AtelierError):
    """A TFRecord file that is cut short or changed."""


class CompressionError(DamagedError):
    """A TFRecord file whose compression and name do not agree; the message says the remedy."""


def serialize_example(values: Mapping[str, Value]) -> bytes:
    """Serializes a tf.Example with one value a feature; the same values always give the same bytes."""
    message = _Example()
    for name, value in values.items():
        feature = message.features.feature[name]
        if isinstance(value, int):
            feature.int64_list.value.append(value)
        elif isinstance(value, float):
            feature.float_list.value.append(value)
        else:
            feature.bytes_list.value.append(value.encode("utf-8") if isinstance(value, str) else value)
    return message.SerializeToString(deterministic=True)


def read_first_bytes(record: bytes, name: str) -> bytes | None:
    """The first value of a bytes feature of a serialized tf.Example; None if it has none."""
    features = _Example.FromString(record).features.feature
    values = features[name].bytes_list.value if name in features else []
    return values[0] if values else None


def list_bytes(record: bytes) -> list[bytes]:
    """Every value of every bytes feature of a serialized tf.Example.

    Raises:
      google.protobuf.message.DecodeError: it is none.
    """
    features = _Example.FromString(record).features.feature.values()
    return [value for feature in features for value in feature.bytes_list.value]


def parse(record: bytes) -> Any:
    """The message of a serialized tf.Example.

    Raises:
      google.protobuf.message.DecodeError: it is none.
    """
    return _Example.FromString(record)


def is_sequence_example(example: Any) -> bool:
    """Whether what `parse` returns was a tf.SequenceExample, whose context is read as the features of a tf.Example."""
    return any(field.field_number == _FEATURE_LISTS for field in UnknownFieldSet(example))


def is_gzip(file: Path) -> bool:
    """Whether the file counts as compressed: Beam, which reads it in the pipeline, goes by the name."""
    return file.name.lower().endswith(".gz")


def read_file(file: Path) -> Iterator[bytes]:
    """Yields the records of a file, which is decompressed where its name ends in `.gz`.

    Raises:
      CompressionError: the file is not compressed as its name says.
      DamagedError: as `read` does.
      OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        start = stream.read(12)
        stream.seek(0)
        kind = _detect_compression(start)
        if not is_gzip(file):
            if kind:
                raise CompressionError(f"it is compressed with {kind}: {_REMEDIES[kind]}")
            yield from read(stream)
            return
        if start and kind != "GZIP":
            raise CompressionError(f"its name ends in .gz, but {_COMPRESSED_OTHERWISE[bool(kind)]}")
        try:
            with gzip.GzipFile(fileobj=stream) as decompressed:
                yield from read(cast(BinaryIO, decompressed))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise DamagedError("its GZIP data is damaged or cut short") from None


def write(stream: BinaryIO, data: bytes) -> int:
    """Appends one record (length, its checksum, data, its checksum) and returns the bytes written."""
    length = struct.pack("<Q", len(data))
    stream.write(length + _compute_checksum(length) + data + _compute_checksum(data))
    return len(data) + 16


def read(stream: BinaryIO) -> Iterator[bytes]:
    """Yields the records of a decompressed stream.

    Raises:
      DamagedError: a checksum is wrong, or the last record is cut short.
    """
    while header := stream.read(12):
        if len(header) < 12 or header[8:] != _compute_checksum(header[:8]):
            raise DamagedError("a record's length is damaged")
        (length,) = struct.unpack("<Q", header[:8])
        data, check = stream.read(length), stream.read(4)
        if len(data) < length or check != _compute_checksum(data):
            raise DamagedError("a record is damaged or cut short")
        yield data


def _detect_compression(start: bytes) -> str:
    """Returns what the first 12 bytes of a file are compressed with; "" if they begin a record, or anything else."""
    if len(start) == 12 and start[8:] == _compute_checksum(start[:8]):
        return ""
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    is_zlib = start[:1] == b"\x78" and int.from_bytes(start[:2], "big") % 31 == 0
    return "ZLIB" if is_zlib else ""


def _compute_checksum(data: bytes) -> bytes:
    """Returns TFRecord's masked CRC-32C."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _build_example_classes() -> dict[str, Any]:
    """Builds the messages of tensorflow/core/example/example.proto, by name, in a pool apart from TensorFlow's."""
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
    descriptors = [pool.FindMessageTypeByName(f"tensorflow.{message.name}") for message in file.message_type]
    descriptors += [nested for descriptor in descriptors for nested in descriptor.nested_types]
    return {descriptor.name: message_factory.GetMessageClass(descriptor) for descriptor in descriptors}


_CLASSES = _build_example_classes()
"""All of them, those of the parts included: protobuf keeps none alive. It makes the class of a part whenever a message
has one, and where threads parse at once, one takes what the garbage collector of another is taking apart: a crash."""
_Example = _CLASSES["Example"]
