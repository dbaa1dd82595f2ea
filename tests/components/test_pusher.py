"""Pushing: all of a version or nothing, under a number that only ever rises."""

import json
import shutil
import time
from pathlib import Path

import pytest

from atelier.files import leftovers
from tests.deferred import deferred_imports

with deferred_imports():
    from tfx.components.pusher import executor as tfx_pusher
    from tfx.types import standard_artifacts

    from components.pusher import executor
    from tests import object_store

NOW = 1_790_000_000


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW + 0.9)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "saved_model.pb").write_text("graph")
    (tmp_path / "model" / "variables" / "variables.index").write_text("index")
    return tmp_path / "model"


@pytest.fixture
def base(tmp_path):
    return tmp_path / "serving_model"


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_version_is_the_time_and_holds_every_file(source, base):
    assert executor.push(source, base / "deep") == str(NOW)
    assert list_names(base / "deep") == [str(NOW)]
    assert (base / "deep" / str(NOW) / "saved_model.pb").read_text() == "graph"
    assert (base / "deep" / str(NOW) / "variables" / "variables.index").read_text() == "index"


def test_two_pushes_within_a_second_get_two_numbers(source, base):
    assert [executor.push(source, base) for _ in range(3)] == [str(NOW), str(NOW + 1), str(NOW + 2)]


def test_numbers_rise_when_the_clock_went_back(source, base):
    (base / str(NOW + 500)).mkdir(parents=True)
    assert executor.push(source, base) == str(NOW + 501)


def test_neighbors_that_are_no_versions_do_not_matter(source, base):
    for name in ("backup", f"{NOW + 500}-old", f".{NOW + 500}", "²", "20261126171900123456", "1_999_999_999"):
        (base / name).mkdir(parents=True)
    assert executor.push(source, base) == str(NOW)
    assert {"backup", f"{NOW + 500}-old", f".{NOW + 500}"} < set(list_names(base))


def test_a_number_that_no_server_could_load_is_never_given(source, base):
    (base / str(2**63 - 2)).mkdir(parents=True)
    assert executor.push(source, base) == str(2**63 - 1)
    with pytest.raises(ValueError, match=f"version {2**63 - 1} is the highest that a model server can load"):
        executor.push(source, base)
    assert list_names(base) == [str(2**63 - 2), str(2**63 - 1)]


def test_a_push_that_fails_leaves_nothing(source, base):
    executor.push(source, base)
    (source / "broken").symlink_to("nowhere")
    with pytest.raises(shutil.Error, match="broken"):
        executor.push(source, base)
    assert list_names(base) == [str(NOW)]

    (source / "broken").unlink()
    assert executor.push(source, base) == str(NOW + 1)
    assert list_names(base) == [str(NOW), str(NOW + 1)]


def test_a_push_removes_what_a_killed_one_left_and_nothing_of_one_at_work(source, base):
    (base / ".5.partial").mkdir(parents=True)
    with leftovers.create_owned(base / ".6.partial"):
        executor.push(source, base)
        assert list_names(base) == [".6.partial", str(NOW)]


def test_while_it_copies_nothing_is_visible(source, base, monkeypatch):
    seen = []
    whole = shutil.copytree

    def watch(*arguments, **options):
        result = whole(*arguments, **options)
        seen.append([name for name in list_names(base) if not name.startswith(".")])
        return result

    monkeypatch.setattr(shutil, "copytree", watch)
    executor.push(source, base)
    assert seen[-1] == []
    assert list_names(base) == [str(NOW)]


