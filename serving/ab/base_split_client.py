"""What the blocking and the asynchronous split client have in common: everything but the waiting."""

import os
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from serving.ab.answer_log import Answer, AnswerLog, format_now
from serving.ab.image_statistics import measure
from serving.ab.samples import SampleFolder, Samples
from serving.ab.split import BUCKETS, CANARY, CONTROL, REST, SharesFile
from serving.client import NoPredictionError, Prediction, PreparedImage, ServedModel, ServingError
from serving.client.connection import TARGET
from serving.client.messages import DEFAULT_MODEL
from serving.client.observer import Observer

STABLE = "stable"
NO_PREDICTION = "NO_PREDICTION"
"""In the log, instead of a status: the model gave NaN or infinity."""


@dataclass(frozen=True)
class SplitAnswer:
    """The answer to one request.

    Attributes:
      request_id: under which its truth comes in.
      arm: canary, control or rest.
      prediction: of the version that the arm asks.
    """

    request_id: str
    arm: str
    prediction: Prediction


class SplitObserver(Protocol):
    """Has an observer for each arm, such as `serving.monitor.metrics.ClientMetrics`."""

    def for_arm(self, arm: str) -> Observer:
        """Returns that of one arm."""


class BaseSplitClient:
    """Shares, log, and a client for each arm."""

    _client: Any
    """The class of the clients."""

    def __init__(
        self,
        target: str = TARGET,
        model: ServedModel = DEFAULT_MODEL,
        *,
        shares: str | os.PathLike[str],
        log: str | os.PathLike[str],
        samples: Samples | None = None,
        observer: SplitObserver | None = None,
        **options: Any,
    ) -> None:
        """Connects at the first call.

        Args:
          target: HOST:PORT.
          model: which model is asked; its label and version are those of the arm.
          shares: a file of shares, which is read again when it changes; see `Shares`.
          log: of the answers; see `AnswerLog`.
          samples: keeps images of some requests, downscaled; None: no image is kept.
          observer: is told of the calls and answers of each arm.
          options: as of `Client`.

        Raises:
          ServingError: `target` is not HOST:PORT, or a file of `tls` cannot be used.
          SplitError: the file of shares cannot be used.
          AnswerLogError: the log cannot be written to, or images cannot be kept.
        """
        self._shares = SharesFile(Path(shares))
        self._samples = SampleFolder(samples) if samples else None
        self._log = AnswerLog(Path(log))
        self._clients = {
            arm: self._client(
                target,
                replace(model, label=CANARY if arm == CANARY else STABLE, version=None),
                observer=observer.for_arm(arm) if observer else None,
                **options,
            )
            for arm in (CANARY, CONTROL, REST)
        }

    def _begin(self, key: str, request_id: str | None) -> tuple[Any, Answer]:
        """Returns the client of the key's arm, and what is known of the answer before there is one."""
        shares = self._shares.read_current()
        arm = shares.choose_arm(key)
        answer = Answer(
            id=request_id or uuid.uuid4().hex,
            when=format_now(),
            arm=arm,
            version=None,
            label="",
            probability=0.0,
            milliseconds=0.0,
            canary=shares.canary_buckets / BUCKETS,
            control=shares.control_buckets / BUCKETS,
        )
        return self._clients[arm], answer

    def _log_failure(self, answer: Answer, error: ServingError, started: float) -> None:
        """Logs a failed call. An image that cannot be read or is too large is no fault of an arm: no server was asked.

        Args:
          answer: as it began.
          error: of the client.
          started: time.perf_counter() at the start.
        """
        if error.code or isinstance(error, NoPredictionError):
            code = error.code.name if error.code else NO_PREDICTION
            spent = 1e3 * (time.perf_counter() - started)
            self._log.add_answer(replace(answer, milliseconds=spent, error=code))

    def _log_answer(self, answer: Answer, prediction: Prediction, prepared: PreparedImage) -> SplitAnswer:
        self._log.add_answer(
            replace(
                answer,
                version=prediction.version,
                label=prediction.label,
                probability=prediction.probability,
                milliseconds=prediction.milliseconds,
                image=measure(prepared.encoded),
            )
        )
        if self._samples:
            self._samples.keep(answer.id, prepared.encoded, prepared.preparation.max_pixels)
        return SplitAnswer(answer.id, answer.arm, prediction)
