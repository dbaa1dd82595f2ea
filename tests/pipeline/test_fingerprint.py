"""Fingerprints change with what they stand for, and with nothing else."""

import hashlib
import os
import re
import time
from pathlib import Path

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
    "components/table/__init__.py": "import pkgutil\nfrom components.table import entries\n",
    "components/table/entries/__init__.py": "",
    "components/table/entries/one.py": "import trainer.unrelated\n",
    "numpy/__init__.py": "",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr(fingerprint, "PACKAGES", ("components", "trainer"))
    fingerprint._list_imports.cache_clear()
    yield tmp_path
    fingerprint._list_imports.cache_clear()


def edit(file):
    file.write_text(file.read_text() + "# edited\n")
    fingerprint._list_imports.cache_clear()  # a process reads its code once


def reached(tree, module):
    """The files whose edit changes the fingerprint of `module`."""
    found = set()
    for name in SOURCES:
        before = fingerprint.fingerprint_code(module)
        edit(tree / name)
        if fingerprint.fingerprint_code(module) != before:
            found.add(name)
    return found


def test_it_is_sixteen_hex_digits_and_the_same_every_time(tree):
    first = fingerprint.fingerprint_code("trainer.train")
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert fingerprint.fingerprint_code("trainer.train") == first
    assert fingerprint.fingerprint_code("trainer.model") != first


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


def test_a_registry_reaches_every_module_that_it_may_import(tree):
    assert reached(tree, "components.table") == {
        "components/__init__.py",
        "components/table/__init__.py",
        "components/table/entries/__init__.py",
        "components/table/entries/one.py",
        "trainer/__init__.py",
        "trainer/unrelated.py",
    }


def test_imports_in_a_circle_end(tree):
    assert reached(tree, "components.round.trip") == {
        "components/__init__.py",
        "components/round/__init__.py",
        "components/round/trip.py",
    }


def test_a_new_import_is_followed_too(tree):
    before = fingerprint.fingerprint_code("trainer.model")
    (tree / "trainer/model.py").write_text(SOURCES["trainer/model.py"] + "import trainer.unrelated\n")
    fingerprint._list_imports.cache_clear()
    changed = fingerprint.fingerprint_code("trainer.model")
    edit(tree / "trainer/unrelated.py")
    assert len({before, changed, fingerprint.fingerprint_code("trainer.model")}) == 3


def test_another_version_of_a_main_library_changes_it(tree, monkeypatch):
    before = fingerprint.fingerprint_code("trainer.model")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.0.1")
    assert fingerprint.fingerprint_code("trainer.model") != before


@pytest.mark.parametrize("name", ["trainer.missing", "numpy.linalg", "trainer.model.Dense"])
def test_what_is_no_module_of_ours_has_no_fingerprint(tree, name):
    with pytest.raises(ModuleNotFoundError, match=f"{name} is not a module of components, trainer"):
        fingerprint.fingerprint_code(name)


def test_in_the_project_the_gate_does_not_hang_on_the_trainer_but_transform_does():
    fingerprint._list_imports.cache_clear()
    reaches = {
        module: set(fingerprint._follow_imports(module))
        for module in ("components.anomaly_gate.component", "components.transform.component", "trainer.train")
    }
    assert not {name for name in reaches["components.anomaly_gate.component"] if name.startswith("trainer")}
    assert {"trainer.images.lossless", "trainer.augmentation"} <= reaches["components.transform.component"]
    assert "trainer.images.ops" in fingerprint._follow_imports("trainer.preprocessing")
    assert {"trainer.backbones", "trainer.export", "trainer.training.precision"} <= reaches["trainer.train"]
    families = {f"trainer.backbones.families.{name}" for name in ("efficientnet_lite", "keras_efficientnet")}
    assert families | {"trainer.backbones.lite_weights"} <= reaches["trainer.train"]
    assert not {name for name in reaches["trainer.train"] if name.startswith(("pipeline", "components"))}
    # An edit of a backbone trains anew, and transforms nothing anew.
    assert not {name for name in reaches["components.transform.component"] if name.startswith("trainer.backbones")}
    assert not {
        name for name in fingerprint._follow_imports("trainer.preprocessing") if name.startswith("trainer.backbones")
    }


