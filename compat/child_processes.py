"""What a child process does for its parent's end: it ends, too, however the parent ends.

Run as a program it replaces itself by a command that ends with its parent: `child_processes.py PARENT COMMAND...`.
It imports the standard library only, so that it also starts where this package is not on the path.

Python has no call for it, but Linux's `prctl` does it. It can go when `subprocess` and `multiprocessing` have an
option that ends a child with its parent.
"""

import ctypes
import os
import signal
import sys

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill` and a closed terminal."""
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Lets the kernel kill this process when its parent ends, be it by SIGKILL.

    Args:
      parent: the parent's process id. If that parent is gone already, this process ends at once.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def start_worker(parent: int) -> None:
    """Prepares a worker process: it leaves signals to its parent, which gets them as well, and ends with it."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(parent)


def describe_end(code: int) -> str:
    """Says how a child process ended, from its return code as `subprocess` tells it."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _run_command(parent: str, *command: str) -> None:
    end_with_parent(int(parent))
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started here: {error.strerror}")


if __name__ == "__main__":
    _run_command(*sys.argv[1:])
