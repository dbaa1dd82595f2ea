"""`atelier kubeflow replay`: a compiled specification executed on this machine, step by step."""

import argparse
import signal
import sys

from atelier.errors import KubeflowError
from kubeflow.replay import replay
from pipeline.commands import kubeflow_verbs


def run(options: argparse.Namespace) -> int:
    """Replays `options.spec` in `options.root` with `options.parameter`.

    Returns:
      The exit code, 0.

    Raises:
      KubeflowError: the specification cannot be used, or a node of it has failed.
    """
    parameters = kubeflow_verbs.parameters(options.parameter)
    # Ends the node's processes with this one, even if the shell that started it ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    report = replay.replay(options.spec, options.root, parameters=parameters, announce=_say)
    if report.failure:
        raise KubeflowError(report.failure)
    _say(replay.LIMITS)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
