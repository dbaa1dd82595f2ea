"""What ends a test that hangs, and says where.

Three steps, each for what the one before cannot end (their times are in `pyproject.toml`):

1. The test's child processes get SIGABRT: each Python among them writes the stacks of its threads to its standard error
   and ends, so that a test that only waits for a child fails with that child's output.
2. pytest-timeout writes the stacks of this process's threads and fails the test.
3. pytest's `faulthandler_timeout` does the same from C, and ends the process, where no Python code runs any more.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

GRACE_S = 30.0
"""Between the first two steps."""


def show_stacks_of_children() -> None:
    """Lets every Python process that a test starts write its stacks when it is ended by SIGABRT."""
    os.environ["PYTHONFAULTHANDLER"] = "1"


@contextlib.contextmanager
def children_ended_after(seconds: float) -> Iterator[None]:
    """Ends this process's descendants if the body takes longer than `seconds`."""
    timer = threading.Timer(seconds, _end_children)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_children() -> None:
    children = find_descendants(os.getpid())
    lines = [f"  {pid}: {command}" for pid, command in children.items()] or ["  none"]
    print("This test hangs; its processes are ended:", *lines, sep="\n", file=sys.__stderr__, flush=True)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGABRT)


def find_descendants(ancestor: int) -> dict[int, str]:
    """The command line of every process below `ancestor`, by process id."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(folder.name)
            # The name, in parentheses, may hold anything; state and parent follow it.
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[pid] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    found: dict[int, str] = {}
    generation = {ancestor}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation and pid not in found}
        found |= {pid: commands.get(pid, "") for pid in generation}
    return found