@pytest.fixture
def contents(tmp_path):
    return fingerprint.FileHashes(tmp_path / "hashes.json")


def test_files_by_name_and_content_alone(tmp_path, contents):
    files = {name: tmp_path / name for name in ("a.tfrecord", "b.tfrecord")}
    for file in files.values():
        file.write_bytes(b"12345")
    before = fingerprint.fingerprint_files(files, contents)
    assert re.fullmatch("[0-9a-f]{16}", before)
    assert fingerprint.fingerprint_files({"a.tfrecord": files["a.tfrecord"]}, contents) != before
    assert (
        fingerprint.fingerprint_files({"a.tfrecord": files["b.tfrecord"], "c.tfrecord": files["a.tfrecord"]}, contents)
        != before
    )

    os.utime(files["a.tfrecord"], ns=(0, 1))
    assert fingerprint.fingerprint_files(files, contents) == before
    files["a.tfrecord"].rename(tmp_path / "elsewhere")
    assert fingerprint.fingerprint_files(files | {"a.tfrecord": tmp_path / "elsewhere"}, contents) == before
    (tmp_path / "elsewhere").write_bytes(b"12346")
    assert fingerprint.fingerprint_files(files | {"a.tfrecord": tmp_path / "elsewhere"}, contents) != before


def test_what_cannot_be_read_is_part_of_it(tmp_path, contents):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    name = os.fsdecode(b"caf\xe9.png")
    before = fingerprint.fingerprint_files({"pipe": tmp_path / "pipe", name: tmp_path / "gone"}, contents)
    (tmp_path / "nowhere").write_bytes(b"1")
    assert fingerprint.fingerprint_files({"pipe": tmp_path / "pipe", name: tmp_path / "gone"}, contents) != before


def remembering(tmp_path, monkeypatch):
    """A memory of a later run, and the files that it reads."""
    read = []
    digest = hashlib.file_digest

    def watched(stream, name):
        read.append(Path(stream.name).name)
        return digest(stream, name)

    monkeypatch.setattr("hashlib.file_digest", watched)
    return fingerprint.FileHashes(tmp_path / "hashes.json"), read


def test_an_unchanged_file_is_read_once(tmp_path, contents, monkeypatch):
    monkeypatch.setattr(fingerprint, "_TICK_NS", 0)
    for name in ("kept", "swapped"):
        (tmp_path / name).write_bytes(b"12345")
    time.sleep(0.02)  # a tick of the clock of the file system
    first = {name: contents.hash_file(tmp_path / name) for name in ("kept", "swapped")}
    assert first["kept"] == first["swapped"] == hashlib.sha256(b"12345").hexdigest()[:32]
    contents.save()

    # Equal size and time of modification, other content: as `cp --preserve` and rsync leave it.
    before = (tmp_path / "swapped").stat()
    (tmp_path / "swapped").write_bytes(b"54321")
    os.utime(tmp_path / "swapped", ns=(before.st_atime_ns, before.st_mtime_ns))
    later, read = remembering(tmp_path, monkeypatch)
    assert later.hash_file(tmp_path / "kept") == first["kept"]
    assert later.hash_file(tmp_path / "swapped") == hashlib.sha256(b"54321").hexdigest()[:32]
    assert read == ["swapped"]


def test_a_file_that_has_just_changed_is_read_again(tmp_path, contents, monkeypatch):
    (tmp_path / "new").write_bytes(b"1")
    contents.hash_file(tmp_path / "new")
    contents.save()
    later, read = remembering(tmp_path, monkeypatch)
    later.hash_file(tmp_path / "new")
    assert read == ["new"]


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b'{"kept": 1}', b"\xff"])
def test_a_damaged_memory_counts_as_empty(tmp_path, damaged):
    (tmp_path / "kept").write_bytes(b"1")
    (tmp_path / "hashes.json").write_bytes(damaged.replace(b"kept", bytes(tmp_path / "kept")))
    assert fingerprint.FileHashes(tmp_path / "hashes.json").hash_file(tmp_path / "kept")[:8] == "6b86b273"
