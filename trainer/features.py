"""Names of what Transform gives, and what the class ids mean.

The names of the raw records are configuration (`data.image_key`, `data.label_key`); these are not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2

from atelier import layout
from trainer.images import lossless

IMAGE = "image_xf"
"""[N] string: the preprocessed image, losslessly encoded (`lossless.encode`)."""
LABEL = "label_xf"
"""[N] int64 class id."""
PIXEL_MEAN = "pixel_mean_xf"
"""[N, 3] float32: the training split's mean by channel, 0-255, the same in every row."""
PIXEL_VARIANCE = "pixel_variance_xf"
"""[N, 3] float32: the training split's variance by channel, the same in every row."""

DECODER = "decoder"
"""Attribute of Transform's SavedModel: the `ops.Decoder` that its images went through."""

LABEL_COUNTS = "label_counts"
"""Transform's asset: a line `count label` for each label of the training split."""
LABEL_VOCABULARY = "label_vocabulary"
"""Transform's asset where labels are strings: a label a line, line number = id."""
LABEL_TEXT = layout.CLASS_NAME
"""Raw feature whose string domain, in the schema that ingest writes, lists the class names in the order of ids."""


def parse_transformed(record: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses a serialized record that Transform wrote.

    Args:
      record: [] string.
      size: side of the stored images in pixels.

    Returns:
      Pixels [size, size, 3] uint8 RGB, and the label [] int64.
    """
    spec = {IMAGE: tf.io.FixedLenFeature([], tf.string), LABEL: tf.io.FixedLenFeature([], tf.int64)}
    row = tf.io.parse_single_example(record, spec)
    return lossless.decode(row[IMAGE], size), row[LABEL]


class Classes(NamedTuple):
    """What the class ids mean, and how often each is trained on."""

    names: list[str]
    counts: list[int]


def read_classes(
    schema: schema_pb2.Schema,
    label_key: str,
    transform_output: tft.TFTransformOutput,
    names: Sequence[str] = (),
    text_key: str = LABEL_TEXT,
) -> Classes:
    """Returns names and numbers of training images by class id.

    Where the names are not known before the run, they are the label's own values where labels are strings, those of
    the schema where it lists as many as it has ids, and the ids themselves otherwise. A schema that was inferred from
    data lists names by the alphabet and says nothing about ids.

    Args:
      schema: of the raw examples.
      label_key: of the label in them.
      transform_output: Transform's, with its vocabularies.
      names: by class id, if they are known.
      text_key: of the name beside an id, in the raw examples.

    Raises:
      ValueError: a label of the training split lies outside of the classes that the schema names.
    """
    counts = _read_label_counts(transform_output.vocabulary_file_by_name(LABEL_COUNTS))
    features = {feature.name: feature for feature in schema.feature}
    if features[label_key].type == schema_pb2.BYTES:
        names = names or [name.decode() for name in transform_output.vocabulary_by_name(LABEL_VOCABULARY)]
        return Classes(list(names), [counts.get(name, 0) for name in names])
    highest = max(map(int, counts))
    ids = max(highest, features[label_key].int_domain.max) + 1
    if not names and text_key in features and features[label_key].HasField("int_domain"):
        listed = _find_string_domain(schema, features[text_key])
        names = listed if len(listed) == features[label_key].int_domain.max + 1 else ()
    names = list(names) or [str(number) for number in range(ids)]
    if highest >= len(names) or min(map(int, counts)) < 0:
        raise ValueError(
            f"{label_key}: the training split holds the labels {', '.join(sorted(counts))}, but there "
            f"are {len(names)} classes, ids 0 to {len(names) - 1}; ingest the data again"
        )
    return Classes(names, [counts.get(str(number), 0) for number in range(len(names))])


def _read_label_counts(path: str) -> dict[str, int]:
    # Not `splitlines`: it also ends a line at characters that a label may have.
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().removesuffix("\n").split("\n")
    return {label: int(count) for count, _, label in (line.partition(" ") for line in lines)}


def _find_string_domain(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> list[str]:
    if feature.HasField("string_domain"):
        return list(feature.string_domain.value)
    for domain in schema.string_domain:
        if feature.HasField("domain") and domain.name == feature.domain:
            return list(domain.value)
    return []
