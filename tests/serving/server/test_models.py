import threading
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server.load_retries import RetryPolicy
from serving.server.status import StatusError
from tests.deferred import deferred_imports

with deferred_imports():
    from serving.server.models import Models
    from serving.server.version_table import State

pytestmark = pytest.mark.slow


class Loader:
    """Loads folders as themselves; tells what happened in which order."""

    def __init__(self):
        self.events = []
        self.broken = set()

    def __call__(self, folder: Path):
        if folder.name in self.broken:
            self.events.append(f"failed {folder.name}")
            raise StatusError(grpc.StatusCode.NOT_FOUND, "no graph")
        self.events.append(f"loaded {folder.name}")
        return Loaded(folder.name, self.events)


class Loaded:
    def __init__(self, name, events):
        self.name, self._events = name, events

    def close(self):
        self._events.append(f"closed {self.name}")


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "pets"
    folder.mkdir()
    return folder


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def models(loader):
    made = Models(loader)
    yield made
    made.close()


def configure(models, base, policy="", labels=()):
    text = f'model_config_list {{ config {{ name: "pets" base_path: "{base}" {policy}'
    text += "".join(f' version_labels {{ key: "{label}" value: {number} }}' for label, number in labels) + " } }"
    models.configure(text_format.Parse(text, model_server_config_pb2.ModelServerConfig()))


def make_spec(name="pets", version=None, label=None):
    made = model_pb2.ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label is not None:
        made.version_label = label
    return made


def ask_version(models, **which):
    with models.borrow(make_spec(**which)) as version:
        return version.number


def catch_error(models, **which):
    with pytest.raises(StatusError) as caught, models.borrow(make_spec(**which)):
        pass
    return caught.value.code, str(caught.value)


def push(base, *versions):
    for version in versions:
        (base / str(version)).mkdir()


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [
        ("", ["10"]),
        ("model_version_policy { latest { num_versions: 2 } }", ["9", "10"]),
        ("model_version_policy { all {} }", ["2", "9", "10"]),
        ("model_version_policy { specific { versions: 2 versions: 9 } }", ["2", "9"]),
        ("model_version_policy { specific { versions: 3 versions: 9 } }", ["9"]),
    ],
)
def test_the_policy_says_which_versions_are_loaded_oldest_first(models, loader, base, policy, loaded):
    push(base, 2, 9, 10, "tmp", ".11.partial")
    (base / "12").write_text("a file, no version")
    configure(models, base, policy)
    assert loader.events == [f"loaded {number}" for number in loaded]
    assert ask_version(models) == max(map(int, loaded))
    assert models.is_ready


def test_a_new_version_answers_before_the_old_one_goes(models, loader, base):
    push(base, 1)
    configure(models, base)
    push(base, 2)
    models.update()
    assert loader.events == ["loaded 1", "loaded 2", "closed 1"]
    assert ask_version(models) == 2
    assert [(version.number, version.state) for version in models.find_versions(make_spec())] == [
        (2, State.AVAILABLE),
        (1, State.END),
    ]
    assert catch_error(models, version=1) == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(pets, 1)",
    )
    models.update()
    assert len(loader.events) == 3  # nothing is loaded twice


def test_a_borrowed_version_is_closed_only_when_it_is_given_back(models, loader, base):
    push(base, 1)
    configure(models, base)
    with models.borrow(make_spec()) as old:
        push(base, 2)
        updating = threading.Thread(target=models.update)
        updating.start()
        while old.state != State.UNLOADING:
            assert updating.is_alive()
        assert ask_version(models) == 2  # new calls go on to the new one
        assert "closed 1" not in loader.events
        assert old.users == 1
    updating.join()
    assert loader.events[-1] == "closed 1"
    assert old.state == State.END


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_tried_again_once_it_changes(models, loader, base):
    push(base, 1)
    configure(models, base)
    loader.broken.add("2")
    push(base, 2)
    models.update()
    models.update()
    assert loader.events == ["loaded 1", "failed 2"]
    assert ask_version(models) == 1
    newest, oldest = models.find_versions(make_spec())
    assert (newest.state, str(newest.error), newest.error.code) == (State.END, "no graph", grpc.StatusCode.NOT_FOUND)
    assert oldest.state == State.AVAILABLE
    loader.broken.clear()
    (base / "2" / "saved_model.pb").touch()
    models.update()  # it may still be being written
    models.update()
    assert ask_version(models) == 2
    assert models.find_versions(make_spec(version=2))[0].error is None


