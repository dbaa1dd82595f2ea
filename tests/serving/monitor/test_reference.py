"""References on disk."""

import dataclasses

import numpy as np
import pytest

from atelier.errors import AtelierError
from serving.monitor import reference as references
from serving.monitor.reference import Reference


@pytest.fixture
def stored():
    return Reference(
        version=7,
        classes=np.array(["Käfer", "<b>"]),
        class_counts=np.array([2, 1]),
        numbers=np.ones((3, 4), np.float32),
        formats=np.array(["jpeg", "png", "jpeg"]),
        features=np.eye(3, 5, dtype=np.float16),
    )


def test_it_is_read_as_it_was_written(stored, tmp_path):
    file = references.locate(tmp_path, 7)
    assert file == tmp_path / "monitor/reference-7.npz"
    assert references.load(file) is None
    references.save(file, stored)
    found = references.load(file)
    for field in dataclasses.fields(Reference):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(stored, field.name))
    assert [each.name for each in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "not a reference"), (b"PK\x03\x04cut", "not a reference"), (b"{}", "not a reference")]
)
def test_another_file_is_told(tmp_path, content, words):
    file = tmp_path / "reference-7.npz"
    file.write_bytes(content)
    with pytest.raises(AtelierError, match=words) as told:
        references.load(file)
    assert str(file) in str(told.value)
    assert "atelier models reference" in str(told.value)


def test_another_format_and_arrays_that_do_not_fit_are_told(stored, tmp_path, monkeypatch):
    references.save(tmp_path / "a.npz", dataclasses.replace(stored, formats=np.array(["png"])))
    with pytest.raises(AtelierError, match="do not fit together"):
        references.load(tmp_path / "a.npz")
    monkeypatch.setattr(references, "FORMAT", 2)
    references.save(tmp_path / "b.npz", stored)
    monkeypatch.setattr(references, "FORMAT", 1)
    with pytest.raises(AtelierError, match="format 2"):
        references.load(tmp_path / "b.npz")
