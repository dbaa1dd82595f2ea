"""The versions below a serving base path: what Pusher wrote, read where it lies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atelier import labels
from atelier.files import versions
from atelier.layout import ASSETS_EXTRA
from serving.registry.errors import RegistryError

PROVENANCE_FILE = "provenance.json"
MODEL_FILE = "saved_model.pb"
_FIRST_PUSH_TIME = 1_000_000_000
"""A lower version, such as 1, was numbered by hand: it is not the time of a push."""


@dataclass(frozen=True)
class PushedVersion:
    """One version folder.

    Attributes:
      number: the version.
      folder: holds `saved_model.pb`.
      bytes: of all of its files.
      code: fingerprint of the training code; "": the folder does not say.
      data: fingerprint of the data; "": the folder does not say.
    """

    number: int
    folder: Path
    bytes: int
    code: str
    data: str

    @property
    def pushed_at(self) -> datetime | None:
        """When the version was pushed: Pusher takes the Unix time as its number. None: it was numbered by hand."""
        if not _FIRST_PUSH_TIME <= self.number < 10 * _FIRST_PUSH_TIME:
            return None
        return datetime.fromtimestamp(self.number, UTC)

    def read_class_names(self) -> list[str]:
        """Returns the names of the classes by id; none where the folder does not hold them."""
        try:
            return labels.read_labels(self.folder / ASSETS_EXTRA)
        except (OSError, UnicodeDecodeError):
            return []


def list_versions(base: Path) -> dict[int, PushedVersion]:
    """Returns the versions with a model, lowest first.

    Args:
      base: the serving base path, such as output/demo/serving_model.

    Raises:
      RegistryError: it cannot be listed, or has no version with a model.
    """
    try:
        folders = versions.list_folders(base)
        found = {number: _read(number, folder) for number, folder in folders.items() if _holds_model(folder)}
        if not found:
            reason = f"no {MODEL_FILE} in any of its versions" if folders else versions.explain_none(base)
            raise RegistryError(f"{base}: {reason}")
    except OSError as error:
        raise RegistryError(f"{base}: the folder cannot be read: {error.strerror}") from None
    return found


def get_version(base: Path, number: int) -> PushedVersion:
    """Returns one version.

    Raises:
      RegistryError: it is not there, or holds no model.
    """
    found = list_versions(base)
    if number not in found:
        raise RegistryError(f"{base}: no version {number}; there are {', '.join(map(str, found))}")
    return found[number]


def _holds_model(folder: Path) -> bool:
    return (folder / MODEL_FILE).is_file()


def _read(number: int, folder: Path) -> PushedVersion:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    provenance = _read_provenance(folder / ASSETS_EXTRA / PROVENANCE_FILE)
    return PushedVersion(
        number, folder, size, code=str(provenance.get("code", "")), data=str(provenance.get("data", ""))
    )


def _read_provenance(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise RegistryError(f"{file}: not JSON; push the version again, or remove the file") from None
    return content if isinstance(content, dict) else {}
