"""The versions of all models, and how a request finds one: by number, by label, or the newest."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving.server.observer import VersionState
from serving.server.status import StatusError, build_invalid_error

State = get_model_status_pb2.ModelVersionStatus.State


class Model(Protocol):
    """What a version keeps in memory."""

    def close(self) -> None:
        """Gives the memory back."""


@dataclass(eq=False)
class Version:
    """One version, from its folder's appearance to long after it was unloaded."""

    model_name: str
    number: int
    directory: Path
    state: int = State.START
    error: StatusError | None = None
    model: Model | None = None
    users: int = 0


class VersionTable:
    """Versions by model and number, and labels. Hold `changed` while you use it; `borrow` and `find_versions` do so."""

    def __init__(self) -> None:
        """Starts empty."""
        self.by_model: dict[str, dict[int, Version]] = {}
        self.labels: dict[str, dict[str, int]] = {}
        self.changed = threading.Condition()
        """Guards the table; notified when a user of a version is done."""

    @contextlib.contextmanager
    def borrow(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """Yields the version that a request asks for, by default the newest; it is not unloaded while borrowed.

        Raises:
          StatusError: NOT_FOUND for a model or version that is not available, INVALID_ARGUMENT for a label that is not
            known or a spec without a name.
        """
        with self.changed:
            version = self._find(spec)
            version.users += 1
        try:
            yield version
        finally:
            with self.changed:
                version.users -= 1
                self.changed.notify_all()

    def find_versions(self, spec: model_pb2.ModelSpec) -> list[Version]:
        """Returns all versions ever seen of a model, newest first, or the one that the spec names.

        Raises:
          StatusError: NOT_FOUND; INVALID_ARGUMENT for a label that is not known.
        """
        with self.changed:
            known = self.by_model.get(spec.name, {})
            number = self._resolve_number(spec, known)
            if number is None:
                if not known:
                    raise _build_not_found_error(f"Could not find any versions of model {spec.name}")
                return sorted(known.values(), key=lambda version: -version.number)
            if number not in known:
                raise _build_not_found_error(f"Could not find version {number} of model {spec.name}")
            return [known[number]]

    def list_states(self) -> list[VersionState]:
        """Returns the versions of all models that are wanted or in memory."""
        with self.changed:
            return [
                VersionState(
                    name,
                    number,
                    State.Name(version.state),
                    [label for label, labeled in self.labels.get(name, {}).items() if labeled == number],
                )
                for name, known in self.by_model.items()
                for number, version in known.items()
                if version.state != State.END or version.error
            ]

    def publish(self, version: Version) -> Version | None:
        """Lets a loaded version answer; returns the one of another base path that it replaces."""
        if version.model is None:
            return None
        known = self.by_model[version.model_name]
        before, known[version.number] = known[version.number], version
        version.state = State.AVAILABLE
        return before if before is not version else None

    def _find(self, spec: model_pb2.ModelSpec) -> Version:
        if not spec.name:
            raise build_invalid_error("ModelSpec has no name specified.")
        available = self.list_available(spec.name)
        number = self._resolve_number(spec, available)
        if number is None and not available:
            raise _build_not_found_error(f"Servable not found for request: Latest({spec.name})")
        if number is None:
            return available[max(available)]
        if number not in available:
            raise _build_not_found_error(f"Servable not found for request: Specific({spec.name}, {number})")
        return available[number]

    def _resolve_number(self, spec: model_pb2.ModelSpec, known: Mapping[int, Version]) -> int | None:
        """Returns the version that the spec names; None: none in particular."""
        if spec.HasField("version_label"):
            number = self.labels.get(spec.name, {}).get(spec.version_label)
            if number is None:
                raise build_invalid_error(f"Unrecognized servable version label: {spec.version_label}")
            return number
        if not spec.HasField("version") or (spec.version.value == 0 and 0 not in known):
            return None  # OpenVINO's client sends 0 for the newest
        return spec.version.value

    def list_available(self, name: str, base: Path | None = None) -> dict[int, Version]:
        """Returns the versions that answer, of one base path or of any."""
        return {
            number: version
            for number, version in self.by_model.get(name, {}).items()
            if version.state == State.AVAILABLE and base in (None, version.directory.parent)
        }


def _build_not_found_error(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, message)
