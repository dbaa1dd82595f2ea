"""The table of backbones: each module of `trainer/backbones/families/` adds its own. Importing this module is cheap."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import keras

Blocks = tuple[tuple[str, ...], ...]


class BuildModel(Protocol):
    """Builds a network without its classification head; see `trainer.backbones.build` for the arguments."""

    def __call__(
        self,
        name: str,
        size: int,
        *,
        weights: str,
        weights_sha256: str,
        mean: Sequence[float] | None,
        variance: Sequence[float] | None,
        drop_connect: float,
    ) -> keras.Model:
        """Returns a model from [N, size, size, 3] float32 RGB, 0..255, to a feature map [N, h, w, channels]."""


def group_by_stage(layers: Sequence[str]) -> Blocks:
    """Groups layer names by the stage in them: `block3b_expand_conv` is of stage 3; `top_*` is the head."""
    stages = {name: int(match[1]) for name in layers if (match := re.match(r"block(\d+)[a-z]+_", name))}
    head = max(stages.values()) + 1
    blocks: list[list[str]] = [[] for _ in range(head + 1)]
    for name in layers:
        blocks[stages.get(name, head if name.startswith("top_") else 0)].append(name)
    return tuple(tuple(block) for block in blocks)


@dataclass(frozen=True)
class Network:
    """What is known about a backbone before it is built."""

    name: str
    """In the configuration, as `trainer.backbone`."""
    block_count: int
    """Blocks that fine-tuning can tell apart, stem and head included."""
    weights_endings: tuple[str, ...]
    """How the name of a weights file ends."""
    build_model: BuildModel
    group_layers: Callable[[Sequence[str]], Blocks] = group_by_stage
    """Groups the names of the model's layers, input left out, into its blocks. No layer is in two."""


_NETWORKS: dict[str, Network] = {}
NETWORKS: Mapping[str, Network] = MappingProxyType(_NETWORKS)
"""By name, in the order in which the families are imported."""


def register(network: Network) -> None:
    """Adds a backbone.

    Raises:
      ValueError: the name is taken.
    """
    if network.name in _NETWORKS:
        raise ValueError(f"{network.name}: a backbone of this name is registered already")
    _NETWORKS[network.name] = network
