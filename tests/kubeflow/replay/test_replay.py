"""Whole replays of pipelines whose containers are short scripts without TFX; what they tell is worked out by hand."""

import json
import re
import sys
from pathlib import Path

import pytest

from atelier.errors import KubeflowError
from tests.deferred import deferred_imports
from tests.kubeflow.replayable import build_pipeline, build_task, write

with deferred_imports():
    from kubeflow.replay import replay

ROOT = Path(__file__).resolve().parents[3]
TRAIN = "(uri(outputs, 'model') / 'weights').write_text('7')"
BLESS = """
model = inputs["artifacts"]["model"]["artifacts"][0]
tell(artifacts={"blessing": {"artifacts": [{"metadata": {"blessed": BLESSED, "current_model_id": model["name"]}}]}})
"""
LATEST = {
    "blessing": 'schema_title="tfx.ModelBlessing" AND state=LIVE AND metadata.blessed.number_value=1',
    "model": 'schema_title="tfx.Model" AND state=LIVE AND name="{{$.inputs.artifacts[\'input\'].metadata'
    "['current_model_id']}}\"",
}
"""Filters as TFX 1.21 writes them for LatestBlessedModelStrategy."""


@pytest.fixture
def run(tmp_path):
    """Replays a pipeline; every call into the same root."""

    def replay_tasks(tasks, parameters=None, *, given=None, **document):
        file = write(tmp_path, build_pipeline(tasks, parameters, **document))
        return replay.replay(file, tmp_path / "root", parameters=given)

    return replay_tasks


def read_states(report):
    return {name: found.state for name, found in report.tasks.items()}


def test_artifacts_metadata_and_parameters_go_from_task_to_task(run, tmp_path):
    tell = 'tell(artifacts={"model": {"artifacts": [{"metadata": {"accuracy": 0.75, "size": 3}}]}}'
    train = f'{TRAIN}\n{tell}, parameterValues={{"count": 4}})'
    judge = """
    weights = (uri(inputs, "model") / "weights").read_text()
    metadata = inputs["artifacts"]["model"]["artifacts"][0]["metadata"]
    uri(outputs, "sum").write_text(str(int(weights) * inputs["parameterValues"]["factor"] + metadata["size"]))
    pathlib.Path(outputs["parameters"]["sum"]["outputFile"]).write_text(str(inputs["parameterValues"]["count"] + 1))
    """
    report = run(
        {
            "judge": build_task(
                "\n".join(line.strip() for line in judge.splitlines()),
                inputs={"model": "train.model"},
                of_run={"factor": "factor"},
                of_tasks={"count": "train_task.count"},
                outputs={"sum": "tfx.Integer"},
                output_parameters={"sum": "NUMBER_INTEGER"},
            ),
            "train": build_task(train, outputs={"model": "tfx.Model"}, output_parameters={"count": "NUMBER_INTEGER"}),
        },
        {"factor": {"parameterType": "NUMBER_INTEGER", "defaultValue": 1}},
        given={"factor": "10"},
    )
    assert report.failure == ""
    assert read_states(report) == {"train": "succeeded", "judge": "succeeded"}
    (model,) = report.tasks["train"].outputs["model"]
    assert (model.type, model.metadata) == ("tfx.Model", {"accuracy": 0.75, "size": 3})
    assert model.uri == str(report.folder / "train" / "model")
    (total,) = report.tasks["judge"].outputs["sum"]
    assert Path(total.uri).read_text() == "73"  # 7 * 10 + 3
    assert report.tasks["judge"].parameters == {"sum": 5}
    given = json.loads((report.folder / "judge" / "executor_input.json").read_text())
    assert given["inputs"]["parameterValues"] == {"factor": 10, "count": 4}
    assert given["inputs"]["artifacts"]["model"]["artifacts"][0]["metadata"] == {"accuracy": 0.75, "size": 3}
    written = json.loads((report.folder / "replay.json").read_text())
    assert written["tasks"]["train"]["outputs"]["model"][0]["uri"] == model.uri
    assert written["tasks"]["judge"]["state"] == "succeeded"
    assert report.folder.parent == tmp_path / "root"


