"""Fingerprints change with what they stand for, and with nothing else."""

import os
import re

import pytest

from pipeline import fingerprint

SOURCES = {
    "trainer/__init__.py": "",
    "trainer/train.py": "import os\nfrom trainer import model\n\ndef run():\n    import trainer.late\n",
    "trainer/model.py": "from trainer.layers import Dense\n",
    "trainer/layers.py": "class Dense:\n    pass\n",
    "trainer/late.py": "X = 1\n",
    "trainer/unrelated.py": "X = 1\n",
    "trainer/backbones/__init__.py": "from .lite import build\n",
    "trainer/backbones/lite.py": "from . import weights\nfrom .. import layers\n\ndef build():\n    pass\n",
    "trainer/backbones/weights.py": "X = 1\n",
    "components/__init__.py": "",
    "components/exporter/__init__.py": "",
    "components/exporter/component.py": "import components.exporter.executor\n",
    "components/exporter/executor.py": "import trainer.backbones.lite as lite, numpy\n",
    "components/round/__init__.py": "import components.round.trip\n",
    "components/round/trip.py": "import components.round\n",
    "numpy/__init__.py": "",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr(fingerprint, "PACKAGES", ("components", "trainer"))
    fingerprint._imports.cache_clear()
    yield tmp_path
    fingerprint._imports.cache_clear()


def edit(file):
    file.write_text(file.read_text() + "# edited\n")
    fingerprint._imports.cache_clear()  # a process reads its code once


def reached(tree, module):
    """The files whose edit changes the fingerprint of `module`."""
    found = set()
    for name in SOURCES:
        before = fingerprint.of_code(module)
        edit(tree / name)
        if fingerprint.of_code(module) != before:
            found.add(name)
    return found


def test_it_is_sixteen_hex_digits_and_the_same_every_time(tree):
    first = fingerprint.of_code("trainer.train")
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert fingerprint.of_code("trainer.train") == first
    assert fingerprint.of_code("trainer.model") != first


def test_it_follows_imports_at_first_and_second_hand_and_inside_functions(tree):
    assert reached(tree, "trainer.train") == {
        "trainer/__init__.py",
        "trainer/train.py",
        "trainer/model.py",
        "trainer/layers.py",
        "trainer/late.py",
    }


def test_it_follows_relative_imports_and_the_packages_around_a_module(tree):
    assert reached(tree, "components.exporter.component") == {
        "components/__init__.py",
        "components/exporter/__init__.py",
        "components/exporter/component.py",
        "components/exporter/executor.py",
        "trainer/__init__.py",
        "trainer/backbones/__init__.py",
        "trainer/backbones/lite.py",
        "trainer/backbones/weights.py",
        "trainer/layers.py",
    }


def test_a_package_stands_for_its_init_file(tree):
    assert reached(tree, "trainer.backbones") == reached(tree, "trainer.backbones.lite")
    assert "trainer/backbones/weights.py" in reached(tree, "trainer.backbones")


def test_imports_in_a_circle_end(tree):
    assert reached(tree, "components.round.trip") == {
        "components/__init__.py",
        "components/round/__init__.py",
        "components/round/trip.py",
    }


def test_a_new_import_is_followed_too(tree):
    before = fingerprint.of_code("trainer.model")
    (tree / "trainer/model.py").write_text(SOURCES["trainer/model.py"] + "import trainer.unrelated\n")
    fingerprint._imports.cache_clear()
    changed = fingerprint.of_code("trainer.model")
    edit(tree / "trainer/unrelated.py")
    assert len({before, changed, fingerprint.of_code("trainer.model")}) == 3


def test_another_version_of_a_main_library_changes_it(tree, monkeypatch):
    before = fingerprint.of_code("trainer.model")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.0.1")
    assert fingerprint.of_code("trainer.model") != before


@pytest.mark.parametrize("name", ["trainer.missing", "numpy.linalg", "trainer.model.Dense"])
def test_what_is_no_module_of_ours_has_no_fingerprint(tree, name):
    with pytest.raises(ModuleNotFoundError, match=f"{name} is no module of components, trainer"):
        fingerprint.of_code(name)


def test_in_the_project_the_gate_does_not_hang_on_the_trainer_but_transform_does():
    fingerprint._imports.cache_clear()
    reaches = {
        module: set(fingerprint._closure(module))
        for module in ("components.anomaly_gate.component", "components.transform.component", "trainer.train")
    }
    assert not {name for name in reaches["components.anomaly_gate.component"] if name.startswith("trainer")}
    assert {"trainer.image_ops", "trainer.augmentation"} <= reaches["components.transform.component"]
    assert {"trainer.backbones", "trainer.export", "trainer.precision"} <= reaches["trainer.train"]
    assert not {name for name in reaches["trainer.train"] if name.startswith(("pipeline", "components"))}


def test_files_by_name_size_and_time_of_change(tmp_path):
    files = [tmp_path / name for name in ("a.tfrecord", "b.tfrecord")]
    for file in files:
        file.write_bytes(b"12345")
        os.utime(file, ns=(0, 1_000_000_000))
    before = fingerprint.of_files(files)
    assert re.fullmatch("[0-9a-f]{16}", before)
    assert fingerprint.of_files(reversed(files)) == before
    assert fingerprint.of_files(files[:1]) != before

    os.utime(files[0], ns=(0, 1_000_000_001))
    assert fingerprint.of_files(files) != before
    os.utime(files[0], ns=(0, 1_000_000_000))
    assert fingerprint.of_files(files) == before

    files[0].write_bytes(b"123456")
    os.utime(files[0], ns=(0, 1_000_000_000))
    assert fingerprint.of_files(files) != before


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        fingerprint.of_files([tmp_path / "gone"])
