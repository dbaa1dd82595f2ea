"""A container's stand-in: a process that sees the installed packages and its own folder, not the checkout."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from atelier.errors import AtelierError
from atelier.files import leftovers
from compat import child_processes

GRACE_SECONDS = 5.0
"""Between asking a process to end and ending it."""
_TAIL_BYTES = 1 << 20
_MAX_CHARACTERS = 400
_ERROR = re.compile(r"[\w.]*(Error|Exception|Exit)\b.*:", re.ASCII)


class ProcessError(AtelierError):
    """The process has failed; the message is the last that its log says of it."""


def run(command: Sequence[str], *, folder: Path, log: Path, variables: Mapping[str, str]) -> None:
    """Runs a command to its end, and ends all that it has started.

    Args:
      command: the program and its arguments; `python` is the interpreter that runs this.
      folder: where it runs.
      log: takes both its output streams.
      variables: of its environment, besides this process's own. `TMPDIR` is a folder that ends with the process, as a
        container's temporary files do.

    Raises:
      ProcessError: it cannot be started, or does not end with 0.
    """
    with log.open("wb") as stream, leftovers.create_scratch("node") as temporary:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", child_processes.__file__, str(os.getpid()), *command],
                cwd=folder,
                env=build_environment({"TMPDIR": str(temporary), **variables}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ProcessError(f"{command[0]} cannot be started here: {error}") from None
        try:
            code = process.wait()
        finally:
            _end(process)
    if code:
        raise ProcessError((code > 0 and find_last_error(log)) or child_processes.describe_end(code))


def build_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without its import path, and with its interpreter's folder first."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
    # Unbuffered: in the log a traceback is to come after what was said before it.
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **inherited, "PYTHONUNBUFFERED": "1", "PATH": path, **variables}


def find_last_error(log: Path) -> str:
    """The line of a log that says best why the process has failed; "" if the log is empty."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    told = [number for number, line in enumerate(lines) if line.strip()]
    if not told:
        return ""
    tracebacks = [number for number in told if "Traceback (most recent call last)" in lines[number]]
    after = [number for number in told if tracebacks and number > tracebacks[-1] and not lines[number][0].isspace()]
    errors = [number for number in told if _ERROR.match(lines[number])]
    number = (after[:1] or errors[-1:] or told[-1:])[0]
    line = lines[number].strip()
    if line.endswith(":") and number != told[-1]:
        line = f"{line} {lines[number + 1].strip()}"
    return line[:_MAX_CHARACTERS]


def _end(process: subprocess.Popen[bytes]) -> None:
    """A container's end is that of all its processes."""
    if process.poll() is None:
        _send_signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    _send_signal(process, signal.SIGKILL)
    process.wait()


def _send_signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
