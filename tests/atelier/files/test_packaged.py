import importlib.util
import sys

import pytest

from atelier.files import packaged


def test_a_data_file_is_found_without_importing_its_package(tmp_path, monkeypatch):
    (tmp_path / "boxed" / "data").mkdir(parents=True)
    (tmp_path / "boxed" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "boxed" / "data" / "a.bin").write_bytes(b"a")
    monkeypatch.syspath_prepend(tmp_path)
    assert packaged.find("boxed", "data/a.bin") == tmp_path / "boxed" / "data" / "a.bin"
    assert "boxed" not in sys.modules
    with pytest.raises(FileNotFoundError, match=r"data/b\.bin of the package boxed is not installed"):
        packaged.find("boxed", "data/b.bin")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    assert importlib.util.find_spec("no_such_package_here") is None
    with pytest.raises(FileNotFoundError, match=r"a\.bin of the package no_such_package_here is not installed"):
        packaged.find("no_such_package_here", "a.bin")


def test_a_module_without_a_folder_holds_no_files():
    with pytest.raises(FileNotFoundError, match="package sys is not installed"):
        packaged.find("sys", "a.bin")
