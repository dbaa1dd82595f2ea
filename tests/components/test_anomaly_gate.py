"""The gate after ExampleValidator, on hand-made anomalies."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from tests.deferred import deferred_imports

with deferred_imports():
    from tfx.types import artifact_utils, standard_artifacts

    from components.anomaly_gate import executor

OUT_OF_DOMAIN = """
anomaly_info {
  key: "image/class/label"
  value {
    severity: ERROR
    short_description: "Multiple errors"
    description: "everything at once"
    reason { short_description: "Out-of-range values" description: "Unexpectedly large value: 12." }
    reason { short_description: "Column dropped" description: "Column is completely missing" }
  }
}
anomaly_info {
  key: "image/class/alt"
  value { reason { short_description: "New column" description: "New column (column in data but not in schema)" } }
}
"""


def parse(text):
    return text_format.Parse(text, anomalies_pb2.Anomalies())


@pytest.fixture
def found(tmp_path):
    """An ExampleAnomalies artifact with these anomalies by split, as ExampleValidator writes it."""

    def write(**by_split):
        artifact = standard_artifacts.ExampleAnomalies()
        artifact.uri = str(tmp_path / "anomalies")
        artifact.split_names = artifact_utils.encode_split_names(list(by_split))
        for split, text in by_split.items():
            folder = tmp_path / "anomalies" / f"Split-{split}"
            folder.mkdir(parents=True)
            (folder / "SchemaDiff.pb").write_bytes(parse(text).SerializeToString())
        return artifact

    return write


@pytest.fixture
def passed(tmp_path):
    artifact = standard_artifacts.ExampleAnomalies()
    artifact.uri = str(tmp_path / "passed")
    return artifact


def test_every_reason_is_a_line_sorted_by_feature():
    assert executor.describe(parse(OUT_OF_DOMAIN)) == [
        "image/class/alt: New column: New column (column in data but not in schema)",
        "image/class/label: Out-of-range values: Unexpectedly large value: 12.",
        "image/class/label: Column dropped: Column is completely missing",
    ]


def test_nothing_to_say_about_clean_data():
    assert executor.describe(anomalies_pb2.Anomalies()) == []


def test_an_anomaly_without_reasons_is_told_by_its_own_description():
    text = 'anomaly_info { key: "label" value { short_description: "Odd" description: "very odd" } }'
    assert executor.describe(parse(text)) == ["label: Odd: very odd"]


def test_anomalies_of_the_whole_set_count_too():
    text = 'dataset_anomaly_info { reason { description: "Too few examples." } }'
    assert executor.describe(parse(text)) == ["data set: Too few examples."]
    assert executor.describe(parse('dataset_anomaly_info { description: "Odd." }')) == ["data set: Odd."]
    assert executor.describe(parse("data_missing: true")) == ["data set: it holds no examples"]


def test_clean_splits_pass_and_leave_their_record(found, passed):
    executor.check(found(train="", eval=""), passed)
    assert artifact_utils.decode_split_names(passed.split_names) == ["train", "eval"]
    for split in ("train", "eval"):
        assert executor._read(artifact_utils.get_split_uri([passed], split)) == anomalies_pb2.Anomalies()


def test_one_bad_split_stops_with_all_of_its_anomalies(found, passed, tmp_path):
    with pytest.raises(executor.AnomaliesFoundError) as stopped:
        executor.check(found(train="", eval=OUT_OF_DOMAIN), passed)
    head, *lines = str(stopped.value).splitlines()
    assert head == "the data does not match its schema:"
    assert lines == [f"  eval: {line}" for line in executor.describe(parse(OUT_OF_DOMAIN))]
    assert not (tmp_path / "passed").exists()


def test_both_bad_splits_are_told_apart(found, passed):
    empty = "data_missing: true"
    with pytest.raises(executor.AnomaliesFoundError) as stopped:
        executor.check(found(train=empty, test=empty), passed)
    assert str(stopped.value).splitlines()[1:] == [
        "  train: data set: it holds no examples",
        "  test: data set: it holds no examples",
    ]
