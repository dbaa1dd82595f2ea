"""Small compiled pipelines, written by hand, whose containers are a few lines of Python without TFX."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import json, os, pathlib, sys
given = json.loads(sys.argv[1])
inputs, outputs = given.get("inputs", {}), given["outputs"]
def uri(artifacts, key): return pathlib.Path(artifacts["artifacts"][key]["artifacts"][0]["uri"])
def tell(**output): pathlib.Path(outputs["outputFile"]).write_text(json.dumps(output))
"""
"""What the scripts have at hand: the ExecutorInput, the place of an artifact, and how to write an ExecutorOutput."""


def build_task(
    script: str = "",
    *,
    command: Sequence[str] = (),
    driver: str = "",
    executor: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, object] | None = None,
    of_run: Mapping[str, str] | None = None,
    of_tasks: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    output_parameters: Mapping[str, str] | None = None,
    after: Sequence[str] = (),
    policy: Mapping[str, str] | None = None,
) -> dict[str, dict]:
    """One task: its component, executor and task as they stand in a specification.

    Args:
      script: Python after `PRELUDE`, run with the ExecutorInput.
      command: instead of a script.
      driver: a script of preCacheCheck.
      executor: instead of a container.
      env: of the container.
      inputs: `task.output` by input.
      constants: parameters.
      of_run: parameters: name of the run's parameter by name.
      of_tasks: parameters: `task.parameter` by name.
      outputs: title of the artifact's type by output.
      output_parameters: type by name.
      after: tasks to wait for.
      policy: triggerPolicy.
    """
    container: dict[str, object] = {
        "image": "none",
        "command": list(command) or ["python", "-c", PRELUDE + script],
        "args": [] if command else ["{{$}}"],
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()],
    }
    if driver:
        container["lifecycle"] = {
            "preCacheCheck": {"command": ["python", "-c", PRELUDE + driver], "args": ["{{$}}"]},
        }
    parameters = {
        **{key: {"runtimeValue": {"constant": value}} for key, value in (constants or {}).items()},
        **{key: {"componentInputParameter": name} for key, name in (of_run or {}).items()},
        **{
            key: {"taskOutputParameter": _build_source(source, "outputParameterKey")}
            for key, source in (of_tasks or {}).items()
        },
    }
    artifacts = {
        key: {"taskOutputArtifact": _build_source(source, "outputArtifactKey")}
        for key, source in (inputs or {}).items()
    }
    return {
        "component": {
            "outputDefinitions": {
                "artifacts": {key: {"artifactType": {"schemaTitle": title}} for key, title in (outputs or {}).items()},
                "parameters": {key: {"parameterType": kind} for key, kind in (output_parameters or {}).items()},
            }
        },
        "executor": dict(executor) if executor else {"container": container},
        "task": {
            "inputs": {"artifacts": artifacts, "parameters": parameters},
            "dependentTasks": list(after),
            "triggerPolicy": dict(policy or {}),
        },
    }


def build_pipeline(
    tasks: Mapping[str, dict[str, dict]],
    parameters: Mapping[str, Mapping[str, object]] | None = None,
    *,
    schema: str = "2.1.0",
    values: Mapping[str, object] | None = None,
) -> dict:
    """A PipelineJob of tasks that `build_task` has made.

    Args:
      tasks: by name.
      parameters: declarations of the run's, by name.
      schema: version.
      values: of runtimeConfig.
    """
    components = {name: {"executorLabel": f"{name}_executor", **one["component"]} for name, one in tasks.items()}
    return {
        "pipelineSpec": {
            "pipelineInfo": {"name": "made-up"},
            "schemaVersion": schema,
            "components": components,
            "deploymentSpec": {"executors": {f"{name}_executor": one["executor"] for name, one in tasks.items()}},
            "root": {
                "dag": {
                    "tasks": {name: {"componentRef": {"name": name}, **one["task"]} for name, one in tasks.items()}
                },
                "inputDefinitions": {"parameters": {name: dict(one) for name, one in (parameters or {}).items()}},
            },
        },
        "runtimeConfig": {"parameterValues": dict(values or {})},
    }


def write(folder: Path, document: object) -> Path:
    """The file of a specification."""
    file = folder / "pipeline.json"
    file.write_text(json.dumps(document))
    return file


def _build_source(source: str, key: str) -> dict[str, str]:
    producer, _, output = source.partition(".")
    return {"producerTask": producer, key: output}


def start_replay(file: Path, root: Path, *arguments: str) -> subprocess.Popen[str]:
    """`atelier kubeflow replay` as a process."""
    words = [sys.executable, "-m", "pipeline.cli", "kubeflow", "replay", str(file), "--root", str(root), *arguments]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
