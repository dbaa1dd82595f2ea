"""The schema of `run.json`; tests/e2e/test_run.py holds it against the file of a real run."""

import json
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

from pipeline.results import run_json

ROOT = Path(__file__).resolve().parents[3]
RESULT = {
    "name": "pets",
    "finished": "2026-11-26T12:00:00+00:00",
    "blessed": False,
    "failure": "Trainer: no space left",
    "reasons": ["Trainer: no space left"],
    "gates": {"Evaluator": None, "Evaluator.tflite": None},
    "warnings": [],
    "pushed": {"saved_model": None, "tflite": None},
    "tflite_push": {"int8": {"pushed": False, "reason": "its gate Evaluator.tflite was not reached"}},
    "metrics": {},
    "slices": [],
    "by_class": {},
    "confusion": [],
    "calibration": [],
    "tflite": {},
    "gallery": None,
    "transform": None,
    "feature_cache": None,
    "training": {},
    "tuner": [],
    "data": {"train": 8},
    "quarantine": {"count": 0, "reasons": {}},
    "ingest": {},
    "nodes_s": {"Trainer": 1.5},
    "nodes": {"Trainer": "failed"},
    "versions": {"tfx": "1.21.0"},
    "config": {"name": "pets"},
}


def test_a_run_that_stopped_early_has_this_form():
    found = run_json.RunResult.model_validate_json(json.dumps(RESULT))
    assert found.model_dump(mode="json", exclude_unset=True) == RESULT


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy": 0.5},
        {"gates": {"Evaluator": {"blessed": True}}},
        {"nodes": {"Trainer": "done"}},
        {"training": {"precision": "float32"}},
        {"confusion": [[0, 1]]},
    ],
)
def test_another_form_is_noticed(change):
    with pytest.raises(pydantic.ValidationError):
        run_json.RunResult.model_validate_json(json.dumps(RESULT | change))


def test_the_schema_is_printed_with_the_meaning_of_keys():
    command = [sys.executable, "-m", "pipeline.results.run_json"]
    schema = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    assert schema == run_json.build_schema()
    assert set(schema["required"]) == RESULT.keys()
    assert schema["properties"]["finished"]["description"] == "Time in UTC, ISO 8601."