def test_a_process_sees_no_checkout_and_its_own_environment(run, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(ROOT)
    look = "print(json.dumps([os.getcwd(), sys.executable, sys.path, os.environ['COLOR'], 'PYTHONPATH' in os.environ]))"
    report = run({"look": build_task(look, env={"COLOR": "blue"})})
    folder, python, path, color, has_path = json.loads((report.folder / "look" / "executor.log").read_text())
    assert (folder, color, has_path) == (str(report.folder / "look"), "blue", False)
    assert Path(python).parent == Path(sys.executable).parent
    assert str(ROOT) not in path


def test_a_failure_stops_the_run_and_is_reported_in_one_line(run):
    fail = 'print("reading")\ndef read(): raise ValueError("no such thing:\\nit is gone")\nread()'
    report = run(
        {
            "after": build_task(after=["broken"]),
            "apart": build_task(after=["first", "zz"]),
            "broken": build_task(fail, outputs={"model": "tfx.Model"}, after=["first"]),
            "first": build_task(),
            "zz": build_task(after=["broken"]),
        }
    )
    assert read_states(report) == {
        "first": "succeeded",
        "broken": "failed",
        "after": "not run",
        "apart": "not run",
        "zz": "not run",
    }
    log = report.folder / "broken" / "executor.log"
    assert report.failure == f"broken: ValueError: no such thing: it is gone; log: {log}"
    assert log.read_text().startswith("reading\nTraceback")
    assert not (report.folder.parent / replay.STORE_FILE).exists()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (build_task("os.kill(os.getpid(), 9)"), "killed by SIGKILL"),
        (build_task("sys.exit('nothing to do')"), "nothing to do"),
        (build_task("os._exit(3)"), "exit code 3"),
        (build_task(command=["no-such-program"]), "no-such-program cannot be started here: "),
        (build_task(command=["python", "-m", "no_such_module"]), "No module named no_such_module"),
        (build_task(command=["python", "{{$.inputs.parameters['x']}}"]), "its command asks for"),
        (
            build_task("pathlib.Path(outputs['outputFile']).write_text('{')"),
            "executor_output.json is not an ExecutorOutput",
        ),
        (build_task(output_parameters={"n": "STRING"}), "its output parameter n is not there"),
        (
            build_task("tell(parameterValues={'n': 'x'})", output_parameters={"n": "NUMBER_INTEGER"}),
            "parameter n: 'x' is not an integer",
        ),
        (build_task("import __main__\n__main__.Hello"), r"no attribute 'Hello'.* \(a component of a script"),
        (build_task(policy={"condition": "1 +"}), "its condition does not parse"),
    ],
)
def test_every_kind_of_failure_has_its_reason(run, made, why):
    report = run({"broken": made})
    assert read_states(report) == {"broken": "failed"}
    assert report.failure.startswith("broken: ")
    assert "\n" not in report.failure
    assert re.search(why, report.failure)


def test_conditions_and_what_hangs_on_them(run):
    bless = "tell(artifacts={'out': {'artifacts': [{'metadata': {'blessed': 1.0}}]}})"
    blessed = "(inputs.artifacts['x'].artifacts[0].metadata['blessed'] == %s)"

    def build_conditional(value):
        return build_task(inputs={"x": "bless.out"}, policy={"condition": blessed % value}, outputs={"y": "tfx.Model"})

    report = run(
        {
            "bless": build_task(bless, outputs={"out": "tfx.ModelBlessing"}),
            "left": build_conditional("0.0"),
            "left-after": build_task(inputs={"y": "left.y"}),
            "left-later": build_task(after=["left-after"]),
            "taken": build_conditional("1.0"),
            "taken-after": build_task(inputs={"y": "taken.y"}),
        }
    )
    skipped = {name for name, state in read_states(report).items() if state == "skipped"}
    assert skipped == {"left", "left-after", "left-later"}
    assert {name for name, state in read_states(report).items() if state == "succeeded"} == {
        "bless",
        "taken",
        "taken-after",
    }
    assert report.failure == ""
    assert report.tasks["left"].reason == "not (inputs.artifacts['x'].artifacts[0].metadata['blessed'] == 0.0)"
    assert report.tasks["left-later"].reason == "it depends on left-after"


