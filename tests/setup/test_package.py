"""What setup.py packs, built from a source archive as Beam does with `--setup_file`."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from atelier import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of a small tree with packages, a template, and folders that are not installed."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.py", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    for package in ("atelier", "pipeline", "components/pusher", "trainer", "serving", "compat", "kubeflow", "tests"):
        for folder in (tree / package, (tree / package).parent):
            folder.mkdir(parents=True, exist_ok=True)
            if folder != tree:
                (folder / "__init__.py").touch()
    shutil.copy(ROOT / "atelier/__init__.py", tree / "atelier")  # holds the version
    (tree / "pipeline/templates").mkdir()
    (tree / "pipeline/templates/report.html.j2").write_text("{{ name }}")
    subprocess.run([sys.executable, "setup.py", "-q", "sdist", "-d", "dist"], cwd=tree, check=True, capture_output=True)
    return tree / f"dist/atelier_tfx-{__version__}.tar.gz"


def test_archive_builds_and_holds_packages_and_data_only(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path)  # noqa: S202 - our own archive, and Debian's 3.11.2 lacks `filter`
    source = tmp_path / f"atelier_tfx-{__version__}"
    build = [sys.executable, "setup.py", "-q", "build", "--build-lib", "../built"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    built = tmp_path / "built"
    assert {str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()} == {
        "atelier/__init__.py",
        "compat/__init__.py",
        "pipeline/__init__.py",
        "pipeline/templates/report.html.j2",
        "components/__init__.py",
        "components/pusher/__init__.py",
        "trainer/__init__.py",
        "serving/__init__.py",
    }


def test_archive_names_the_command_and_the_pythons(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        information = packed.extractfile(f"atelier_tfx-{__version__}/PKG-INFO")
        commands = packed.extractfile(f"atelier_tfx-{__version__}/atelier_tfx.egg-info/entry_points.txt")
        assert information is not None
        assert commands is not None
        lines = information.read().decode().splitlines()
        assert "atelier = pipeline.cli:main" in commands.read().decode()
    assert {"Name: atelier-tfx", f"Version: {__version__}", "License: Apache-2.0"} <= set(lines)
    assert any(line in lines for line in ("Requires-Python: >=3.11,<3.14", "Requires-Python: <3.14,>=3.11"))
