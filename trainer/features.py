"""Names of what Transform gives, and what the class ids mean.

The names of the raw records are configuration (`data.image_key`, `data.label_key`); these are not.
"""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2

IMAGE = "image_xf"
"""[N] string: the preprocessed picture, losslessly encoded (`image_ops.encode_lossless`)."""
LABEL = "label_xf"
"""[N] int64 class id."""
PIXEL_MEAN = "pixel_mean_xf"
"""[N, 3] float32: the training split's mean by channel, 0-255, the same in every row."""
PIXEL_VARIANCE = "pixel_variance_xf"
"""[N, 3] float32: the training split's variance by channel, the same in every row."""

LABEL_COUNTS = "label_counts"
"""Transform's asset: a line `count label` for each label of the training split."""
LABEL_VOCABULARY = "label_vocabulary"
"""Transform's asset where labels are strings: a label a line, line number = id."""
LABEL_TEXT = "image/class/text"
"""Raw feature whose string domain in the schema lists the class names in the order of their ids."""


class Classes(NamedTuple):
    """What the class ids mean, and how often each is trained on."""

    names: list[str]
    counts: list[int]


def classes(schema: schema_pb2.Schema, label_key: str, transform_output: tft.TFTransformOutput) -> Classes:
    """Names and training pictures by class id.

    The names are the label's own values where labels are strings, those of the schema where it has
    them, and the ids themselves otherwise.

    Raises:
      ValueError: a label of the training split lies outside of the classes that the schema names.
    """
    counts = _label_counts(transform_output.vocabulary_file_by_name(LABEL_COUNTS))
    features = {feature.name: feature for feature in schema.feature}
    if features[label_key].type == schema_pb2.BYTES:
        names = [name.decode() for name in transform_output.vocabulary_by_name(LABEL_VOCABULARY)]
        return Classes(names, [counts[name] for name in names])
    highest = max(map(int, counts))
    names = _string_domain(schema, features[LABEL_TEXT]) if LABEL_TEXT in features else []
    if not names:
        names = [str(number) for number in range(max(highest, features[label_key].int_domain.max) + 1)]
    if highest >= len(names) or min(map(int, counts)) < 0:
        raise ValueError(
            f"{label_key}: the training split holds the labels {', '.join(sorted(counts))}, but the schema "
            f"names {len(names)} classes, ids 0 to {len(names) - 1}; ingest the data again"
        )
    return Classes(names, [counts.get(str(number), 0) for number in range(len(names))])


def _label_counts(path: str) -> dict[str, int]:
    # Not `splitlines`: it also ends a line at characters that a label may have.
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().removesuffix("\n").split("\n")
    return {label: int(count) for count, _, label in (line.partition(" ") for line in lines)}


def _string_domain(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> list[str]:
    if feature.HasField("string_domain"):
        return list(feature.string_domain.value)
    for domain in schema.string_domain:
        if feature.HasField("domain") and domain.name == feature.domain:
            return list(domain.value)
    return []
