"""What the class ids mean, from the schema and from what Transform counted."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline.records import records
from tests.deferred import deferred_imports
from tests.trainer.tiny_classes import CLASSES, TRAIN_COUNTS

with deferred_imports():
    from tests.trainer import tiny_data
    from trainer import features

pytestmark = pytest.mark.slow


class Vocabularies:
    """The two assets that `classes` asks Transform's output for."""

    def __init__(self, folder, **content):
        self._folder = folder
        for name, text in content.items():
            (folder / name).write_text(text, encoding="utf-8")

    def vocabulary_file_by_name(self, name):
        return str(self._folder / name)

    def vocabulary_by_name(self, name):
        return (self._folder / name).read_bytes().removesuffix(b"\n").split(b"\n")


def parse_schema(text):
    return text_format.Parse(text, schema_pb2.Schema())


INTEGERS = 'feature { name: "label" type: INT }'
COUNTED = 'feature { name: "label" type: INT int_domain { max: 1 } }'
TEXTS = 'feature { name: "label" type: BYTES }'


def test_names_come_from_the_schema_that_ingest_writes(tmp_path):
    written = parse_schema(records.build_schema(["big cat", "dog", "Käfer"]))
    found = features.read_classes(written, "image/class/label", Vocabularies(tmp_path, label_counts="30 1\n7 0\n"))
    assert found == features.Classes(["big cat", "dog", "Käfer"], [7, 30, 0])


def test_a_shared_domain_of_the_schema_is_found_by_its_name(tmp_path):
    shared = parse_schema(
        COUNTED + 'feature { name: "image/class/text" type: BYTES domain: "kinds" }'
        'string_domain { name: "others" value: "x" } string_domain { name: "kinds" value: "a" value: "b" }'
    )
    found = features.read_classes(shared, "label", Vocabularies(tmp_path, label_counts="2 0\n1 1\n"))
    assert found == features.Classes(["a", "b"], [2, 1])


@pytest.mark.parametrize("label", [INTEGERS, 'feature { name: "label" type: INT int_domain { max: 2 } }'])
def test_names_of_a_schema_that_does_not_count_the_ids_are_not_theirs(tmp_path, label):
    # As TFDV infers it: the names by the alphabet, the ids without a domain.
    inferred = parse_schema(
        label + 'feature { name: "image/class/text" type: BYTES string_domain { value: "negative" value: "positive" } }'
    )
    found = features.read_classes(inferred, "label", Vocabularies(tmp_path, label_counts="2 0\n1 1\n1 2\n"))
    assert found.names == ["0", "1", "2"]


def test_names_that_are_known_go_before_those_of_the_schema(tmp_path):
    written = parse_schema(records.build_schema(["a", "b"]))
    vocabularies = Vocabularies(tmp_path, label_counts="30 1\n7 0\n")
    found = features.read_classes(written, "image/class/label", vocabularies, names=["positive", "negative"])
    assert found == features.Classes(["positive", "negative"], [7, 30])


def test_texts_that_are_known_have_their_ids_in_that_order(tmp_path):
    vocabularies = Vocabularies(tmp_path, label_counts="5 zebra\n4 apple\n")
    found = features.read_classes(parse_schema(TEXTS), "label", vocabularies, names=["apple", "zebra", "yak"])
    assert found == features.Classes(["apple", "zebra", "yak"], [4, 5, 0])


def test_the_key_of_the_names_is_configured(tmp_path):
    named = parse_schema(COUNTED + 'feature { name: "kind" type: BYTES string_domain { value: "b" value: "a" } }')
    vocabularies = Vocabularies(tmp_path, label_counts="2 0\n1 1\n")
    assert features.read_classes(named, "label", vocabularies, text_key="kind").names == ["b", "a"]


def test_texts_get_the_ids_of_the_vocabulary(tmp_path):
    # Counts and ids are sorted apart: the names tell which count is whose. U+2028 ends a line only for Python.
    vocabularies = Vocabularies(
        tmp_path, label_counts="5 big cat\n4 a\u2028b\n4 Käfer\n", label_vocabulary="Käfer\nbig cat\na\u2028b\n"
    )
    found = features.read_classes(parse_schema(TEXTS), "label", vocabularies)
    assert found == features.Classes(["Käfer", "big cat", "a\u2028b"], [4, 5, 4])


@pytest.mark.parametrize(
    ("described", "counts", "names"),
    [
        (INTEGERS, [3, 0, 9], ["0", "1", "2"]),
        # The schema may know of more classes than were drawn.
        ('feature { name: "label" type: INT int_domain { max: 3 } }', [3, 0, 9, 0], ["0", "1", "2", "3"]),
        # And its text feature may have no domain.
        (INTEGERS + 'feature { name: "image/class/text" type: BYTES }', [3, 0, 9], ["0", "1", "2"]),
    ],
)
def test_without_names_the_ids_are_the_names(tmp_path, described, counts, names):
    found = features.read_classes(parse_schema(described), "label", Vocabularies(tmp_path, label_counts="9 2\n3 0\n"))
    assert found == features.Classes(names, counts)


@pytest.mark.parametrize(("stray", "listed"), [("3", "1, 3"), ("-1", "-1, 1")])
def test_a_label_outside_of_the_named_classes_is_refused(tmp_path, stray, listed):
    written = parse_schema(records.build_schema(["a", "b", "c"]))
    vocabularies = Vocabularies(tmp_path, label_counts=f"30 1\n1 {stray}\n")
    with pytest.raises(ValueError, match=rf"image/class/label: .* the labels {listed}, .* 3 classes, ids 0 to 2"):
        features.read_classes(written, "image/class/label", vocabularies)


def test_real_output_of_transform(transformed):
    written = tiny_data.parse_schema(transformed.schema_file)
    found = features.read_classes(written, "image/class/label", transformed.output)
    assert found == features.Classes(list(CLASSES), list(TRAIN_COUNTS))


def test_real_output_of_transform_with_texts(text_transformed):
    written = tiny_data.parse_schema(text_transformed.schema_file)
    found = features.read_classes(written, "kind", text_transformed.output)
    # Transform numbers by frequency.
    assert found == features.Classes(["big cat", "Käfer"], [3, 2])
