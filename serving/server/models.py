"""Keeps versions of models in memory: watches base paths, and loads and unloads versions as their policy says.

Paths, policies, labels and states are TensorFlow Serving's: `base_path/<number>/`, `model_version_policy`,
`version_labels`, START to END. A new version is loaded and warmed up before an old one is unloaded, so that one of
them always answers.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from compat import freed_memory
from serving.server.load_retries import FailedLoad, RetryPolicy, read_contents
from serving.server.observer import VersionState
from serving.server.status import StatusError
from serving.server.version_table import Model, State, Version, VersionTable
from serving.server.wanted_versions import BasePaths, Configs, Folders, are_alike, list_labels

_UNAVAILABLE = "is not currently available for inference"
_log = logging.getLogger("atelier.serving")


class Models:
    """The models of a `ModelServerConfig`."""

    def __init__(self, load: Callable[[Path], Model], retries: RetryPolicy | None = None) -> None:
        """Prepares to keep models.

        Args:
          load: loads a version's folder and warms it up; a StatusError that it raises is a failed load.
          retries: of failed loads; None: the policy's defaults.
        """
        self._load, self._retries = load, retries or RetryPolicy()
        self._configs: Configs | None = None
        self._table = VersionTable()
        self._turn = threading.Lock()
        """Held while versions are loaded and unloaded: one at a time, so that two never need memory at once."""
        self._base_paths = BasePaths()
        self._failures: dict[tuple[str, int], FailedLoad] = {}
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    def configure(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Takes a configuration, and loads and unloads what it asks for.

        The models of the first one may be without versions: these may come. A later one is taken whole or not at all:
        what is new in it is loaded before anything else changes, and if that fails, everything stays as it was.

        Raises:
          StatusError: FAILED_PRECONDITION, if a label is for a version that is not available; UNKNOWN, if a later
            configuration adds or changes a model of which no version can be loaded.
        """
        configs = {each.name: each for each in config.model_config_list.config}
        with self._turn:
            if self._configs is None:
                self._start(configs)
            else:
                self._reconfigure(self._configs, configs)

    def watch(self, seconds: float, then: Callable[[], None]) -> None:
        """Looks for new and vanished version folders every `seconds`, on a thread of its own; calls `then` after it."""
        self._watcher = threading.Thread(target=self._watch, args=(seconds, then), name="watch-models", daemon=True)
        self._watcher.start()

    def update(self) -> None:
        """Looks for new and vanished version folders once."""
        with self._turn:
            self._update()

    def has(self, name: str) -> bool:
        """Tells whether the configuration has a model of this name."""
        return name in (self._configs or {})

    def list_states(self) -> list[VersionState]:
        """See `VersionTable.list_states`."""
        return self._table.list_states()

    def borrow(self, spec: model_pb2.ModelSpec) -> AbstractContextManager[Version]:
        """See `VersionTable.borrow`."""
        return self._table.borrow(spec)

    def find_versions(self, spec: model_pb2.ModelSpec) -> list[Version]:
        """See `VersionTable.find_versions`."""
        return self._table.find_versions(spec)

    @property
    def is_ready(self) -> bool:
        """Tells whether every model of the configuration has a version that answers."""
        with self._table.changed:
            configs = self._configs or {}
            return bool(configs) and all(self._table.list_available(name) for name in configs)

    def close(self) -> None:
        """Ends the watching and unloads everything, once nothing is borrowed any more."""
        self._closing.set()
        if self._watcher:
            self._watcher.join()
        with self._turn:
            self._configs = {}
            self._unload_all_but({})

    def _watch(self, seconds: float, then: Callable[[], None]) -> None:
        while not self._closing.wait(seconds):
            with _log_errors("looking for new versions"):
                self.update()
                then()

    def _start(self, configs: Configs) -> None:
        self._configs = configs
        self._update()
        with self._table.changed:
            for name, label, number in list_labels(configs):
                if number not in self._table.list_available(name):
                    raise _build_label_error(name, number)
                self._table.labels.setdefault(name, {})[label] = number

    def _update(self) -> None:
        """Loads what is wanted and not there, oldest first; then unloads what is not wanted any more."""
        wanted = self._base_paths.look(self._configs or {})
        for name, number, folder in self._find_missing(wanted):
            if not self._closing.is_set() and self._is_due(name, number, folder):
                version = self._load_version(name, number, folder)
                with self._table.changed:
                    self._table.publish(version)
        self._unload_all_but(wanted)

    def _reconfigure(self, old: Configs, new: Configs) -> None:
        """Goes from one configuration to another, or raises with nothing changed."""
        changed = {name for name, config in new.items() if name not in old or not are_alike(config, old[name])}
        wanted = self._base_paths.look(new)
        if missing := {name: f"no version to load in {new[name].base_path}" for name in changed if not wanted[name]}:
            raise _build_load_error(missing)
        # As in ModelServer, before anything is loaded. `fixed` labels are those that are in use and do not change.
        fixed = {
            (name, label)
            for name, label, number in list_labels(new)
            if name not in changed and self._table.labels.get(name, {}).get(label) == number
        }
        with self._table.changed:
            self._check_labels(new, wanted, fixed)
        loaded = [
            self._load_version(name, number, folder)
            for name, number, folder in self._find_missing(wanted)
            if name in changed or self._is_due(name, number, folder)
        ]
        try:
            with self._table.changed:
                self._check_loaded(new, changed, fixed, loaded)
                replaced = [self._table.publish(version) for version in loaded]
                self._configs = new
                self._table.labels = {name: dict(config.version_labels) for name, config in new.items()}
        except StatusError:
            self._reject(loaded)
            raise
        for version in replaced:
            if version:
                self._unload(version)
        self._unload_all_but(wanted)

    def _check_labels(self, new: Configs, wanted: Mapping[str, Folders | None], fixed: set[tuple[str, str]]) -> None:
        """Raises for a label that cannot hold: its version is not wanted, or it moves to one that is not available.

        A new label may be for a version that is still to be loaded, as in ModelServer with
        `--allow_version_labels_for_unavailable_models`.
        """
        for name, label, number in list_labels(new):
            folders = wanted[name]
            is_available = number in self._table.list_available(name)
            if (name, label) in fixed or (folders is None and is_available):
                continue
            in_use = self._table.labels.get(name, {}).get(label, number) != number
            if not is_available and (in_use or number not in (folders or {})):
                raise _build_label_error(name, number)
            if number not in (folders or {}):
                raise _build_label_error(name, number, "its configuration does not load")

    def _check_loaded(
        self, new: Configs, changed: set[str], fixed: set[tuple[str, str]], loaded: Iterable[Version]
    ) -> None:
        """Raises if a changed model would have no version of its base path, or a label none that is available."""
        there = {name: {*self._table.list_available(name, Path(config.base_path))} for name, config in new.items()}
        failed: dict[str, str] = {}
        for version in loaded:
            if version.model:
                there[version.model_name].add(version.number)
            else:
                failed[version.model_name] = f"version {version.number}: {version.error}"
        if without := {name: failed[name] for name in changed if not there[name]}:
            raise _build_load_error(without)
        for name, label, number in list_labels(new):
            if (name, label) not in fixed and number not in there[name]:
                raise _build_label_error(name, number)

    def _find_missing(self, wanted: Mapping[str, Folders | None]) -> Iterator[tuple[str, int, Path]]:
        """Yields what is wanted and not in memory, oldest first; a version of another base path is another one."""
        for name, folders in wanted.items():
            for number, folder in (folders or {}).items():
                if number not in self._table.list_available(name, folder.parent):
                    yield name, number, folder

    def _is_due(self, name: str, number: int, folder: Path) -> bool:
        failure = self._failures.get((name, number))
        return failure is None or failure.folder != folder or failure.is_due()

    def _load_version(self, name: str, number: int, folder: Path) -> Version:
        """Loads a version, which answers once it is published; one that cannot be loaded is without a model."""
        version = Version(name, number, folder, State.LOADING)
        with self._table.changed:
            known = self._table.by_model.setdefault(name, {})
            if number not in known or known[number].model is None:
                known[number] = version
        _log.info("model %s version %d: loading from %s", name, number, folder)
        tried, began = read_contents(folder), time.monotonic()
        try:
            model = self._load(folder)
        except Exception as error:  # noqa: BLE001  # a damaged model raises anything, and other models go on
            failure = FailedLoad(folder, tried, self._retries, self._failures.get((name, number)))
            self._failures[name, number] = failure
            if not isinstance(error, StatusError):
                _log.exception("model %s version %d: its folder cannot be read as a model", name, number)
                error = StatusError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
            with self._table.changed:
                version.state, version.error = State.END, error
            again = "when" if failure.is_final else f"in {self._retries.seconds:g} s, or when"
            _log.error("model %s version %d: not loaded: %s; tried again %s it changes", name, number, error, again)
            return version
        self._failures.pop((name, number), None)
        with self._table.changed:
            version.model = model
        _log.info("model %s version %d: loaded after %.1f s", name, number, time.monotonic() - began)
        return version

    def _reject(self, loaded: Iterable[Version]) -> None:
        """Unloads what was loaded for a configuration that is not taken."""
        for version in loaded:
            if version.model:
                self._unload(version)
                version.error = StatusError(grpc.StatusCode.CANCELLED, "its configuration was rejected")

    def _unload_all_but(self, wanted: Mapping[str, Folders | None]) -> None:
        for name in list(self._table.by_model):
            folders = wanted.get(name, {})
            if folders is None:
                continue  # the base path cannot be listed now
            for key in [key for key in self._failures if key[0] == name and key[1] not in folders]:
                del self._failures[key]  # what comes back is tried again
            available = sorted(self._table.list_available(name).values(), key=lambda version: version.number)
            unwanted = [each for each in available if folders.get(each.number, Path()).parent != each.directory.parent]
            if folders and len(unwanted) == len(available):
                continue  # none of the wanted ones could be loaded: what there is goes on answering
            for version in unwanted:
                self._unload(version)

    def _unload(self, version: Version) -> None:
        with self._table.changed:
            version.state = State.UNLOADING
            model, version.model = version.model, None
            self._table.changed.wait_for(lambda: not version.users)
        assert model is not None
        model.close()
        del model
        freed_memory.give_back()
        with self._table.changed:
            version.state = State.END
        _log.info("model %s version %d: unloaded", version.model_name, version.number)


@contextlib.contextmanager
def _log_errors(what: str) -> Iterator[None]:
    """Logs whatever goes wrong, and goes on: the next attempt may succeed."""
    try:
        yield
    except Exception:  # noqa: BLE001
        _log.exception("%s failed", what)


def _build_label_error(name: str, number: int, why: str = _UNAVAILABLE) -> StatusError:
    message = f"Request to assign label to version {number} of model {name}, which {why}"
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def _build_load_error(reasons: Mapping[str, str]) -> StatusError:
    """Builds the error in ModelServer's words, with the code that it has for this."""
    each = ", ".join(f"{{name: {name}, {reason}}}" for name, reason in sorted(reasons.items()))
    return StatusError(grpc.StatusCode.UNKNOWN, f"{len(reasons)} model(s) did not become available: {{{each}}}")
