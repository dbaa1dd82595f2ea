"""Finds the versions that a `ModelServerConfig` asks for: policy, base path and labels."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from atelier.files import versions

Configs = Mapping[str, model_server_config_pb2.ModelConfig]
"""By the models' names."""
Folders = Mapping[int, Path]
"""Version folders by version, lowest first."""

_log = logging.getLogger("atelier.serving")


class BasePaths:
    """Looks below base paths for the versions that are wanted."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        """By model, why there is nothing to load; logged once, not at every look."""

    def look(self, configs: Configs) -> dict[str, Folders | None]:
        """Returns the wanted version folders by model; None for a model whose base path cannot be listed now."""
        return {name: self._find_wanted(config) for name, config in configs.items()}

    def _find_wanted(self, config: model_server_config_pb2.ModelConfig) -> Folders | None:
        base, folders, reason = config.base_path, None, ""
        try:
            folders = versions.list_folders(base)
            if not folders:
                reason = versions.explain_none(base)
        except OSError as error:
            reason = f"it cannot be listed: {error.strerror}; the versions that are loaded go on answering"
        if reason and self._told.get(config.name) != reason:
            _log.warning("model %s: %s: %s", config.name, base, reason)
        self._told[config.name] = reason
        if folders is None:
            return None
        policy = config.model_version_policy
        kind = policy.WhichOneof("policy_choice")
        if kind == "all":
            return folders
        if kind == "specific":
            return {number: folder for number, folder in folders.items() if number in policy.specific.versions}
        return dict(list(folders.items())[-(policy.latest.num_versions or 1) :])


def are_alike(one: model_server_config_pb2.ModelConfig, other: model_server_config_pb2.ModelConfig) -> bool:
    """Tells whether two configurations of a model ask for the same versions, whatever their labels are."""
    same_base = Path(one.base_path) == Path(other.base_path)
    return same_base and one.model_version_policy == other.model_version_policy


def list_labels(configs: Configs) -> Iterator[tuple[str, str, int]]:
    """Yields (model, label, version) for every label."""
    for name, config in configs.items():
        for label, number in sorted(config.version_labels.items()):
            yield name, label, number
