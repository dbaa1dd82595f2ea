"""How a replay has ended: for callers, and as the file that it leaves."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from atelier.files.replacing import replace_text

REPORT_FILE = "replay.json"
State = Literal["succeeded", "skipped", "failed", "not run"]


@dataclass(frozen=True)
class Artifact:
    """One artifact that a task has left."""

    name: str
    type: str
    uri: str
    metadata: Mapping[str, object]


@dataclass(frozen=True)
class Task:
    """How one task has ended."""

    name: str
    state: State
    seconds: float = 0.0
    outputs: Mapping[str, list[Artifact]] = field(default_factory=dict)
    """By output; a resolver that has found nothing leaves none."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    """Why it was skipped, or has failed."""
    log: Path | None = None
    """Of its last process, if it had any."""


@dataclass(frozen=True)
class Report:
    """How a replay has ended."""

    folder: Path
    """Of this run: a folder a task, with its input, output and log."""
    seconds: float
    tasks: Mapping[str, Task]
    """In the order in which they were executed."""

    @property
    def failure(self) -> str:
        """One line on the first task that has failed; "" if none has."""
        for task in self.tasks.values():
            if task.state == "failed":
                return f"{task.name}: {task.reason}" + (f"; log: {task.log}" if task.log else "")
        return ""

    def write(self, pipeline: str) -> None:
        """Writes it as JSON into the run's folder, for the pipeline of that name."""
        document = {
            "pipeline": pipeline,
            "seconds": self.seconds,
            "failure": self.failure,
            "tasks": {name: asdict(task) for name, task in self.tasks.items()},
        }
        text = json.dumps(document, indent=1, default=str)
        replace_text(self.folder / REPORT_FILE, text)
