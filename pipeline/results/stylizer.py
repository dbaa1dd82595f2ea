"""What became of the one-pass stylizer: its training, the verdict of its gate, and what was measured."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.stylizer.layout import EVALUATION_FILE, TRAINING_FILE
from pipeline.results.run_json import FINISHED

if TYPE_CHECKING:
    from pipeline.results.nodes import Node

GATE = "StylizerEvaluator"
TRAINER = "StylizerTrainer"
PUSHER = "Pusher.stylizer"
"""Nodes of the DAG."""


def read_gate(evaluator: "Node | None") -> dict[str, Any] | None:
    """Returns verdict and reasons; None if the gate was not reached."""
    evaluation = read_evaluation(evaluator)
    return {key: evaluation[key] for key in ("blessed", "reasons")} if evaluation else None


def read_evaluation(evaluator: "Node | None") -> dict[str, Any] | None:
    """Returns what StylizerEvaluator measured; None if it was not reached."""
    return _read(evaluator, "evaluation", EVALUATION_FILE)


def read_stylizer(trainer: "Node | None", evaluator: "Node | None") -> dict[str, Any] | None:
    """Returns what `run.json` holds of the stylizer; None where the run has none, or stopped before."""
    training, evaluation = _read(trainer, "model_run", TRAINING_FILE), read_evaluation(evaluator)
    if training is None:
        return None
    measured = {key: value for key, value in (evaluation or {}).items() if key not in ("blessed", "reasons")}
    return {"training": training, "evaluation": measured or None}


def _read(node: "Node | None", output: str, name: str) -> dict[str, Any] | None:
    if node is None or node.state not in FINISHED or output not in node.outputs:
        return None
    file = Path(node.outputs[output].uri) / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
