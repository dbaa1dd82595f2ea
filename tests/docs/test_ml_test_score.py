"""The page of the ML Test Score: its tests and commands exist, and its score has not fallen."""

import ast
import re
import shlex

import click
import pytest

from pipeline import cli
from tests.docs import ml_test_score
from tests.docs.ml_test_score import PAGE, ROOT, SECTIONS

ROWS = [row for rows in SECTIONS.values() for row in rows]


def test_there_are_seven_tests_in_each_of_four_sections():
    assert [len(rows) for rows in SECTIONS.values()] == [7, 7, 7, 7]
    assert {row.score for row in ROWS} <= {0, 0.5, 1}


def test_the_score_is_the_smallest_sum_and_at_least_5():
    sums = ml_test_score.sum_sections()
    assert min(sums.values()) >= 5
    assert f"**Score: {min(sums.values()):g}**" in PAGE.read_text(encoding="utf-8")


def test_the_page_is_what_the_rows_say():
    assert PAGE.read_text(encoding="utf-8") == ml_test_score.build_page(), "run python -m tests.docs.ml_test_score"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_evidence_is_there(row):
    if row.score == 1:
        assert row.tests, "what runs by itself is a test"
    if row.score == 0.5:
        assert row.tests or row.commands
    for test in row.tests:
        file, name = test.split("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
    for command in row.commands:
        program, *words = shlex.split(command)
        if program == "atelier":
            _find_command(words)
        elif program == "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        else:
            assert words[0] == "-m"
            assert (ROOT / words[1].replace(".", "/")).with_suffix(".py").is_file(), command


def _find_command(words):
    """Goes down the groups of the command line; raises where a word is no command."""
    command: click.Command | None = cli.cli
    context = click.Context(cli.cli)
    while isinstance(command, click.Group) and words:
        command, words = command.get_command(context, words[0]), words[1:]
    assert command, words
