"""The process that computes: it takes commands, a JSON object a line, and tells what becomes of them in the same way.

It is a process of its own, so that the page answers while TensorFlow works, and so that nothing outlives the server:
at the end of its input it ends at once. What it has saved is whole at any time.
"""

import base64
import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from PIL import Image

from atelier.errors import AtelierError
from components.style_catalog.style import Style
from components.style_renderer.gallery import previews
from components.style_renderer.studio import jobs, styles
from components.style_renderer.studio.folder import explain_full_disk
from components.style_renderer.studio.jobs import Place
from components.style_renderer.studio.request import Controls, Request

PREVIEW = 512
"""Longer side in pixels, at most."""


@dataclass(frozen=True)
class Task:
    """What is to be painted."""

    request: Request
    content: Path
    masks: tuple[Path | None, ...]
    """By region."""
    styles: dict[str, Style]
    start: Path | None = None
    """The image that an interrupted job has saved."""
    place: Place | None = None
    """Where it stands."""


class StoppedError(Exception):
    """The job was stopped."""


Tell = Callable[[np.ndarray | None, Place, float, dict[str, float]], Controls]
"""Given image [H, W, 3] uint8, its place, the share of the work that is done, and the losses; returns the controls.

Without an image, it tells the share alone. It raises `StoppedError`."""


class Painter(Protocol):
    """What computes; see `painter.EnginePainter`."""

    def warm_up(self) -> None:
        """Loads what takes time."""

    def paint(self, task: Task, tell: Tell) -> np.ndarray:
        """Renders: [H, W, 3] uint8."""

    def preview(self, task: Task, size: int) -> np.ndarray | None:
        """The one pass; None if it does not know a style."""

    def estimate(self, task: Task) -> dict[str, float]:
        """Seconds, memory_mb, disk_mb, disk_free_mb and tiles."""


def main(make_painter: Callable[[], Painter]) -> None:
    """Works until the input ends."""
    worker = _Worker(_claim_output())
    threading.Thread(target=worker.listen, args=(sys.stdin,), daemon=True).start()
    painter = make_painter()
    painter.warm_up()
    worker.tell(event="ready")
    threading.Thread(target=worker.answer, args=(painter,), daemon=True).start()
    worker.work(painter)


class _Worker:
    def __init__(self, output: TextIO) -> None:
        self._output, self._lock = output, threading.Lock()
        self._tasks: queue.Queue[dict[str, Any]] = queue.Queue()
        self._questions: queue.Queue[dict[str, Any]] = queue.Queue()
        self._controls: dict[str, Controls] = {}
        self._stopped: set[str] = set()

    def tell(self, **event: Any) -> None:
        with self._lock:
            self._output.write(json.dumps(event) + "\n")
            self._output.flush()

    def listen(self, commands: TextIO) -> None:
        for line in commands:
            command = json.loads(line)
            if command["do"] == "control":
                self._controls[command["job"]] = Controls(**command["controls"])
            elif command["do"] == "stop":
                self._stopped.add(command["job"])
            elif command["do"] == "run":
                self._stopped.discard(command["job"])
                self._controls[command["job"]] = _read_task(command).request.controls
                self._tasks.put(command)
            else:
                self._questions.put(command)
        os._exit(0)  # the server has ended; TensorFlow would finish its step first

    def work(self, painter: Painter) -> None:
        while True:
            command = self._tasks.get()
            job, folder = command["job"], Path(command["folder"])
            state, message = "done", ""
            try:
                image = painter.paint(_read_task(command), self._make_tell(job, folder))
                jobs.save_result(folder, Image.fromarray(image))
            except StoppedError:
                state = "stopped"
            except (AtelierError, ValueError, OSError, FloatingPointError, MemoryError) as error:
                state, message = "failed", _explain(error)
            self._controls.pop(job, None)
            self.tell(event="finished", job=job, state=state, message=message)

    def answer(self, painter: Painter) -> None:
        """Answers questions beside the work."""
        while True:
            command = self._questions.get()
            try:
                task = _read_task(command)
                if command["do"] == "estimate":
                    answer: Any = painter.estimate(task)
                else:
                    image = painter.preview(task, min(task.request.size, PREVIEW))
                    answer = None if image is None else _encode(image)
                self.tell(event="answer", question=command["question"], answer=answer)
            except Exception as error:  # noqa: BLE001 (whatever a question raises must not end the answers to others)
                self.tell(event="answer", question=command["question"], error=_explain(error))

    def _make_tell(self, job: str, folder: Path) -> Tell:
        def tell(image: np.ndarray | None, place: Place, done: float, losses: dict[str, float]) -> Controls:
            if image is not None:
                jobs.save_latest(folder, Image.fromarray(image), place)
            controls = self._controls[job]
            self.tell(
                event="iteration",
                job=job,
                place=place.model_dump(),
                done=done,
                losses=losses,
                controls=controls.model_dump(),
            )
            if job in self._stopped:
                raise StoppedError
            return controls

        return tell


def _explain(error: Exception) -> str:
    full = explain_full_disk(error) if isinstance(error, OSError) else ""
    return full or (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read_task(command: dict[str, Any]) -> Task:
    start = Path(command["start"]) if command.get("start") else None
    return Task(
        request=Request.model_validate(command["request"]),
        content=Path(command["content"]),
        masks=tuple(Path(mask) if mask else None for mask in command["masks"]),
        styles={name: styles.read(described) for name, described in command["styles"].items()},
        start=start,
        place=jobs.read_place(start.parent) if start else None,
    )


def _encode(image: np.ndarray) -> str:
    return base64.b64encode(previews.encode(Image.fromarray(image), "jpeg")).decode("ascii")


def _claim_output() -> TextIO:
    """Standard output for events alone; whatever else is printed goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    from components.style_renderer.studio.painter import EnginePainter

    with contextlib.suppress(OSError):
        os.nice(5)  # the page comes first
    main(EnginePainter)
