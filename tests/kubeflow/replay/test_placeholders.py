import json

import pytest
from google.protobuf import json_format

from tests.deferred import deferred_imports

with deferred_imports():
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb

    from kubeflow.replay import executor_input, placeholders


@pytest.fixture
def given(tmp_path):
    (tmp_path / "count").write_text("12")
    document = {
        "inputs": {
            "parameterValues": {"n": 3, "x": 0.5, "s": 'a "b" {{$}}', "on": True, "list": [1, {"a": None}]},
            "parameters": {"old": {"intValue": "4"}},
            "artifacts": {
                "count": {"artifacts": [{"uri": str(tmp_path / "count"), "name": "a/1", "metadata": {"k": "v"}}]},
                "none": {"artifacts": []},
            },
        },
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"uri": "/out/model"}]}},
            "parameters": {"best": {"outputFile": "/out/best"}},
            "outputFile": "/out/output.json",
        },
    }
    return json_format.ParseDict(document, pb.ExecutorInput())


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{$.inputs.parameters['n']}}", "3"),
        ("{{$.inputs.parameters['x']}}", "0.5"),
        ("{{$.inputs.parameters['s']}}", 'a "b" {{$}}'),
        ("{{$.inputs.parameters['on']}}", "true"),
        ("{{$.inputs.parameters['list']}}", '[1, {"a": null}]'),
        ("{{$.inputs.parameters['old']}}", "4"),
        ("{{$.inputs.artifacts['count'].value}}", "12"),
        ("{{$.inputs.artifacts['count'].name}}", "a/1"),
        ("{{$.inputs.artifacts['count'].metadata['k']}}", "v"),
        ("--to={{$.outputs.artifacts['model'].uri}}/1:{{$.inputs.parameters['n']}}", "--to=/out/model/1:3"),
        ("{{$.outputs.parameters['best'].output_file}}", "/out/best"),
        ("{{$.outputs.output_file}}", "/out/output.json"),
        ("{{$.pipeline_job_name}}", "run"),
        ("plain $ {{x}} {}", "plain $ {{x}} {}"),
    ],
)
def test_one_value(given, text, filled):
    assert placeholders.resolve(text, given, {"pipeline_job_name": "run"}) == filled


def test_all_of_it_is_json_that_protobuf_reads_back(given):
    text = placeholders.resolve("--given={{$}}", given, {})
    assert json_format.Parse(text.removeprefix("--given="), pb.ExecutorInput()) == given
    assert json.loads(text.removeprefix("--given="))["inputs"]["parameterValues"]["n"] == 3


@pytest.mark.parametrize(
    "text",
    [
        "{{$.inputs.parameters['gone']}}",
        "{{$.inputs.artifacts['none'].uri}}",
        "{{$.inputs.artifacts['count'].size}}",
        "{{$.outputs.artifacts['model'].value}}",
        "{{$.outputs.artifacts['model']}}",
        "{{$.json_escape[1]}}",
    ],
)
def test_missing_values_are_reported(given, text):
    with pytest.raises(executor_input.ExchangeError, match=r"its command asks for .*"):
        placeholders.resolve(text, given, {})
