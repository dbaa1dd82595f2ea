"""Names and ids of classes that another maker's records, schema and list of labels give."""

from pathlib import Path

import pytest

from pipeline.records import class_names
from pipeline.records.class_names import Declared, Seen
from pipeline.records.labels_file import LabelError

FOLDER = Path("pets")


def resolve(*entries, names=None, schema_names=(), schema_count=None):
    """Entries are (split, label, name), or (label, name) in all three splits."""
    seen = []
    for number, entry in enumerate(entries):
        splits = [entry[0]] if len(entry) == 3 else ["train", "eval", "test"]
        label, name = entry[-2:]
        seen += [Seen(split, label, name, 1, f"{split}.tfrecord, record {number}") for split in splits]
    return class_names.resolve(
        seen, Declared(names, tuple(schema_names), schema_count), FOLDER, "image/class/label", "image/class/text"
    )


def rejection(*entries, **declared):
    with pytest.raises(LabelError) as rejected:
        resolve(*entries, **declared)
    assert "\n" not in str(rejected.value)
    return str(rejected.value)


def test_names_follow_the_ids_not_the_alphabet():
    assert resolve((1, "negative"), (0, "positive")).names == ("positive", "negative")
    # As TFDV infers it: by the alphabet.
    inferred = ["negative", "positive"]
    assert resolve((0, "positive"), (1, "negative"), schema_names=inferred).names == ("positive", "negative")
    assert resolve((0, "positive"), (1, "negative"), schema_names=inferred, schema_count=2).names[0] == "positive"


def test_an_id_may_lack_its_name_in_some_examples():
    assert resolve((0, ""), (1, "dog"), ("test", 0, "cat")).names == ("cat", "dog")


def test_ids_are_the_names_where_nothing_names_them():
    assert resolve((0, ""), (1, "")) == class_names.Classes(("0", "1"))


def test_an_id_with_two_names_is_rejected_wherever_the_second_is():
    message = rejection((0, "cat"), (1, "dog"), ("test", 1, "wolf"))
    assert message.startswith('test: test.tfrecord, record 2: image/class/label 1 is named "wolf" in image/class/text')
    assert '"dog" in train: train.tfrecord, record 1' in message
    assert "data.text_key=''" in message


def test_a_name_with_two_ids_is_rejected():
    message = rejection((0, "crane"), (1, "dog"), ("eval", 2, "crane"))
    assert message.startswith('eval: eval.tfrecord, record 2: "crane" in image/class/text has image/class/label 2')
    assert "but 0 in train: train.tfrecord, record 0" in message


def test_an_id_without_a_name_beside_ids_with_names_is_rejected():
    message = rejection((0, "cat"), (1, "dog"), (2, ""))
    assert message.startswith("train: train.tfrecord, record 2: image/class/label 2 has no name")
    assert "pets/labels.txt" in message
    assert resolve((0, "cat"), (1, "dog"), (2, ""), names=("cat", "dog", "newt")).names[2] == "newt"
    # A schema that agrees with the names that are there has the others.
    listed = ("cat", "dog", "newt")
    assert resolve((0, "cat"), (1, "dog"), (2, ""), schema_names=listed).names == listed
    assert "has no name" in rejection((0, "cat"), (1, "dog"), (2, ""), schema_names=("dog", "cat", "newt"))


