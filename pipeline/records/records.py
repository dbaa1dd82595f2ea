"""The records that ingest writes: their features, and the schema that describes them."""

from collections.abc import Sequence

from google.protobuf import text_format
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
