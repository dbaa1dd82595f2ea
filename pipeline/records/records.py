"""The records that ingest writes: their features, and the schema that describes them."""

from collections.abc import Sequence

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from atelier import layout

FEATURES = {
    layout.ENCODED_IMAGE: schema_pb2.BYTES,
    layout.CLASS_ID: schema_pb2.INT,
    layout.CLASS_NAME: schema_pb2.BYTES,
    layout.IMAGE_FORMAT: schema_pb2.BYTES,
    layout.IMAGE_FILE: schema_pb2.BYTES,
    layout.IMAGE_HEIGHT: schema_pb2.INT,
    layout.IMAGE_WIDTH: schema_pb2.INT,
}
"""Every record has exactly these features, each with one value."""


def build_schema(labels: Sequence[str]) -> str:
    """Builds the schema of the records, in text format.

    Args:
      labels: the classes' names in the order of their ids; downstream nodes read the names from here.
    """
    message = schema_pb2.Schema()
    for name, kind in FEATURES.items():
        feature = message.feature.add(name=name, type=kind)
        feature.presence.min_fraction = 1.0
        feature.presence.min_count = 1
        feature.shape.SetInParent()  # no dimensions: exactly one value
        if name == layout.CLASS_ID:
            feature.int_domain.CopyFrom(
                schema_pb2.IntDomain(name=name, min=0, max=len(labels) - 1, is_categorical=True)
            )
        elif name == layout.CLASS_NAME:
            feature.string_domain.CopyFrom(schema_pb2.StringDomain(name=name, value=labels))
        elif name == layout.IMAGE_FORMAT:
            feature.string_domain.CopyFrom(schema_pb2.StringDomain(name=name, value=["jpeg", "png"]))
    return text_format.MessageToString(message)
