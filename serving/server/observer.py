"""The hook by which somebody else sees what a server does, such as `serving.monitor.metrics.server.ServerMetrics`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
import numpy as np


@dataclass(frozen=True)
class ServedCall:
    """A call that has ended.

    Attributes:
      model: that it asked for; "": none that this server has.
      method: gRPC's name of it.
      version: that answered; None: none did.
      code: gRPC's status.
      seconds: from the handler's start to its end.
    """

    model: str
    method: str
    version: int | None
    code: grpc.StatusCode
    seconds: float


@dataclass(frozen=True)
class VersionState:
    """A version that the server has seen.

    Attributes:
      model: its name.
      version: its number.
      state: START, LOADING, AVAILABLE, UNLOADING or END.
      labels: that stand for it.
    """

    model: str
    version: int
    state: str
    labels: Sequence[str]


class Observer(Protocol):
    """What a server tells; its threads call at the same time."""

    def note_call(self, call: ServedCall) -> None:
        """Is told of each call that reaches a handler."""

    def note_batch(self, model: str, version: int, rows: int, waits: Sequence[float]) -> None:
        """Is told of each run of a model: its rows, and the seconds that each of its requests waited in the queue."""

    def note_outputs(self, model: str, version: int, outputs: Mapping[str, np.ndarray]) -> None:
        """Is told of the outputs for each request, each [rows, ...]."""
