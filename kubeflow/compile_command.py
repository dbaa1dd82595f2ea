"""`atelier kubeflow compile`."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from kubeflow import compile as compiler
from pipeline.config import config
from pipeline.console import quiet


def run(options: argparse.Namespace) -> int:
    """Compiles, and says what came out."""
    settings = config.load(options.config, options.set)
    with tempfile.TemporaryDirectory() as folder, quiet(Path(folder, "log")):  # TensorFlow greets on standard error
        job = compiler.compile_pipeline(settings, options.output)
    print(summary(job, settings.kubeflow.target))
    print(f"{options.output}: written")
    return 0


def summary(job: dict[str, Any], target: str) -> str:
    """The nodes and the parameters of the run, with their defaults."""
    root = job["pipelineSpec"]["root"]
    lines = [f"{target}: {len(root['dag']['tasks'])} nodes: {', '.join(root['dag']['tasks'])}"]
    for name, parameter in root["inputDefinitions"]["parameters"].items():
        lines.append(f"parameter {name} = {parameter['defaultValue']}")
    return "\n".join(lines)