def test_a_task_that_waits_for_all_runs_after_failures_too(run):
    report = run(
        {
            "after": build_task(after=["broken"]),
            "broken": build_task("sys.exit(1)"),
            "report": build_task(after=["broken"], policy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
        }
    )
    assert read_states(report) == {"broken": "failed", "after": "not run", "report": "succeeded"}


def test_a_driver_runs_first_and_its_findings_reach_the_executor(run):
    driver = """
metadata = {"span": 2}
tell(parameterValues={"span": 2, "pattern": "a-2/*"}, artifacts={"examples": {"artifacts": [{"metadata": metadata}]}})
"""
    report = run(
        {
            "gen": build_task(
                "print(json.dumps(given))",
                driver=driver,
                constants={"pattern": "a-{SPAN}/*", "format": 6},
                outputs={"examples": "tfx.Examples"},
            )
        }
    )
    given = json.loads((report.folder / "gen" / "executor.log").read_text())
    assert given["inputs"]["parameterValues"] == {"pattern": "a-2/*", "format": 6, "span": 2}
    assert given["outputs"]["artifacts"]["examples"]["artifacts"][0]["metadata"] == {"span": 2}
    assert report.tasks["gen"].outputs["examples"][0].metadata == {"span": 2}
    assert json.loads((report.folder / "gen" / "executor_input.json").read_text()) == given


def test_a_failing_driver_is_reported_with_its_own_log(run):
    report = run({"gen": build_task(driver="raise KeyError('no files')")})
    assert report.failure == f"gen: KeyError: 'no files'; log: {report.folder / 'gen' / 'driver.log'}"


def test_resolvers_see_what_earlier_runs_of_the_pipeline_left(run):
    def build_tasks(blessed):
        return {
            "latest-blessing": build_task(
                executor=build_resolver("blessing"), outputs={"blessing": "tfx.ModelBlessing"}
            ),
            "latest-model": build_task(
                executor=build_resolver("model"),
                inputs={"input": "latest-blessing.blessing"},
                outputs={"model": "tfx.Model"},
            ),
            "train": build_task(TRAIN, outputs={"model": "tfx.Model"}, after=["latest-model"]),
            "bless": build_task(
                BLESS.replace("BLESSED", str(blessed)),
                inputs={"model": "train.model", "baseline": "latest-model.model"},
                outputs={"blessing": "tfx.ModelBlessing"},
            ),
        }

    def build_resolver(key):
        return {"resolver": {"outputArtifactQueries": {key: {"filter": LATEST[key]}}}}

    first = run(build_tasks(1))
    assert first.failure == ""
    assert first.tasks["latest-model"].outputs == {"model": []}
    second = run(build_tasks(0))
    (model,) = second.tasks["latest-model"].outputs["model"]
    assert model == first.tasks["train"].outputs["model"][0]
    given = json.loads((second.folder / "bless" / "executor_input.json").read_text())
    assert given["inputs"]["artifacts"]["baseline"]["artifacts"][0]["uri"] == str(first.folder / "train" / "model")
    # The second model is not blessed: the third run still gets the first one, whose files are where they were.
    third = run(build_tasks(1))
    assert third.tasks["latest-model"].outputs["model"] == [model]
    assert (Path(model.uri) / "weights").read_text() == "7"
    assert len({first.folder, second.folder, third.folder}) == 3
    assert third.tasks["latest-blessing"].outputs["blessing"] == first.tasks["bless"].outputs["blessing"]


def test_an_importer_takes_its_place_from_a_parameter_or_a_constant(run):
    metadata = {"origin": "here", "count": 2}
    report = run(
        {
            "asked": build_task(
                executor={"importer": {"artifactUri": {"runtimeParameter": "artifact_uri"}, "metadata": metadata}},
                of_run={"artifact_uri": "where"},
                outputs={"result": "tfx.Schema"},
            ),
            "fixed": build_task(
                executor={"importer": {"artifactUri": {"constant": "gs://bucket/schema"}}},
                outputs={"result": "tfx.Schema"},
            ),
        },
        {"where": {"parameterType": "STRING"}},
        given={"where": "/data/schema"},
    )
    (asked,), (fixed,) = (report.tasks[name].outputs["result"] for name in ("asked", "fixed"))
    assert (asked.uri, asked.type, asked.metadata) == ("/data/schema", "tfx.Schema", metadata)
    assert (fixed.uri, fixed.metadata) == ("gs://bucket/schema", {})


def test_parameters_of_schema_2_0_keep_their_types(run):
    made = build_task("print(json.dumps(inputs['parameters']))", of_run={"n": "n", "x": "x"})
    made["task"]["inputs"]["parameters"]["s"] = {"runtimeValue": {"constantValue": {"stringValue": "[1]"}}}
    report = run({"one": made}, {"n": {"type": "INT"}, "x": {"type": "DOUBLE"}}, schema="2.0.0", given={"n": 3, "x": 2})
    got = json.loads((report.folder / "one" / "executor.log").read_text())
    assert got == {"n": {"intValue": "3"}, "x": {"doubleValue": 2}, "s": {"stringValue": "[1]"}}


def test_one_line_a_task_as_it_ends_and_a_total(tmp_path):
    lines: list[str] = []
    file = write(tmp_path, build_pipeline({"a": build_task(), "longer": build_task(after=["a"])}))
    report = replay.replay(file, tmp_path / "root", announce=lines.append)
    assert [line.split()[0::3] for line in lines[:2]] == [["a", "succeeded"], ["longer", "succeeded"]]
    assert lines[2].startswith("total ")
    assert lines[2].endswith(f"2 succeeded; {report.folder / 'replay.json'}")


def test_a_folder_that_disappears_is_reported(run):
    with pytest.raises(KubeflowError, match="the report cannot be written: No such file or directory"):
        run({"a": build_task("import shutil\nshutil.rmtree(pathlib.Path.cwd().parent)"), "b": build_task(after=["a"])})


def test_a_folder_where_nothing_can_be_made_fails_the_task(run):
    take = "(pathlib.Path.cwd().parent / 'b').write_text('in the way')"
    report = run({"a": build_task(take), "b": build_task(after=["a"])})
    assert read_states(report) == {"a": "succeeded", "b": "failed"}
    assert report.failure == f"b: {report.folder / 'b'}: File exists"


def test_a_root_that_is_a_file_is_reported(tmp_path):
    file = write(tmp_path, build_pipeline({"a": build_task()}))
    with pytest.raises(KubeflowError, match="cannot be used as the root"):
        replay.replay(file, file)
