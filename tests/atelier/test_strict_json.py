import json

import pytest

from atelier import strict_json


def test_numbers_that_are_not_finite_are_null():
    value = {"loss": [0.5, float("nan"), (float("inf"), -float("inf"))], "label": "NaN", "count": 3, "gate": None}
    text = strict_json.dumps(value, indent=1)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "loss": [0.5, None, [None, None]],
        "label": "NaN",
        "count": 3,
        "gate": None,
    }