@pytest.fixture
def do(source, tmp_path):
    """Runs the executor on a blessed or refused model; gives what it marks."""

    def run(blessed, destination):
        model = standard_artifacts.Model()
        model.uri = str(tmp_path / "trained")
        shutil.copytree(source, tmp_path / "trained" / "Format-Serving", dirs_exist_ok=True)
        blessing = standard_artifacts.ModelBlessing()
        blessing.uri = str(tmp_path / "blessing")
        blessing.set_int_custom_property("blessed", int(blessed))
        (tmp_path / "blessing").mkdir(exist_ok=True)
        (tmp_path / "blessing" / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
        pushed = standard_artifacts.PushedModel()
        pushed.uri = str(tmp_path / "pushed")
        destination = json.dumps({"filesystem": {"base_directory": str(destination)}})
        executor.Executor().Do(
            {"model": [model], "model_blessing": [blessing]},
            {"pushed_model": [pushed]},
            {"push_destination": destination},
        )
        return pushed

    return run


def test_a_blessed_model_is_pushed_and_the_artifact_says_where(do, base):
    pushed = do(True, base)
    assert list_names(base) == [str(NOW)]
    assert list_names(base / str(NOW)) == ["saved_model.pb", "variables"]
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(base / str(NOW))
    assert pushed.get_string_custom_property("pushed_version") == str(NOW)
    assert list_names(Path(pushed.uri)) == ["saved_model.pb", "variables"]


def test_a_refused_model_is_not_pushed(do, base):
    pushed = do(False, base)
    assert not base.exists()
    assert pushed.get_int_custom_property("pushed") == 0
    assert not pushed.has_custom_property("pushed_destination")


def test_nothing_is_pushed_if_the_artifact_cannot_be_written(do, base, tmp_path):
    (tmp_path / "pushed").write_text("a file where the artifact's folder should be")
    with pytest.raises(FileExistsError):
        do(True, base)
    assert not base.exists()


def test_an_object_store_is_left_to_tfx(do, monkeypatch):
    got = []
    monkeypatch.setattr(tfx_pusher.Executor, "Do", lambda *arguments: got.append(arguments))
    do(True, "gs://bucket/models")
    ((_, _, _, properties),) = got
    assert properties == {"push_destination": '{"filesystem": {"base_directory": "gs://bucket/models"}}'}


@pytest.fixture
def do_variants(source, tmp_path):
    """Runs TFLiteExecutor on variants of which some are blessed; gives what it marks."""

    def run(verdicts, destination):
        exported, pushed = standard_artifacts.Model(), standard_artifacts.PushedModel()
        exported.uri, pushed.uri = str(tmp_path / "exported"), str(tmp_path / "pushed")
        blessings = {}
        for key, (variant, blessed) in zip(executor.BLESSINGS, verdicts.items(), strict=False):
            folder = tmp_path / "exported" / "preferred" / variant / "Format-Serving"
            folder.mkdir(parents=True)
            (folder / "model.tflite").write_text(variant)
            blessing = standard_artifacts.ModelBlessing()
            blessing.uri = str(tmp_path / f"blessing_{variant}")
            Path(blessing.uri).mkdir()
            Path(blessing.uri, "BLESSED" if blessed else "NOT_BLESSED").touch()
            blessing.set_int_custom_property("blessed", int(blessed))
            blessings[key] = [blessing]
        executor.TFLiteExecutor().Do(
            {"model": [exported], **blessings},
            {"pushed_model": [pushed]},
            {
                "push_destination": json.dumps({"filesystem": {"base_directory": str(destination)}}),
                "variants": ",".join(verdicts),
            },
        )
        return pushed

    return run


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({"int8": True}, "int8"),
        ({"int8": True, "dynamic": True, "float": True}, "int8"),
        ({"int8": False, "dynamic": True, "float": True}, "dynamic"),
        ({"float": False, "int8": False, "dynamic": True}, "dynamic"),
        ({"dynamic": False, "int8": True}, "int8"),
    ],
)
def test_the_first_variant_that_its_own_gate_blessed_is_pushed(do_variants, base, verdicts, expected):
    pushed = do_variants(verdicts, base)
    assert (base / str(NOW) / "model.tflite").read_text() == expected
    assert list_names(base) == [str(NOW)]
    assert pushed.get_string_custom_property("variant") == expected
    assert pushed.get_string_custom_property("pushed_destination") == str(base / str(NOW))


def test_no_variant_is_pushed_where_no_gate_blessed_one(do_variants, base):
    pushed = do_variants({"int8": False, "float": False}, base)
    assert not base.exists()
    assert pushed.get_int_custom_property("pushed") == 0
    assert not pushed.has_custom_property("variant")


def test_variants_go_to_an_object_store_too(do_variants):
    do_variants({"int8": False, "float": True}, "ram://pusher/tflite")
    (path,) = object_store.list_files("ram://pusher/tflite")
    assert path.endswith("/model.tflite")
