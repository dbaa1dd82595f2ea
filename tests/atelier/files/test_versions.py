"""Which names are versions. Expected values follow absl::SimpleAtoi, with which ModelServer 2.21 reads them."""

import argparse

import pytest

from atelier.files import versions


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("1795714187", 1795714187),
        ("0", 0),
        ("007", 7),
        ("+1", 1),
        ("-1", -1),
        (" 1", 1),
        ("1\t", 1),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0" * 5000 + "5", 5),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("20261126171900123456", None),
        ("9" * 5000, None),
        ("1_000", None),
        ("١٢", None),
        ("²", None),
        ("１", None),
        ("\N{NO-BREAK SPACE}1", None),
        ("1.0", None),
        ("v1", None),
        ("0x1", None),
        ("1e3", None),
        ("+-1", None),
        ("+", None),
        ("", None),
    ],
)
def test_a_name_is_read_as_model_server_reads_it(name, number):
    assert versions.parse_version(name) == number


def test_of_two_names_for_one_version_the_last_in_order_counts():
    assert versions.sort_by_number(["10", "7", "007", "x", "-2", "+7"]) == {-2: "-2", 7: "7", 10: "10"}


def test_folders_are_listed_lowest_version_first_and_files_are_none(tmp_path):
    for name in ("10", "9", "20261126171900123456", ".11.partial"):
        (tmp_path / name).mkdir()
    (tmp_path / "12").write_text("a file")
    (tmp_path / "11").symlink_to(tmp_path / "9")
    found = versions.list_folders(tmp_path)
    assert list(found.items()) == [(9, tmp_path / "9"), (10, tmp_path / "10"), (11, tmp_path / "11")]
    with pytest.raises(FileNotFoundError):
        versions.list_folders(tmp_path / "none")


def test_a_command_line_names_a_version():
    assert versions.parse_argument("007") == 7
    with pytest.raises(argparse.ArgumentTypeError, match="20261126171900123456: expected a version"):
        versions.parse_argument("20261126171900123456")