@pytest.mark.parametrize(
    ("ids", "place", "what"),
    [
        ((1, 2), "record 0", "class ids start from 0, and the lowest image/class/label is 1"),
        ((0, 1, 3), "record 2", "no record has image/class/label 2, but one has 3"),
        ((0, 10**12), "record 1", "no record has image/class/label 1, but one has 1000000000000"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_gaps_and_ids_from_1_are_rejected(ids, place, what, named):
    message = rejection(*((number, f"name {number}" if named else "") for number in ids))
    assert message.startswith(f"train: train.tfrecord, {place}: {what}: number the {len(ids)} classes 0 to ")
    assert "pets/labels.txt" in message


def test_a_list_of_labels_or_a_schema_may_know_of_ids_without_examples():
    found = resolve((1, ""), (2, ""), names=("background", "cat", "dog"))
    assert found.names == ("background", "cat", "dog")
    assert any("train has no examples of background" in warning for warning in found.warnings)
    found = resolve((0, ""), (2, ""), schema_count=4)
    assert found.names == ("0", "1", "2", "3")
    assert any("train has no examples of 1, 3" in warning for warning in found.warnings)


def test_an_id_beyond_the_schema_is_rejected():
    message = rejection((0, ""), (1, ""), ("eval", 7, ""), schema_count=2)
    assert message.startswith("eval: eval.tfrecord, record 2: image/class/label is 7, but schema.pbtxt has ids 0 to 1")


def test_an_id_beyond_the_list_of_labels_is_rejected():
    message = rejection((0, ""), (1, ""), ("test", 2, ""), names=("apple", "zebra"))
    assert message.startswith(
        "test: test.tfrecord, record 2: image/class/label is 2, but pets/labels.txt names 2 class"
    )
    message = rejection((1, ""), (2, ""), names=("apple", "zebra"))
    assert "ids start from 0" in message


def test_a_list_of_too_many_labels_is_rejected():
    message = rejection((0, ""), (1, ""), names=("apple", "zebra", "yak"))
    assert message.startswith("pets/labels.txt names 3 classes, but the highest id in the records is 1 (train: ")


def test_a_list_of_labels_that_contradicts_the_records_is_rejected():
    message = rejection((0, "apple"), (1, "zebra"), names=("zebra", "apple"))
    assert message.startswith('train: train.tfrecord, record 0: image/class/label 0 is named "apple", but line 1 of')
    assert 'pets/labels.txt is "zebra"' in message


def test_text_labels_have_the_order_of_the_list_or_of_the_alphabet():
    assert resolve(("zebra", ""), ("apple", "")).names == ("apple", "zebra")
    assert resolve(("apple", ""), ("zebra", ""), names=("zebra", "apple")).names == ("zebra", "apple")


@pytest.mark.parametrize(
    ("listed", "what"),
    [
        (("apple",), 'image/class/label is "zebra", which pets/labels.txt does not list'),
        (("apple", "zebra", "yak"), 'pets/labels.txt names 3 classes, the records have 2: none is labeled "yak"'),
    ],
)
def test_text_labels_that_are_not_those_of_the_list_are_rejected(listed, what):
    assert what in rejection(("apple", ""), ("zebra", ""), names=listed)


@pytest.mark.parametrize(("labels", "shown"), [((0, 1, 2), "2"), (("a", "b", "c"), '"c"')])
@pytest.mark.parametrize("split", ["eval", "test"])
def test_a_class_that_train_lacks_is_rejected(labels, shown, split):
    message = rejection((labels[0], ""), (labels[1], ""), (split, labels[2], ""))
    place = f"{split}: {split}.tfrecord, record 2: image/class/label is {shown}, which no record of train has"
    assert message.startswith(place)


def test_a_class_that_test_lacks_is_told():
    found = resolve((0, ""), (1, ""), ("train", 2, ""), ("eval", 2, ""))
    assert found.warnings == ("test has no examples of 2, which the gates do not measure",)


@pytest.mark.parametrize(("label", "name"), [(0, "0"), ("cat", "cat")])
def test_one_class_is_rejected(label, name):
    assert f"only one class in the records ({name})" in rejection((label, ""))


def test_ids_beside_texts_are_rejected():
    message = rejection(("cat", ""), ("dog", ""), ("eval", 3, ""))
    assert message.startswith('train: train.tfrecord, record 0: image/class/label is the text "cat", but in eval: ')
    assert "it is the id 3" in message


@pytest.mark.parametrize("other", ["Ka\u0308fer", "K\u00e4fer ", "K\u00e4\u2009fer "])
def test_names_that_look_the_same_are_rejected(other):
    first = "K\u00e4 fer" if "\u2009" in other else "K\u00e4fer"
    message = rejection((first, ""), (other, ""))
    assert "K\\xe4" in message
    assert "look the same" in message


def test_names_that_differ_by_case_alone_are_told():
    found = resolve(("A", ""), ("a", ""))
    assert found.names == ("A", "a")
    assert found.warnings == ("A and a are two classes whose names differ by case alone",)


def test_the_largest_id_is_rejected_like_any_other():
    assert "no record has image/class/label 1, but one has 9223372036854775807" in rejection((0, ""), (2**63 - 1, ""))


def test_a_domain_of_all_numbers_is_no_number_of_classes():
    message = rejection((0, ""), (1, ""), schema_count=2**31)
    assert "schema.pbtxt" in message
    assert "0 to 2147483647" in message
    assert "highest id in the records is 1" in message
