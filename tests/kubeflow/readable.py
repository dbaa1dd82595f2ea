"""A compiled specification as a text that a person can compare with another.

After a change that is meant, write the golden files anew and look at their difference:

    .venv/bin/python -m tests.kubeflow.readable && git diff tests/kubeflow/golden
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from kubeflow import compile as compiler
from pipeline.config import config

GOLDEN = Path(__file__).parent / "golden"
TARGETS = {
    "vertex": ["stylizer.enabled=true"],
    "kfp": [
        "stylizer.enabled=true",
        "kubeflow.target=kfp",
        "kubeflow.nodes={Trainer: {cpu: 4, memory_gb: 16, accelerator: nvidia.com/gpu}}",
        "beam={}",
    ],
}
_INPUTS = "--json_serialized_inputs_spec_args"
_CODE = re.compile(r"\b[0-9a-f]{16}\b")


def load_settings(target: str, *overrides: str) -> config.Config:
    """configs/vertex.yaml for a target."""
    return config.load("configs/vertex.yaml", [*TARGETS[target], *overrides])


def format_job(job: dict[str, Any]) -> str:
    """YAML with the JSON inside of strings unfolded, and without the fingerprints of the code or Python's version."""
    labels = job["labels"] | {"tfx_py_version": "<python>"}
    return yaml.safe_dump(_unfold(job | {"labels": labels}), sort_keys=True, width=120)


def _unfold(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unfold(below) for key, below in value.items()}
    if isinstance(value, list):
        # TFX repeats the component's whole inputDefinitions among the arguments.
        before = [None, *value]
        pairs = zip(before, value, strict=False)
        return ["<inputDefinitions>" if last == _INPUTS else _unfold(each) for last, each in pairs]
    if isinstance(value, str):
        if value.lstrip().startswith(("{", "[")) and "{{" not in value:
            return _unfold(json.loads(value))
        if value.startswith("title: "):
            return _unfold(yaml.safe_load(value))
        return _CODE.sub("<code>", value)
    return value


if __name__ == "__main__":
    for target in TARGETS:
        (GOLDEN / f"{target}.yaml").write_text(
            format_job(compiler.build_pipeline_job(load_settings(target))), encoding="utf-8"
        )