def test_a_version_given_as_base_path_is_told_once(models, base, caplog):
    (base / "17").mkdir()
    (base / "17" / "saved_model.pb").touch()
    configure(models, base / "17")
    models.update()
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == f"model pets: {base}/17: it is itself a version; give the folder above it, {base}"
    assert not models.is_ready


def test_labels(models, base):
    push(base, 1, 2)
    both = "model_version_policy { all {} }"
    configure(models, base, both, labels=[("stable", 1), ("canary", 2)])
    assert ask_version(models, label="stable") == 1
    assert ask_version(models, label="canary") == 2
    assert catch_error(models, label="beta") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: beta",
    )
    with pytest.raises(
        StatusError, match="label to version 3 of model pets, which is not currently available"
    ) as caught:
        configure(models, base, both, labels=[("stable", 2), ("canary", 3)])
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert ask_version(models, label="stable") == 1  # none has moved
    configure(models, base, both, labels=[("stable", 2)])
    assert ask_version(models, label="stable") == 2
    assert [version.number for version in models.find_versions(make_spec(label="stable"))] == [2]


def test_version_0_is_the_newest_unless_there_is_one(models, base):
    push(base, 1, 2)
    configure(models, base, "model_version_policy { all {} }")
    assert ask_version(models, version=0) == 2
    assert [version.number for version in models.find_versions(make_spec(version=0))] == [2, 1]
    push(base, 0)
    models.update()
    assert ask_version(models, version=0) == 0


def test_a_model_that_left_the_configuration_is_unloaded(models, loader, base):
    push(base, 1)
    configure(models, base)
    models.configure(model_server_config_pb2.ModelServerConfig())
    assert loader.events == ["loaded 1", "closed 1"]
    assert catch_error(models) == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(pets)")
    assert not models.is_ready


