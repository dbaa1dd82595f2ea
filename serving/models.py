"""Which versions of which models are in memory: base paths are watched, versions come and go as their policy says.

Paths, policies, labels and states are TensorFlow Serving's: `base_path/<number>/`, `model_version_policy`,
`version_labels`, START to END. A new version is loaded and warmed up before an old one is let go, so that one of them
always answers.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from components import freed_memory
from serving.status import StatusError, invalid

State = get_model_status_pb2.ModelVersionStatus.State

_log = logging.getLogger("atelier.serving")


class Model(Protocol):
    """What is kept in memory for a version."""

    def close(self) -> None:
        """Gives its memory back."""


@dataclass(eq=False)
class Version:
    """One version, from its folder's appearance to long after it was unloaded."""

    model_name: str
    number: int
    directory: Path
    changed: int
    """The folder's modification time in ns: one that failed to load is tried again when it changes."""
    state: int = State.START
    error: StatusError | None = None
    model: Model | None = None
    users: int = 0


class Models:
    """The models of a `ModelServerConfig`, kept as it says."""

    def __init__(self, load: Callable[[Path], Model]) -> None:
        """Takes what loads a version's folder and warms it up; a StatusError that it raises is the version's end."""
        self._load = load
        self._configs: dict[str, model_server_config_pb2.ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._changed = threading.Condition()
        """Guards everything above; notified when a user is done."""
        self._turn = threading.Lock()
        """Held while versions are loaded and unloaded: one at a time, so that two never need memory at once."""
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    def configure(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the configuration, loads and unloads what that asks for, then moves the labels.

        Raises:
          StatusError: FAILED_PRECONDITION, if a label names a version that is not available; all labels stay.
        """
        with self._turn:
            self._configs = {each.name: each for each in config.model_config_list.config}
            self._update()
            labels = {name: dict(each.version_labels) for name, each in self._configs.items()}
            with self._changed:
                for name, by_label in labels.items():
                    for number in by_label.values():
                        self._check_label(name, number)
                self._labels = labels

    def watch(self, seconds: float, then: Callable[[], None]) -> None:
        """Looks for new and vanished version folders every `seconds`, on a thread of its own; calls `then` after it."""
        self._watcher = threading.Thread(target=self._watch, args=(seconds, then), name="watch-models", daemon=True)
        self._watcher.start()

    def update(self) -> None:
        """Looks for new and vanished version folders once."""
        with self._turn:
            self._update()

    @contextlib.contextmanager
    def borrow(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """The version that a request asks for, the newest one by default; it is not unloaded while borrowed.

        Raises:
          StatusError: NOT_FOUND for a model or version that is not available, INVALID_ARGUMENT for a label that is not
            known or a spec without a name.
        """
        with self._changed:
            version = self._find(spec)
            version.users += 1
        try:
            yield version
        finally:
            with self._changed:
                version.users -= 1
                self._changed.notify_all()

    def states(self, spec: model_pb2.ModelSpec) -> list[Version]:
        """All versions ever seen of a model, newest first, or the one that the spec names.

        Raises:
          StatusError: NOT_FOUND; INVALID_ARGUMENT for a label that is not known.
        """
        with self._changed:
            known = self._versions.get(spec.name, {})
            number = self._number(spec, known)
            if number is None:
                if not known:
                    raise _not_found(f"Could not find any versions of model {spec.name}")
                return sorted(known.values(), key=lambda version: -version.number)
            if number not in known:
                raise _not_found(f"Could not find version {number} of model {spec.name}")
            return [known[number]]

    @property
    def is_ready(self) -> bool:
        """Every model of the configuration has a version that answers."""
        with self._changed:
            return all(self._available(name) for name in self._configs) and bool(self._configs)

    def close(self) -> None:
        """Ends the watching and unloads everything, once nothing is borrowed any more."""
        self._closing.set()
        if self._watcher:
            self._watcher.join()
        with self._turn:
            self._configs = {}
            self._update()

    def _watch(self, seconds: float, then: Callable[[], None]) -> None:
        while not self._closing.wait(seconds):
            with _logged("looking for new versions"):
                self.update()
                then()

    def _update(self) -> None:
        """Loads what is wanted and not there, oldest first; then unloads what is not wanted any more."""
        wanted = {name: _wanted(config) for name, config in self._configs.items()}
        for name, folders in wanted.items():
            for number, folder in sorted(folders.items()):
                if not self._closing.is_set():
                    self._bring(name, number, folder)
        for name in list(self._versions):
            available = self._available(name)
            folders = wanted.get(name, {})
            if folders and not available.keys() & folders.keys():
                continue  # none of the wanted ones could be loaded: what there is goes on answering
            for number in sorted(available.keys() - folders.keys()):
                self._unload(available[number])

    def _bring(self, name: str, number: int, folder: Path) -> None:
        try:
            changed = folder.stat().st_mtime_ns
        except OSError:
            return  # removed since it was listed
        with self._changed:
            known = self._versions.setdefault(name, {})
            before = known.get(number)
            failed = before is not None and before.error is not None
            if before is not None and (before.model is not None or (failed and before.changed == changed)):
                return
            version = known[number] = Version(name, number, folder, changed, State.LOADING)
        _log.info("model %s version %d: loading from %s", name, number, folder)
        began = time.monotonic()
        try:
            model = self._load(folder)
        except StatusError as error:
            with self._changed:
                version.state, version.error = State.END, error
            _log.error("model %s version %d: not loaded: %s", name, number, error)
            return
        with self._changed:
            version.model, version.state = model, State.AVAILABLE
        _log.info("model %s version %d: available after %.1f s", name, number, time.monotonic() - began)

    def _unload(self, version: Version) -> None:
        with self._changed:
            version.state = State.UNLOADING
            model, version.model = version.model, None
            self._changed.wait_for(lambda: not version.users)
        assert model is not None
        model.close()
        del model
        freed_memory.give_back()
        with self._changed:
            version.state = State.END
        _log.info("model %s version %d: unloaded", version.model_name, version.number)

    def _find(self, spec: model_pb2.ModelSpec) -> Version:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        available = self._available(spec.name)
        number = self._number(spec, available)
        if number is None and not available:
            raise _not_found(f"Servable not found for request: Latest({spec.name})")
        if number is None:
            return available[max(available)]
        if number not in available:
            raise _not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        return available[number]

    def _number(self, spec: model_pb2.ModelSpec, known: Mapping[int, Version]) -> int | None:
        """The version that the spec names; None: none in particular."""
        if spec.HasField("version_label"):
            number = self._labels.get(spec.name, {}).get(spec.version_label)
            if number is None:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            return number
        if not spec.HasField("version") or (spec.version.value == 0 and 0 not in known):
            return None  # OpenVINO's client sends 0 for the newest
        return spec.version.value

    def _available(self, name: str) -> dict[int, Version]:
        known = self._versions.get(name, {})
        return {number: version for number, version in known.items() if version.state == State.AVAILABLE}

    def _check_label(self, name: str, number: int) -> None:
        if number not in self._available(name):
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Request to assign label to version {number} of model {name}, which is not currently available for "
                "inference",
            )


def _wanted(config: model_server_config_pb2.ModelConfig) -> dict[int, Path]:
    """Folders by version, of those below the base path that the policy wants."""
    base = Path(config.base_path)
    try:
        folders = {int(path.name): path for path in base.iterdir() if path.name.isdecimal() and path.is_dir()}
    except OSError as error:
        _log.warning("model %s: %s cannot be listed: %s", config.name, base, error.strerror)
        return {}
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return folders
    if kind == "specific":
        return {number: folders[number] for number in policy.specific.versions if number in folders}
    newest = sorted(folders, reverse=True)[: policy.latest.num_versions or 1]
    return {number: folders[number] for number in newest}


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """Whatever goes wrong is told in the log alone: the next time may find it mended."""
    try:
        yield
    except Exception:  # noqa: BLE001
        _log.exception("%s failed", what)


def _not_found(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, message)
