"""The file `models.config` of ModelServer: which versions of a model are loaded, and which aliases point at them.

The file alone holds the aliases. TensorFlow Serving calls them version labels.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.registry.errors import RegistryError
from serving.server.model_server_config import ModelServerConfigError, check, read_models_config

STABLE, CANARY = "stable", "canary"
ALIASES = (STABLE, CANARY)

_HEADER = """\
# Written by `atelier models`, which also keeps the history of every change beside this file.
# Versions are loaded one by one: a new version takes traffic when this file says so.
"""


@dataclass(frozen=True)
class ModelsConfig:
    """The content of a models.config; `text` is None where the file is not there yet."""

    file: Path
    text: str | None
    message: model_server_config_pb2.ModelServerConfig

    def list_models(self) -> list[str]:
        """Returns the names of the models."""
        return [each.name for each in self.message.model_config_list.config]

    def read_aliases(self, model: str) -> dict[str, int]:
        """Returns the version of each alias of a model."""
        found = self._find(model)
        return dict(sorted(found.version_labels.items())) if found else {}

    def list_loaded_versions(self, model: str) -> list[int]:
        """Returns the versions that the file names one by one, lowest first; none for another policy."""
        found = self._find(model)
        return sorted(found.model_version_policy.specific.versions) if found else []

    def find_base_path(self, model: str) -> str:
        """Returns the base path as the server sees it; "" for a model that the file does not have."""
        found = self._find(model)
        return found.base_path if found else ""

    def replace(
        self, model: str, base_path: str, versions: Collection[int], aliases: Mapping[str, int]
    ) -> "ModelsConfig":
        """Returns the content with other versions and aliases of one model; the other models stay as they are.

        Args:
          model: is added if the file does not have it.
          base_path: of a model that is added.
          versions: to load.
          aliases: all of them.
        """
        message = model_server_config_pb2.ModelServerConfig()
        message.CopyFrom(self.message)
        entries = message.model_config_list.config
        entry = next((each for each in entries if each.name == model), None)
        if entry is None:
            entry = entries.add(name=model, base_path=base_path, model_platform="tensorflow")
        entry.model_version_policy.Clear()
        entry.model_version_policy.specific.versions.extend(sorted(versions))
        entry.version_labels.clear()
        for alias, version in aliases.items():
            entry.version_labels[alias] = version
        return ModelsConfig(self.file, _HEADER + text_format.MessageToString(message), message)

    def build_default_config(self, model: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
        """Returns what a server is given for this content: without a file, the newest version of the model."""
        if self.text is not None:
            return self.message
        message = model_server_config_pb2.ModelServerConfig()
        message.model_config_list.config.add(name=model, base_path=base_path, model_platform="tensorflow")
        return message

    def write(self) -> None:
        """Replaces the file, whole and on the disk when this returns; a content without text removes the file.

        Raises:
          RegistryError: the file cannot be written; it is as it was.
        """
        try:
            self._write()
        except OSError as error:
            raise RegistryError(f"{self.file}: cannot be written: {error.strerror}; it is as it was") from None

    def _write(self) -> None:
        if self.text is None:
            self.file.unlink(missing_ok=True)
        else:
            partial = self.file.with_name(f".{self.file.name}.partial")
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(self.text)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _find(self, model: str) -> model_server_config_pb2.ModelConfig | None:
        return next((each for each in self.message.model_config_list.config if each.name == model), None)


def read(file: Path) -> ModelsConfig:
    """Reads a models.config; a file that is not there is a configuration without models.

    Raises:
      ModelServerConfigError: the file cannot be read, or ModelServer would reject it.
    """
    if not file.exists():
        return ModelsConfig(file, None, model_server_config_pb2.ModelServerConfig())
    message = read_models_config(file)  # first: it says what is wrong with a file that cannot be read
    return ModelsConfig(file, file.read_text(encoding="utf-8"), message)


def restore(file: Path, text: str | None) -> ModelsConfig:
    """Returns an earlier content of a models.config.

    Raises:
      RegistryError: the text is no configuration of ModelServer.
    """
    message = model_server_config_pb2.ModelServerConfig()
    if text is not None:
        try:
            check(text_format.Parse(text, message), str(file))
        except (text_format.ParseError, ModelServerConfigError) as error:
            raise RegistryError(f"{file}: the content that its history holds cannot be read: {error}") from None
    return ModelsConfig(file, text, message)