def test_what_is_not_there_is_said_as_tf_serving_says_it(models, base):
    configure(models, base)  # an empty base path: versions may come
    assert not models.is_ready
    assert catch_error(models) == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(pets)")
    assert catch_error(models, name="") == (grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
    with pytest.raises(StatusError, match="Could not find any versions of model cars"):
        models.find_versions(make_spec("cars"))
    push(base, 1)
    models.update()
    with pytest.raises(StatusError, match="Could not find version 9 of model pets"):
        models.find_versions(make_spec(version=9))


def test_a_watched_folder_is_looked_at_again_and_again(models, base):
    configure(models, base)
    looked = threading.Semaphore(0)
    models.watch(0.01, looked.release)
    assert looked.acquire(timeout=10)
    push(base, 1)
    for _ in range(2):  # the look that was under way may have come too early
        looked.acquire(timeout=10)
    assert ask_version(models) == 1


def test_a_base_path_that_cannot_be_listed_for_a_moment_unloads_nothing(models, loader, base, caplog):
    push(base, 1)
    configure(models, base)
    base.rename(base.with_name("away"))
    models.update()
    models.update()
    assert (loader.events, ask_version(models), models.is_ready) == (["loaded 1"], 1, True)
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.startswith(f"model pets: {base}: it cannot be listed: No such file or directory; the versions that are")
    base.with_name("away").rename(base)
    push(base, 2)
    models.update()
    assert (loader.events[1:], ask_version(models)) == (["loaded 2", "closed 1"], 2)
    (base / "1").rmdir()
    (base / "2").rmdir()
    models.update()  # the folder is there, and says that there is no version
    assert (loader.events[-1], models.is_ready) == ("closed 2", False)


@pytest.fixture
def eager(loader):
    """Retries at every look, twice."""
    made = Models(loader, RetryPolicy(most=2, seconds=0))
    yield made
    made.close()


def test_a_version_that_cannot_be_loaded_is_tried_again_by_time(eager, loader, base):
    push(base, 1, 2)
    loader.broken.add("2")
    configure(eager, base)
    assert loader.events == ["failed 2"]
    loader.broken.clear()
    eager.update()
    assert (loader.events, ask_version(eager)) == (["failed 2", "loaded 2"], 2)


def test_the_retries_come_to_an_end_until_something_changes_at_any_depth(eager, loader, base):
    (base / "2" / "variables").mkdir(parents=True)
    data = base / "2" / "variables" / "data"
    data.write_bytes(b"half")
    loader.broken.add("2")
    configure(eager, base)
    for _ in range(5):
        eager.update()
    assert loader.events == ["failed 2"] * 3  # the first try and two retries
    before = (base / "2").stat().st_mtime_ns
    data.write_bytes(b"half and")
    eager.update()  # it is being written
    data.write_bytes(b"half and half")
    eager.update()
    assert (base / "2").stat().st_mtime_ns == before
    assert loader.events == ["failed 2"] * 3
    loader.broken.clear()
    eager.update()
    assert (loader.events[3:], ask_version(eager)) == (["loaded 2"], 2)


def test_a_version_that_comes_back_is_tried_again(models, loader, base):
    push(base, 2)
    loader.broken.add("2")
    configure(models, base)
    (base / "2").rename(base / ".2")
    models.update()
    loader.broken.clear()
    (base / ".2").rename(base / "2")
    models.update()
    assert (loader.events, ask_version(models)) == (["failed 2", "loaded 2"], 2)


def test_whatever_a_damaged_model_raises_other_models_go_on(base, tmp_path):
    def load(folder):
        if folder.name == "2":
            raise KeyError("no such op")
        return Loaded(folder.name, [])

    models = Models(load)
    push(base, 1, 2)
    (tmp_path / "zebras" / "1").mkdir(parents=True)
    text = "".join(f'config {{ name: "{name}" base_path: "{tmp_path}/{name}" }}' for name in ("pets", "zebras"))
    parsed = text_format.Parse(f"model_config_list {{ {text} }}", model_server_config_pb2.ModelServerConfig())
    models.configure(parsed)
    assert ask_version(models, name="zebras") == 1
    (failed,) = models.find_versions(make_spec(version=2))
    assert (failed.state, str(failed.error)) == (State.END, "KeyError: 'no such op'")
    models.close()


@pytest.mark.parametrize("name", ["20261126171900123456", "1_000", "١٢", "v3"])
def test_what_model_server_takes_for_no_version_changes_nothing(models, loader, base, name):
    push(base, 1)
    configure(models, base)
    push(base, name)
    models.update()
    assert (loader.events, ask_version(models), models.is_ready) == (["loaded 1"], 1, True)
    assert [version.number for version in models.find_versions(make_spec())] == [1]


def test_odd_names_of_versions_are_versions_as_in_model_server(models, loader, base):
    push(base, "007", "-1", " 8")
    configure(models, base, "model_version_policy { all {} }")
    assert loader.events == ["loaded -1", "loaded 007", "loaded  8"]
    assert ask_version(models, version=7) == 7
    assert ask_version(models, version=-1) == -1


# Another configuration: all of it or nothing


@pytest.fixture
def pets(models, loader, base):
    """Version 1 of two, with a label."""
    push(base, 1, 2)
    configure(models, base, ONLY_1, labels=[("stable", 1)])
    assert loader.events == ["loaded 1"]
    return models


ONLY_1, BOTH = "model_version_policy { specific { versions: 1 } }", "model_version_policy { all {} }"


def is_unchanged(models):
    """Nothing but version 1 answers, by its label, too, and a look at the folders changes nothing."""
    models.update()
    available = [each.number for each in models.find_versions(make_spec()) if each.state == State.AVAILABLE]
    return (available, ask_version(models, label="stable"), catch_error(models, label="new")[0]) == (
        [1],
        1,
        grpc.StatusCode.INVALID_ARGUMENT,
    )


def catch_rejection(models, base, *arguments, **options):
    with pytest.raises(StatusError) as caught:
        configure(models, base, *arguments, **options)
    return caught.value.code, str(caught.value)


def test_a_label_that_cannot_hold_is_refused_before_anything_is_loaded(pets, loader, base):
    for labels, words in {
        (("new", 7),): "label to version 7 of model pets, which is not currently available for inference",
        (("stable", 2),): "label to version 2 of model pets, which is not currently available for inference",
        (("stable", 1), ("new", 9)): "label to version 9 of model pets",
    }.items():
        code, said = catch_rejection(pets, base, BOTH, labels=labels)
        assert (code, words in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    code, said = catch_rejection(pets, base, "model_version_policy { latest {} }", labels=[("stable", 1)])
    assert (code, "version 1 of model pets, which its configuration does not load" in said) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        True,
    )
    assert loader.events == ["loaded 1"]
    assert is_unchanged(pets)


def test_a_new_label_may_be_for_a_version_that_the_same_configuration_loads(pets, loader, base):
    configure(pets, base, BOTH, labels=[("stable", 1), ("new", 2)])
    assert (ask_version(pets, label="new"), ask_version(pets, label="stable")) == (2, 1)


def test_a_new_label_whose_version_cannot_be_loaded_changes_nothing(pets, loader, base):
    loader.broken.add("2")
    code, said = catch_rejection(pets, base, BOTH, labels=[("stable", 1), ("new", 2)])
    assert (code, "version 2 of model pets" in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    assert is_unchanged(pets)
    assert loader.events == ["loaded 1", "failed 2"]


def configure_both_models(models, pets, zebras):
    text = f'config {{ name: "pets" base_path: "{pets}" {BOTH} version_labels {{ key: "new" value: 2 }} }}'
    text += f'config {{ name: "zebras" base_path: "{zebras}" }}'
    models.configure(text_format.Parse(f"model_config_list {{ {text} }}", model_server_config_pb2.ModelServerConfig()))


def test_a_new_model_that_cannot_be_loaded_is_an_error_and_changes_nothing(pets, loader, base, tmp_path):
    zebras = tmp_path / "zebras"
    for prepare, words in [
        (lambda: None, f"{{name: zebras, no version to load in {zebras}}}"),  # no folder at all
        (zebras.mkdir, f"{{name: zebras, no version to load in {zebras}}}"),
        ((zebras / "3").mkdir, "{name: zebras, version 3: no graph}"),
    ]:
        prepare()
        loader.broken.add("3")
        with pytest.raises(StatusError) as caught:
            configure_both_models(pets, base, zebras)
        assert caught.value.code == grpc.StatusCode.UNKNOWN
        assert str(caught.value) == f"1 model(s) did not become available: {{{words}}}"
        assert is_unchanged(pets)
        assert catch_error(pets, name="zebras")[0] == grpc.StatusCode.NOT_FOUND
    assert loader.events == ["loaded 1", "loaded 2", "failed 3", "closed 2"]  # pets' own was loaded, and let go
    (failed,) = pets.find_versions(make_spec("zebras"))
    assert (failed.state, str(failed.error)) == (State.END, "no graph")
    loader.broken.clear()
    configure_both_models(pets, base, zebras)
    assert (ask_version(pets, name="zebras"), ask_version(pets, label="new")) == (3, 2)


def test_a_model_whose_changed_policy_loads_nothing_is_an_error(pets, base):
    code, said = catch_rejection(pets, base, "model_version_policy { specific { versions: 9 } }")
    assert (code, "no version to load" in said) == (grpc.StatusCode.UNKNOWN, True)
    assert is_unchanged(pets)


def test_another_base_path_is_another_model_although_the_numbers_are_the_same(pets, loader, base, tmp_path):
    other = tmp_path / "other"
    push_to = (other / "1").mkdir
    code, said = catch_rejection(pets, other, ONLY_1)
    assert (code, f"no version to load in {other}" in said) == (grpc.StatusCode.UNKNOWN, True)
    push_to(parents=True)
    loader.broken.add("1")
    assert "version 1: no graph" in catch_rejection(pets, other, ONLY_1, labels=[("stable", 1)])[1]
    assert is_unchanged(pets)
    loader.broken.clear()
    with pets.borrow(make_spec(label="stable")) as before:
        assert before.directory == base / "1"
    configure(pets, other, ONLY_1, labels=[("stable", 1)])
    with pets.borrow(make_spec(label="stable")) as version:
        assert version.directory == other / "1"
    assert loader.events == ["loaded 1", "failed 1", "loaded 1", "closed 1"]


def test_a_configuration_that_changes_nothing_does_not_need_its_base_path(pets, loader, base):
    base.rename(base.with_name("away"))
    configure(pets, base, ONLY_1, labels=[("stable", 1), ("canary", 1)])
    assert ask_version(pets, label="canary") == 1
    assert loader.events == ["loaded 1"]
