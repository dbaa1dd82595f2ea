"""`labels.txt` as people, editors and scripts write it."""

import pytest

from pipeline.records import labels_file
from pipeline.records.labels_file import LabelError


@pytest.mark.parametrize(
    "text",
    [
        "apple\nzebra\n",
        "apple\nzebra",
        "apple\nzebra\n\n",
        "apple\nzebra\n\n  \n\n",
        "apple\r\nzebra\r\n\r\n",
        "\ufeffapple\nzebra\n",
        "0:apple\n1:zebra\n",
        "0: apple\n1 :zebra\n",
        "1:zebra\n0:apple\n",
    ],
)
def test_a_list_of_labels_is_read_as_editors_and_scripts_leave_it(tmp_path, text):
    (tmp_path / "labels.txt").write_bytes(text.encode())
    assert labels_file.read_labels(tmp_path / "labels.txt") == ("apple", "zebra")


def test_without_a_list_of_labels_there_is_none(tmp_path):
    assert labels_file.read_labels(tmp_path / "labels.txt") is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "line 1 is empty"),
        ("apple\n\nzebra\n", "line 2 is empty"),
        ("apple\nzebra\napple\n", '"apple" is in lines 1 and 3'),
        ("1 kiwi\n0 apple\n", 'the line "1 kiwi" stands where the number 0'),
        ("apple,0\nkiwi, 2\nzebra,1\n", 'the line "kiwi, 2" stands where the number 1'),
        ("1\tapple\n10\tj\n" + "".join(f"{n}\tname\n" for n in range(2, 10)), "write each line as id:name"),
        ("1:apple\n2:zebra\n", "the ids are not 0 to 1, each once"),
        ("0:apple\n0:zebra\n", "the ids are not 0 to 1, each once"),
    ],
)
def test_a_list_of_labels_that_says_something_else_is_rejected(tmp_path, text, what):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(LabelError) as rejected:
        labels_file.read_labels(tmp_path / "labels.txt")
    assert str(rejected.value).startswith(f"{tmp_path}/labels.txt: ")
    assert what in str(rejected.value)


def test_a_name_may_have_what_ends_a_line_elsewhere(tmp_path):
    (tmp_path / "labels.txt").write_text("gr\u2028ey\n12:30\n", encoding="utf-8")
    assert labels_file.read_labels(tmp_path / "labels.txt") == ("gr\u2028ey", "12:30")


@pytest.mark.parametrize(
    "names", [("0 cat", "1 dog"), ("10", "2"), ("7 of 9", "6 of 9"), ("class 1", "class 10", "class 2"), ("a:1", "b:7")]
)
def test_a_number_in_a_name_is_no_id(tmp_path, names):
    (tmp_path / "labels.txt").write_text("\n".join(names))
    assert labels_file.read_labels(tmp_path / "labels.txt") == names
