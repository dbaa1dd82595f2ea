"""The hook by which somebody else sees what a client does, such as `serving.monitor.metrics.ClientMetrics`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc

from serving.client.predictions import Answer

METHODS = {
    "PredictRequest": "Predict",
    "ClassificationRequest": "Classify",
    "GetModelMetadataRequest": "GetModelMetadata",
    "GetModelStatusRequest": "GetModelStatus",
}
"""gRPC's name of a call, by the message that it takes."""


@dataclass(frozen=True)
class Call:
    """A call that has ended, its retries included.

    Attributes:
      model: that was asked.
      method: gRPC's name of it.
      version: that answered; None: none did, or the answer names none.
      code: gRPC's status.
      seconds: wall time.
    """

    model: str
    method: str
    version: int | None
    code: grpc.StatusCode
    seconds: float


class Observer(Protocol):
    """What a client tells. Its threads call at the same time; what is raised here, the caller of the client gets."""

    def note_call(self, call: Call) -> None:
        """Is told of each call, also of those that ask for a version's preprocessing or names."""

    def note_answers(self, model: str, version: int, answers: Sequence[Answer]) -> None:
        """Is told of the answers of each call for classes, one for each image."""


def describe_call(request: object, response: object | None, code: grpc.StatusCode, seconds: float) -> Call:
    """Returns what there is to tell of a call; `response` None: it failed."""
    spec = getattr(response, "model_spec", None)
    version = int(spec.version.value) if spec is not None and spec.HasField("version") else None
    name = request.DESCRIPTOR.name  # type: ignore[attr-defined]  # a message
    return Call(request.model_spec.name, METHODS[name], version, code, seconds)  # type: ignore[attr-defined]
