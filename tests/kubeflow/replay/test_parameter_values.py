import pytest

from atelier.errors import KubeflowError
from tests.deferred import deferred_imports
from tests.kubeflow.replayable import build_pipeline, build_task, write

with deferred_imports():
    from kubeflow import spec
    from kubeflow.replay import parameter_values

DECLARED: dict[str, dict[str, object]] = {
    "name": {"parameterType": "STRING"},
    "steps": {"parameterType": "NUMBER_INTEGER", "defaultValue": 5},
    "rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.5},
    "fast": {"parameterType": "BOOLEAN", "isOptional": True},
    "sizes": {"parameterType": "LIST", "isOptional": True},
    "options": {"parameterType": "STRUCT", "isOptional": True},
}


@pytest.fixture
def resolve(tmp_path):
    def resolve_values(given, values=None):
        document = build_pipeline({"a": build_task()}, DECLARED, values=values)
        return parameter_values.resolve_parameters(spec.load(write(tmp_path, document)), given)

    return resolve_values


def test_given_values_beat_those_of_the_run_and_those_the_declarations(resolve):
    assert resolve({"name": "x"}) == {"name": "x", "steps": 5, "rate": 0.5}
    assert resolve({}, {"name": "y", "steps": 6}) == {"name": "y", "steps": 6, "rate": 0.5}
    assert resolve({"steps": "7"}, {"name": "y", "steps": 6}) == {"name": "y", "steps": 7, "rate": 0.5}


def test_texts_become_values_of_the_declared_type(resolve):
    given = {"name": "7", "steps": "-3", "rate": "1e-3", "fast": "True", "sizes": "[1, 2]", "options": '{"a": null}'}
    got = resolve(given)
    assert got == {"name": "7", "steps": -3, "rate": 0.001, "fast": True, "sizes": [1, 2], "options": {"a": None}}
    assert [type(got[name]) for name in ("steps", "rate", "fast")] == [int, float, bool]
    assert resolve({"name": "", "rate": "2"})["rate"] == 2.0


def test_values_of_python_are_taken_as_they_are(resolve):
    got = resolve({"name": "x", "steps": 3.0, "rate": 2, "fast": False, "sizes": ["a"]})
    assert got == {"name": "x", "steps": 3, "rate": 2.0, "fast": False, "sizes": ["a"]}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("steps", "1.5", "an integer"),
        ("steps", "1_000", "an integer"),
        ("steps", "", "an integer"),
        ("steps", "9007199254740993", "an integer"),  # 2**53 + 1, which no double is
        ("steps", True, "an integer"),
        ("steps", 10**400, "an integer"),
        ("rate", "fast", "a number"),
        ("rate", "nan", "a number"),
        ("rate", "1e999", "a number"),
        ("fast", "yes", "true or false"),
        ("sizes", "{}", "a list in JSON"),
        ("sizes", "[1", "a list in JSON"),
        ("options", "[]", "a mapping in JSON"),
        ("name", 7, "a string"),
    ],
)
def test_other_values_are_rejected(resolve, name, value, wanted):
    with pytest.raises(KubeflowError, match=f"parameter {name}: .* is not {wanted}"):
        resolve({"name": "x", name: value})


def test_a_wrong_default_is_rejected_too(resolve):
    with pytest.raises(KubeflowError, match="parameter steps: 'many' is not an integer"):
        resolve({"name": "x"}, {"steps": "many"})


def test_unknown_names_are_reported_with_the_known_ones(resolve):
    with pytest.raises(
        KubeflowError, match="parameter step: the pipeline has no such parameter; it has fast, name, options, rate, siz"
    ):
        resolve({"step": "3"})


def test_a_parameter_without_any_value_is_named(resolve):
    with pytest.raises(KubeflowError, match="parameter name has no value; give it by --parameter name=VALUE"):
        resolve({})


def test_types_of_schema_2_0(tmp_path):
    document = build_pipeline(
        {"a": build_task()}, {"n": {"type": "INT"}, "x": {"type": "DOUBLE"}, "s": {"type": "STRING"}}
    )
    document["pipelineSpec"]["schemaVersion"] = "2.0.0"
    document["runtimeConfig"] = {"parameters": {"n": {"intValue": "4"}, "s": {"stringValue": "text"}}}
    read = spec.load(write(tmp_path, document))
    assert parameter_values.resolve_parameters(read, {"x": "2"}) == {"n": 4, "x": 2.0, "s": "text"}
    assert parameter_values.to_legacy(4).WhichOneof("value") == "int_value"
    assert parameter_values.to_legacy(2.0).WhichOneof("value") == "double_value"
    assert parameter_values.to_legacy([1]).string_value == "[1]"
