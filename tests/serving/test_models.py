import threading
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.models import Models, State
from serving.status import StatusError


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


def configured(models, base, policy="", labels=()):
    text = f'model_config_list {{ config {{ name: "pets" base_path: "{base}" {policy}'
    text += "".join(f' version_labels {{ key: "{label}" value: {number} }}' for label, number in labels) + " } }"
    models.configure(text_format.Parse(text, model_server_config_pb2.ModelServerConfig()))


def spec(name="pets", version=None, label=None):
    made = model_pb2.ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label is not None:
        made.version_label = label
    return made


def answering(models, **which):
    with models.borrow(spec(**which)) as version:
        return version.number


def refusal(models, **which):
    with pytest.raises(StatusError) as caught, models.borrow(spec(**which)):
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
    configured(models, base, policy)
    assert loader.events == [f"loaded {number}" for number in loaded]
    assert answering(models) == max(map(int, loaded))
    assert models.is_ready


def test_a_new_version_answers_before_the_old_one_goes(models, loader, base):
    push(base, 1)
    configured(models, base)
    push(base, 2)
    models.update()
    assert loader.events == ["loaded 1", "loaded 2", "closed 1"]
    assert answering(models) == 2
    assert [(version.number, version.state) for version in models.states(spec())] == [
        (2, State.AVAILABLE),
        (1, State.END),
    ]
    assert refusal(models, version=1) == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(pets, 1)",
    )
    models.update()
    assert len(loader.events) == 3  # nothing is loaded twice


def test_a_borrowed_version_is_closed_only_when_it_is_given_back(models, loader, base):
    push(base, 1)
    configured(models, base)
    with models.borrow(spec()) as old:
        push(base, 2)
        updating = threading.Thread(target=models.update)
        updating.start()
        while old.state != State.UNLOADING:
            assert updating.is_alive()
        assert answering(models) == 2  # new calls go on to the new one
        assert "closed 1" not in loader.events
        assert old.users == 1
    updating.join()
    assert loader.events[-1] == "closed 1"
    assert old.state == State.END


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_tried_again_once_it_changes(models, loader, base):
    push(base, 1)
    configured(models, base)
    loader.broken.add("2")
    push(base, 2)
    models.update()
    models.update()
    assert loader.events == ["loaded 1", "failed 2"]
    assert answering(models) == 1
    newest, oldest = models.states(spec())
    assert (newest.state, str(newest.error), newest.error.code) == (State.END, "no graph", grpc.StatusCode.NOT_FOUND)
    assert oldest.state == State.AVAILABLE
    loader.broken.clear()
    (base / "2" / "saved_model.pb").touch()
    models.update()
    assert answering(models) == 2
    assert models.states(spec(version=2))[0].error is None


def test_labels(models, base):
    push(base, 1, 2)
    both = "model_version_policy { all {} }"
    configured(models, base, both, labels=[("stable", 1), ("canary", 2)])
    assert answering(models, label="stable") == 1
    assert answering(models, label="canary") == 2
    assert refusal(models, label="beta") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: beta",
    )
    with pytest.raises(
        StatusError, match="label to version 3 of model pets, which is not currently available"
    ) as caught:
        configured(models, base, both, labels=[("stable", 2), ("canary", 3)])
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert answering(models, label="stable") == 1  # none has moved
    configured(models, base, both, labels=[("stable", 2)])
    assert answering(models, label="stable") == 2
    assert [version.number for version in models.states(spec(label="stable"))] == [2]


def test_version_0_is_the_newest_unless_there_is_one(models, base):
    push(base, 1, 2)
    configured(models, base, "model_version_policy { all {} }")
    assert answering(models, version=0) == 2
    assert [version.number for version in models.states(spec(version=0))] == [2, 1]
    push(base, 0)
    models.update()
    assert answering(models, version=0) == 0


def test_a_model_that_left_the_configuration_is_unloaded(models, loader, base):
    push(base, 1)
    configured(models, base)
    models.configure(model_server_config_pb2.ModelServerConfig())
    assert loader.events == ["loaded 1", "closed 1"]
    assert refusal(models) == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(pets)")
    assert not models.is_ready


def test_what_is_not_there_is_said_as_tf_serving_says_it(models, base):
    configured(models, base)  # an empty base path: versions may come
    assert not models.is_ready
    assert refusal(models) == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(pets)")
    assert refusal(models, name="") == (grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
    with pytest.raises(StatusError, match="Could not find any versions of model cars"):
        models.states(spec("cars"))
    push(base, 1)
    models.update()
    with pytest.raises(StatusError, match="Could not find version 9 of model pets"):
        models.states(spec(version=9))


def test_a_watched_folder_is_looked_at_again_and_again(models, base):
    configured(models, base)
    looked = threading.Semaphore(0)
    models.watch(0.01, looked.release)
    assert looked.acquire(timeout=10)
    push(base, 1)
    for _ in range(2):  # the look that was under way may have come too early
        looked.acquire(timeout=10)
    assert answering(models) == 1


def test_a_base_path_that_vanishes_takes_its_versions_along(models, loader, base):
    push(base, 1)
    configured(models, base)
    (base / "1").rmdir()
    base.rmdir()
    models.update()
    assert loader.events == ["loaded 1", "closed 1"]
