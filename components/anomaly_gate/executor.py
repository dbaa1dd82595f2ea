"""The work of AnomalyGate."""

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from atelier.errors import AtelierError


class AnomaliesFoundError(AtelierError):
    """The data is not what the schema says; the message lists every anomaly."""


def check(anomalies: types.Artifact, passed: types.Artifact) -> None:
    """Copies `anomalies` to `passed` if no split has one.

    Raises:
      AnomaliesFoundError: names split, feature and reason of each anomaly.
    """
    found = [
        f"{split}: {line}"
        for split in artifact_utils.decode_split_names(anomalies.split_names)
        for line in describe(_read(artifact_utils.get_split_uri([anomalies], split)))
    ]
    if found:
        raise AnomaliesFoundError("the data does not match its schema:\n" + "\n".join(f"  {line}" for line in found))
    passed.split_names = anomalies.split_names
    io_utils.copy_dir(anomalies.uri, passed.uri)


def describe(anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """One line an anomaly: the feature, and what is wrong with it."""
    lines = [
        f"{feature}: {reason.short_description}: {reason.description}"
        for feature, info in sorted(anomalies.anomaly_info.items())
        for reason in info.reason or [info]
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        info = anomalies.dataset_anomaly_info
        lines += [f"data set: {reason.description}" for reason in info.reason or [info]]
    if anomalies.data_missing:
        lines.append("data set: it holds no examples")
    return lines


def _read(split_uri: str) -> anomalies_pb2.Anomalies:
    with fileio.open(io_utils.get_only_uri_in_dir(split_uri), "rb") as file:
        return anomalies_pb2.Anomalies.FromString(file.read())
