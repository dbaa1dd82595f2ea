"""Reads the metrics that TFMA stored for a run, without importing TFMA, which takes half a minute."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier import tfrecord
from atelier.protobuf import build_messages

CANDIDATE = "candidate"
"""The Evaluator's name for the model of the run."""

# Numbers are those of tensorflow_model_analysis/proto/metrics_for_slice.proto and tfx_bsl's slice keys. What is in a
# `oneof` there is a plain field here: on the wire it is the same.
_MetricsForSlice = build_messages(
    """
    message Double {
      double value = 1;
    }
    message SubKey {
      Double class_id = 1;
    }
    message MetricKey {
      string name = 1;
      SubKey sub_key = 3;
      string model_name = 4;
      bool is_diff = 5;
    }
    message MetricValue {
      Double double_value = 1;
    }
    message MetricKeyAndValue {
      MetricKey key = 1;
      MetricValue value = 2;
    }
    message SingleSliceKey {
      string column = 1;
      bytes bytes_value = 2;
      float float_value = 3;
      int64 int64_value = 4;
    }
    message SliceKey {
      repeated SingleSliceKey single_slice_keys = 1;
    }
    message MetricsForSlice {
      SliceKey slice_key = 1;
      repeated MetricKeyAndValue metric_keys_and_values = 51;
    }
    """,
    "atelier.stored_metrics",
)
_NAMES = {"sparse_categorical_accuracy": "accuracy", "sparse_categorical_crossentropy": "loss"}


@dataclass(frozen=True)
class StoredMetrics:
    """Metrics of a run's model on its test split.

    Attributes:
      overall: by name.
      slices: metrics by slice, written as `feature = value`.
    """

    overall: Mapping[str, float]
    slices: Mapping[str, Mapping[str, float]]


def read_metrics(evaluation: Path) -> StoredMetrics:
    """Reads the artifact of an Evaluator.

    Args:
      evaluation: its folder; one that is gone has no metrics.

    Raises:
      DamagedError: a file in it is cut short.
    """
    overall: dict[str, float] = {}
    slices: dict[str, dict[str, float]] = {}
    for file in sorted(evaluation.glob("metrics-*.tfrecord")):
        with file.open("rb") as stream:
            for record in tfrecord.read(stream):
                entry = _MetricsForSlice["MetricsForSlice"].FromString(record)
                where = ", ".join(
                    f"{key.column} = {_format_slice_value(key)}" for key in entry.slice_key.single_slice_keys
                )
                (slices.setdefault(where, {}) if where else overall).update(_read_metrics(entry))
    return StoredMetrics(overall, slices)


def _read_metrics(entry: Any) -> dict[str, float]:
    found = {}
    for pair in entry.metric_keys_and_values:
        number = pair.value.double_value.value
        is_plain = pair.value.HasField("double_value") and not pair.key.HasField("sub_key") and not pair.key.is_diff
        if is_plain and pair.key.model_name == CANDIDATE and math.isfinite(number):
            found[_NAMES.get(pair.key.name, pair.key.name)] = number
    return found


def _format_slice_value(key: Any) -> str:
    if key.bytes_value:
        return str(key.bytes_value.decode("utf-8", "replace"))
    return str(key.float_value or key.int64_value)
