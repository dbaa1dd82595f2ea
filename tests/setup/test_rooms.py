"""Folders and files stay small enough to be looked over: "about twelve" modules, and 300 lines."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("atelier", "benchmarks", "compat", "components", "kubeflow", "pipeline", "serving", "trainer")
MOST_MODULES = 13
MOST_LINES = 300


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_has_more_modules_than_one_looks_over(package: str) -> None:
    folders = {file.parent for file in (ROOT / package).rglob("*.py")}
    counts = {
        str(folder.relative_to(ROOT)): len([file for file in folder.glob("*.py") if file.name != "__init__.py"])
        for folder in folders
    }
    assert counts
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_source_file_is_longer_than_one_reads_at_once(package: str) -> None:
    counts = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in (ROOT / package).rglob("*.py")
    }
    assert counts
    assert {file: count for file, count in counts.items() if count > MOST_LINES} == {}
