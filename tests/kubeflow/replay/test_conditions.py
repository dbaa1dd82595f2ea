"""Truth is CEL's own: https://github.com/google/cel-spec, and the expressions are of the forms that TFX writes."""

import pytest
from google.protobuf import json_format

from tests.deferred import deferred_imports

with deferred_imports():
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb

    from kubeflow.replay import conditions

GIVEN = {
    "inputs": {
        "artifacts": {
            "blessing": {"artifacts": [{"uri": "/a/b", "metadata": {"blessed": 1, "grade": "good", "ok": True}}]},
            "_Node.out": {"artifacts": [{"metadata": {"blessed": 0}}]},
            "none": {"artifacts": []},
        },
        "parameterValues": {"steps": 3, "name": "x"},
        "parameters": {"old": {"intValue": "4"}},
    }
}
BLESSING = "inputs.artifacts['blessing'].artifacts[0]"


def holds(condition):
    return conditions.evaluate(condition, json_format.ParseDict(GIVEN, pb.ExecutorInput()))


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (f"({BLESSING}.metadata['blessed'] == 1.0)", True),
        (f"({BLESSING}.metadata['blessed'] == 0.0)", False),
        (f"!(({BLESSING}.metadata['blessed'] == 0.0))", True),
        (f"({BLESSING}.metadata['blessed'] > 0.5)", True),
        (f"({BLESSING}.metadata['blessed'] < 0.5)", False),
        ("(inputs.artifacts['_Node.out'].artifacts[0].metadata['blessed'] == 1.0)", False),
        (f"({BLESSING}.metadata['grade'] == 'good')", True),
        (f"(({BLESSING}.uri + '/c') == '/a/b/c')", True),
        (f"{BLESSING}.metadata['ok']", True),
        (f"({BLESSING}.uri == '/a/b') && ({BLESSING}.metadata['blessed'] == 0.0)", False),
        (f"(({BLESSING}.uri == '/x') || ({BLESSING}.metadata['blessed'] == 1.0))", True),
        ("int(inputs.parameter_values['steps']) == 3", True),
        ("inputs.parameter_values['name'] == 'y'", False),
        ("inputs.parameters['old'].int_value == 4", True),
        ("size(inputs.artifacts['none'].artifacts) == 0", True),
    ],
)
def test_conditions_are_evaluated(condition, truth):
    assert holds(condition) is truth


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (f"{BLESSING}.metadata['gone'] == 1.0", "no such key: gone"),
        ("inputs.artifacts['none'].artifacts[0].uri == ''", "fails .*index out of range"),
        (f"{BLESSING}.metadata['grade'] < 1.0", "fails .*not supported between"),
        (f"{BLESSING}.uri", "neither true nor false"),
        ("Unknown Comparison Operation 4", "does not parse near column"),
        ("unknown == 1", "fails"),
        ("", "does not parse"),
    ],
)
def test_conditions_that_cannot_be_evaluated_are_reported(condition, message):
    with pytest.raises(conditions.ConditionError, match=message) as caught:
        holds(condition)
    assert "\n" not in str(caught.value)
