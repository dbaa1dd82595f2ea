"""Texts beside the code: links lead somewhere, and files that are named exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = "atelier|benchmarks|compat|components|configs|docs|kubeflow|pipeline|requirements|serving|tests|tools|trainer"
TEXTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "serving/deploy/README.md"])
WRITTEN_BY_A_COMMAND = {"serving/deploy/ssl.config"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def has_anchor(page: Path, anchor: str) -> bool:
    """Whether a page has the heading; MkDocs checks the headings that `docs/hooks.py` or a docstring adds."""
    text = page.read_text(encoding="utf-8")
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"(?m)^#+ (.+)$", text))
    return "<!-- generated: " in text or anchor in {heading.strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_links_lead_to_files_and_headings(text):
    broken = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text.read_text(encoding="utf-8")):
        if re.match("[a-z]+:", target):
            continue
        file = Path(os.path.normpath(text.parent / target)) if target else text
        if not file.exists() or (anchor and not has_anchor(file, anchor)):
            broken.append(f"{target}#{anchor}")
    assert not broken


@pytest.mark.parametrize("text", [text for text in TEXTS if text.name != "CHANGELOG.md"], ids=name)
def test_files_of_the_tree_that_are_named_exist(text):
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text.read_text(encoding="utf-8"))
    named = [each for each in named if each not in WRITTEN_BY_A_COMMAND and not re.search(r"/(ID|NAME|PATH)\b", each)]
    assert [each for each in named if not (ROOT / each).exists()] == []


def test_pages_that_the_code_names_exist():
    """Messages, comments and help texts name pages, which move."""
    pattern = r"docs/[[:alnum:]_/-]+\.(md|ipynb)"
    places = [".", ":!CHANGELOG.md", ":!tests"]
    command = ["git", "grep", "--only-matching", "-I", "--extended-regexp", "-e", pattern, "--", *places]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(found) > 10
    assert [line for line in found if not (ROOT / line.partition(":")[2]).is_file()] == []


def test_ten_questions_of_newcomers_are_answered_by_files():
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where is it?")[1].split("\n## ")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| ") and row.count("|") == 3][1:]
    assert len(rows) == 10
    for question, answer in rows:
        files = [each for each in re.findall("`([^`]+)`", answer) if "/" in each]
        assert files, question
        assert [file for file in files if not (ROOT / file).exists()] == [], question


@pytest.mark.parametrize(
    ("page", "folders"),
    [
        ("explanation/serving.md", ["serving/server"]),
        (
            "explanation/style-transfer.md",
            [f"components/style_renderer/{name}" for name in ("batch", "engine", "engine/tiling", "gallery", "studio")],
        ),
    ],
)
def test_pages_name_every_module_of_their_folders(page, folders):
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / page).read_text(encoding="utf-8")))
    there = {file.name for folder in folders for file in (ROOT / folder).glob("*.py") if file.name != "__init__.py"}
    assert there <= {name.rpartition("/")[2] for name in named}
    assert {name for name in named if "/" not in name} <= there
