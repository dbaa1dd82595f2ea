"""`atelier kubeflow replay`: a compiled specification executed on this machine, step by step."""

import argparse
import signal
import sys

from kubeflow import replay
from pipeline import kubeflow_verbs
from pipeline.kubeflow_verbs import KubeflowError


def run(options: argparse.Namespace) -> int:
    """Replays `options.spec` in `options.root` with `options.parameter`.

    Returns:
      The exit code, 0.

    Raises:
      KubeflowError: the specification cannot be used, or a node of it has failed.
    """
    parameters = kubeflow_verbs.parameters(options.parameter)
    # Both end the node's processes with this one, even if the shell that started it ignores them.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    try:
        report = replay.replay(options.spec, options.root, parameters=parameters, announce=_say)
    except KeyboardInterrupt:
        raise KubeflowError("stopped; a replay always starts anew") from None
    if report.failure:
        raise KubeflowError(report.failure)
    _say(replay.LIMITS)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
