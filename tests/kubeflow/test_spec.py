import copy

import pytest
import yaml

from atelier.errors import KubeflowError
from tests.deferred import deferred_imports
from tests.kubeflow.replayable import build_pipeline, build_task, write

with deferred_imports():
    from kubeflow import spec

WRONG: tuple[object, ...] = (None, 7, "text", [], {}, [None], {"x": None}, {"": {"": 1}}, True)


def load(folder, document):
    return spec.load(write(folder, document))


def build_diamond():
    return build_pipeline(
        {
            "a": build_task(inputs={"x": "b.out"}, after=["c"]),
            "b": build_task(outputs={"out": "tfx.Model"}, after=["d"]),
            "c": build_task(of_tasks={"n": "d_task.count"}),
            "d": build_task(output_parameters={"count": "NUMBER_INTEGER"}),
        }
    )


def test_tasks_come_after_what_they_depend_on_by_any_way(tmp_path):
    read = load(tmp_path, build_diamond())
    assert list(read.tasks) == ["d", "b", "c", "a"]
    assert {name: set(found) for name, found in read.upstream.items()} == {
        "a": {"b", "c"},
        "b": {"d"},
        "c": {"d"},
        "d": set(),
    }


def test_a_task_whose_name_ends_like_tfxs_suffix_is_found(tmp_path):
    document = build_diamond()
    document["pipelineSpec"]["root"]["dag"]["tasks"]["d_task"] = {"componentRef": {"name": "d"}}
    assert load(tmp_path, document).upstream["c"] == {"d_task"}


@pytest.mark.parametrize("ending", [".yaml", ".yml"])
def test_yaml_holds_the_specification_alone_and_maybe_more_documents(tmp_path, ending):
    file = tmp_path / f"pipeline{ending}"
    file.write_text("# a comment\n" + yaml.safe_dump_all([build_diamond()["pipelineSpec"], {"platforms": {}}]))
    read = spec.load(file)
    assert (read.name, read.legacy, sorted(read.tasks)) == ("made-up", False, ["a", "b", "c", "d"])


def test_the_schema_version_tells_the_kind_of_parameters(tmp_path):
    assert load(tmp_path, build_pipeline({"a": build_task()}, schema="2.0.0")).legacy
    with pytest.raises(KubeflowError, match=r"schemaVersion is '1\.9', not 2\.0\.0 or 2\.1\.0"):
        load(tmp_path, build_pipeline({"a": build_task()}, schema="1.9"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.json", None, "No such file"),
        ("a.txt", "{}", "ends in .json or .yaml"),
        ("a.json", "{", "not JSON: Expecting"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.yaml", "a: [", "not YAML: while parsing"),
        ("a.yaml", "\0", "not YAML"),
        ("a.yaml", b"\xff\xfe\xfa", "not YAML"),
        ("a.yaml", "", "holds no mapping"),
        ("a.json", "[1]", "holds no mapping"),
        ("a.json", "{}", "no root.dag.tasks"),
        ("a.json", '{"pipelineSpec": 3}', "PipelineSpec is no mapping"),
        ("a.json", '{"root": {"dag": {"tasks": 7}}}', "not a compiled pipeline"),
        ("a.yaml", "name: photos\ndata: {source: photos}\n", "no root.dag.tasks"),
    ],
)
def test_a_file_that_is_no_pipeline_is_reported_in_one_line(tmp_path, name, content, message):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(KubeflowError, match=message) as caught:
        spec.load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def edit_diamond(change):
    document = build_diamond()
    change(document["pipelineSpec"])
    return document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["components"].pop("b"), "task b: no component 'b'"),
        (lambda p: p["deploymentSpec"]["executors"].pop("b_executor"), "task b: no executor 'b_executor'"),
        (lambda p: p.pop("deploymentSpec"), "no executor"),
        (
            lambda p: p["deploymentSpec"]["executors"].update(b_executor={"customJob": {}}),
            "b_executor' is not a container",
        ),
        (
            lambda p: p["deploymentSpec"]["executors"]["b_executor"]["container"].pop("command"),
            "task b: its container has no command",
        ),
        (lambda p: p["components"].update(b={"dag": {"tasks": {}}}), "task b: a pipeline within"),
        (lambda p: p["root"]["dag"]["tasks"]["d"].update(dependentTasks=["a"]), "wait for each other: .*a -> .*"),
        (lambda p: p["root"]["dag"]["tasks"]["d"].update(dependentTasks=["z"]), "task d: depends on 'z'"),
        (lambda p: p["components"]["b"].pop("outputDefinitions"), "'out' of b, which has no such output"),
        (
            lambda p: p["root"]["dag"]["tasks"]["d"].update(
                inputs={"parameters": {"p": {"componentInputParameter": "size"}}}
            ),
            "'size', which is not a parameter of the run",
        ),
        (
            lambda p: p["root"]["dag"]["tasks"]["d"].update(
                inputs={"artifacts": {"p": {"componentInputArtifact": "x"}}}
            ),
            "task d: input 'p' is no task's output",
        ),
        (lambda p: p["root"]["dag"]["tasks"].update({"../x": {}}), "its name cannot be used as the name of a folder"),
    ],
)
def test_references_that_lead_nowhere_are_reported(tmp_path, change, message):
    with pytest.raises(KubeflowError, match=message):
        load(tmp_path, edit_diamond(change))


@pytest.mark.slow
def test_a_damaged_file_never_gives_anything_but_one_line(tmp_path):
    """Every value of a good file, one after the other, is put wrong in several ways."""
    good = build_diamond()
    told = [catch_error(tmp_path, good, path, wrong) for path in list_paths(good) for wrong in WRONG]
    assert not any("\n" in line for line in told)
    assert sum(bool(line) for line in told) > 200


def catch_error(folder, good, path, wrong):
    """What loading says where the value at `path` is `wrong`."""
    document = copy.deepcopy(good)
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = wrong
    try:
        load(folder, document)
    except KubeflowError as error:
        return str(error)
    return ""


def list_paths(value, path=()):
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        yield (*path, key)
        yield from list_paths(below, (*path, key))
