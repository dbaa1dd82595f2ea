"""`atelier kubeflow submit`."""

import argparse

from kubeflow import compile as compiler
from kubeflow.submit import submit
from pipeline.config import config


def run(options: argparse.Namespace) -> int:
    """Submits, and prints the name of the run or schedule and, in the last line, its URL.

    Raises:
      ConfigError: the configuration cannot be read.
      KubeflowError: it lacks something, credentials are missing, or the other side refused.
    """
    loaded = config.load(options.config, options.set)
    name, url = submit.submit(loaded, options.parameter, compiler.compile_pipeline)
    settings = loaded.kubeflow
    where = (
        f"Vertex AI, project {settings.project}, {settings.region}"
        if settings.target == "vertex"
        else settings.endpoint
    )
    what = f"runs at {settings.schedule}" if settings.schedule else "runs"
    print(f"{name}: {what} on {where}")
    print(url)
    return 0
