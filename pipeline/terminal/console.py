"""What a person sees of a run: one line, or one bar, a step; all else goes to a log file.

TensorFlow, Beam and TFX write thousands of lines to both output streams, from C++ too. While a run is
on, the process's own file descriptors 1 and 2 lead to the log; this console keeps the terminal.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column


class Console:
    """Progress over named steps: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        """Writes to `stream`, by default a copy of standard error that survives `send_to_file`."""
        own = stream or os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
        self._rich = RichConsole(file=own, highlight=False, emoji=False)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._step_started = time.monotonic()
        self.step = ""
        """The step that runs now; the last one if the run has ended."""

    def say(self, line: str) -> None:
        """Prints one line above the bar."""
        self._rich.print(line, markup=False, soft_wrap=True)

    @contextmanager
    def show_steps(self, total: int) -> Iterator[None]:
        """Shows `total` steps, of which `begin` starts one after the other."""
        self.step, self._total, self._count = "", total, 0
        if not self._rich.is_terminal:
            yield
            self._finish_step()
            return
        try:
            with Progress(*_build_columns(), console=self._rich, transient=True, expand=True) as self._progress:
                self._task = self._progress.add_task("starting", total=total)
                yield
                self._finish_step()
        finally:
            self._progress = None

    @contextmanager
    def show_bar(self, description: str, counted: bool = True) -> Iterator["Move"]:
        """Gives a callback that moves a bar; without a terminal it prints a line at first and at every tenth.

        Args:
          description: shown beside the bar, as long as the callback is given no text.
          counted: the two numbers are shown, too; else the text tells how far the work is.
        """
        if not self._rich.is_terminal:
            yield _Lines(self, description)
            return
        with Progress(*_build_columns(counted), console=self._rich, transient=True, expand=True) as progress:
            task = progress.add_task(description, total=None)

            def move(done: int, total: int, text: str = "") -> None:
                progress.update(task, completed=done, total=total, description=text or description)

            yield move

    def begin(self, step: str) -> None:
        """Ends the step before and starts `step`."""
        self._finish_step()
        self.step, self._step_started = step, time.monotonic()
        self._count += 1
        if self._progress:
            self._progress.update(self._task, description=step)

    def show_detail(self, text: str) -> None:
        """Shows what the current step is doing: beside the bar, or as a line."""
        if self._progress:
            self._progress.update(self._task, description=f"{self.step}: {text}")
        else:
            self.say(f"    {text}")

    def _finish_step(self) -> None:
        if not self.step:
            return
        self.say(f"[{self._count}/{self._total}] {self.step} {time.monotonic() - self._step_started:.1f} s")
        if self._progress:
            self._progress.advance(self._task)


class Move(Protocol):
    """Moves a bar."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """Shows `done` of `total`, and `text` instead of the bar's description."""


class _Lines:
    """Moves a bar that nobody sees: a line a tenth, if there is something to say, is enough for a log."""

    def __init__(self, console: Console, description: str) -> None:
        self._console, self._description, self._said, self._lock = console, description, -1, threading.Lock()

    def __call__(self, done: int, total: int, text: str = "") -> None:
        tenth = 10 * done // max(total, 1)
        with self._lock:  # workers of one process may call at once
            if self._said < 0 or (text and tenth > self._said):
                self._said = tenth
                self._console.say(text or self._description)


def _build_columns(counted: bool = True) -> tuple[ProgressColumn, ...]:
    """One line of any terminal: where it is narrow the text is cut off, and the bar and the numbers stay."""
    return (
        SpinnerColumn(),
        # Names of files are the user's: brackets in them are no markup.
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        BarColumn(bar_width=16),
        *((MofNCompleteColumn(),) if counted else ()),
        TimeElapsedColumn(),
    )


@contextmanager
def show_logged_progress(console: Console) -> Iterator[None]:
    """Shows what LocalDagRunner and the Trainer log as steps and details; the runner has no other hook.

    The handler sits on their own loggers: Beam clears the root logger's.
    """
    handler = _NodeProgress(console)
    import absl.logging  # part of the pipeline, and not of the extra `edge`

    loggers = [logging.getLogger("absl"), logging.getLogger("atelier")]
    absl.logging.set_verbosity(absl.logging.INFO)  # absl resets its logger's level to this whenever it likes
    loggers[1].setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class _NodeProgress(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "Component %s is running." and isinstance(record.args, tuple):
            self._console.begin(str(record.args[0]))
        elif record.name.startswith("atelier."):
            self._console.show_detail(record.getMessage())
