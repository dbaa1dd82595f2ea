"""`atelier`: the command line.

Exit codes: 0 done; 1 a gate rejected, or the input was bad (one line on standard error says why); 2 wrong usage;
130, 143 or 129 stopped by Ctrl-C, SIGTERM or a closed terminal. Nothing heavy is imported before a verb needs it.
"""

import importlib.util
import io
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import shell_complete

from atelier import __version__
from atelier.errors import AtelierError
from atelier.processes import loopback
from compat import vertex_clients
from compat.standard_streams import drop_output
from pipeline import stopping
from pipeline.terminal.verb import Invocation, LazyGroup

COMPLETION = "_ATELIER_COMPLETE"
"""The variable by which a shell asks for completions."""

_STANDARD_OUTPUT = Path("standard output")


@click.group(
    cls=LazyGroup,
    name="atelier",
    modules={
        "run": "pipeline.commands.run",
        "ingest": "pipeline.commands.ingest",
        "render": "pipeline.commands.render",
        "serve": "pipeline.commands.serve",
        "predict": "pipeline.commands.predict",
        "web": "pipeline.commands.web",
        "stylize": "pipeline.commands.stylize",
        "studio": "pipeline.commands.studio",
        "styles": "pipeline.commands.styles",
        "models": "pipeline.commands.models.group",
        "ab": "pipeline.commands.ab.group",
        "feedback": "pipeline.commands.feedback",
        "monitor": "pipeline.commands.monitor",
        "kubeflow": "pipeline.commands.kubeflow",
        "bench": "pipeline.commands.bench",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
`atelier VERB --help` shows the options of a verb, and an example.
Completion in bash: eval "$(_ATELIER_COMPLETE=bash_source atelier)"
Other shells: zsh_source, or fish_source and a pipe to `source`.""",
)
@click.version_option(__version__, message="atelier %(version)s")
def cli() -> None:
    """From a folder of labeled images to a gated, pushed SavedModel and TFLite file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no UTF-8
    words = sys.argv[1:] if arguments is None else list(arguments)
    invocation = Invocation()
    try:
        with stopping.raise_on_signals():
            code = _run(words, invocation)
            return code if _flush_output() else 1
    except KeyboardInterrupt as stop:
        print(f"atelier: stopped{invocation.after_stop}", file=sys.stderr)
        return stopping.exit_code(stop)
    except AtelierError as error:
        text = str(error).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        print(f"atelier: {text}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if importlib.util.find_spec("tfx"):
            raise
        print(
            f"atelier: this needs {error.name}; the extra `edge`, which is installed here, has `atelier predict` "
            "alone: install Atelier on Linux on x86-64 for the rest",
            file=sys.stderr,
        )
        return 1
    except Exception as error:  # noqa: BLE001  # a bug is raised again
        if isinstance(error, BrokenPipeError) and _is_output_closed():
            drop_output()
            return 128 + signal.SIGPIPE
        return _tell_disk_error(error, invocation.output or _STANDARD_OUTPUT)


def _run(words: list[str], invocation: Invocation) -> int:
    """Parses the command line and runs the verb.

    This is `click.Group.main` without its own treatment of signals and of closed pipes.
    """
    if instruction := os.environ.get(COMPLETION):
        return shell_complete(cli, {}, "atelier", COMPLETION, instruction)
    loopback.bypass_proxies()
    vertex_clients.load_at_first_use()
    try:
        with cli.make_context("atelier", words, obj=invocation) as context:
            return cli.invoke(context) or 0
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code


def _tell_disk_error(error: Exception, place: Path) -> int:
    """Tells an error of the disk in a line; raises any other again."""
    from pipeline.terminal import disk_errors

    line = disk_errors.explain(error, place)
    if not line:
        raise error
    print(f"atelier: {line}", file=sys.stderr)
    _flush_output()
    return 1


def _flush_output() -> bool:
    """Writes what is left to standard output, which the shell may have opened on a full disk; whether that went well.

    Raises:
      BrokenPipeError: nobody reads it any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        _tell_disk_error(error, _STANDARD_OUTPUT)
        return False
    return True


def _is_output_closed() -> bool:
    """Whether whoever read standard output has gone, as `head` does when it has seen enough."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


if __name__ == "__main__":
    sys.exit(main())
