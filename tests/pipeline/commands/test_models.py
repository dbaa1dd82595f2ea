"""`atelier models` through its door: the command line, real servers, a metadata database of a made-up run."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd

from atelier import labels, tfrecord
from pipeline import cli
from pipeline.config.sections.metadata import Metadata
from pipeline.metadata import database
from pipeline.results.stored_metrics import _MetricsForSlice, read_metrics
from tests.deferred import deferred_imports
from tests.serving.malformed import make_image
from tests.serving.registry.label_server import LabelServer

with deferred_imports():
    from serving.server import model_server_config
    from serving.server.local_server import LocalServer, Options
    from tests.serving import tiny_model

OLD, NEW = 1_764_202_741, 1_764_209_915
"""2025-11-27 00:19:01 and 02:18:35 UTC."""


def store_metrics(folder, accuracy, sliced):
    """Writes what TFMA writes: an accuracy over all images, one of a slice, and the baseline's."""
    folder.mkdir(parents=True)
    with (folder / "metrics-00000-of-00001.tfrecord").open("wb") as stream:
        for where, value in ((None, accuracy), (b"png", sliced)):
            entry = _MetricsForSlice["MetricsForSlice"]()
            if where:
                entry.slice_key.single_slice_keys.add(column="image/format", bytes_value=where)
            for model in ("candidate", "baseline"):
                pair = entry.metric_keys_and_values.add()
                pair.key.name, pair.key.model_name = "sparse_categorical_accuracy", model
                pair.value.double_value.value = value if model == "candidate" else 0.5
            tfrecord.write(stream, entry.SerializeToString())


def put_run(store, output, version, run, accuracy):
    """Records a run as TFX does: its nodes, their outputs, and what Pusher pushed."""
    kinds = {}
    for kind in ("pipeline_run", "node"):
        kinds[kind] = store.put_context_type(mlmd.ContextType(name=kind), can_add_fields=True)
    step = store.put_execution_type(mlmd.ExecutionType(name="step"), can_add_fields=True)
    (run_id,) = store.put_contexts([mlmd.Context(type_id=kinds["pipeline_run"], name=run)])

    def put(node, outputs):
        execution = mlmd.Execution(type_id=step, last_known_state=mlmd.Execution.COMPLETE)
        known = store.get_context_by_type_and_name("node", f"pets.{node}")
        node_id = (
            known.id if known else store.put_contexts([mlmd.Context(type_id=kinds["node"], name=f"pets.{node}")])[0]
        )
        (execution_id,) = store.put_executions([execution])
        links = [mlmd.Association(execution_id=execution_id, context_id=each) for each in (run_id, node_id)]
        store.put_attributions_and_associations([], links)
        for key, (kind, uri, properties) in outputs.items():
            type_id = store.put_artifact_type(mlmd.ArtifactType(name=kind), can_add_fields=True)
            artifact = mlmd.Artifact(type_id=type_id, uri=str(uri))
            for name, value in properties.items():
                if isinstance(value, int):
                    artifact.custom_properties[name].int_value = value
                else:
                    artifact.custom_properties[name].string_value = value
            (artifact_id,) = store.put_artifacts([artifact])
            event = mlmd.Event(execution_id=execution_id, artifact_id=artifact_id, type=mlmd.Event.OUTPUT)
            event.path.steps.add(key=key)
            store.put_events([event])

    root = output / "pipeline_root"
    store_metrics(root / "Evaluator" / run, accuracy, accuracy - 0.01)
    (root / "Examples" / "Split-test").mkdir(parents=True, exist_ok=True)
    put("ImportExampleGen", {"examples": ("Examples", root / "Examples", {})})
    blessing = ("ModelBlessing", root / "blessing", {"blessed": 1})
    # The output folder was moved since: its artifacts are found below it all the same.
    moved = f"/moved/away/pipeline_root/Evaluator/{run}"
    put("Evaluator", {"evaluation": ("ModelEvaluation", moved, {}), "blessing": blessing})
    destination = f"/moved/away/serving_model/{version}"
    put("Pusher", {"pushed_model": ("PushedModel", root, {"pushed_destination": destination})})
    other = f"/moved/away/tflite/{version}"
    put("Pusher.tflite", {"pushed_model": ("PushedModel", root, {"pushed_destination": other})})


@pytest.fixture
def output(tmp_path):
    """Two versions that two runs have pushed; their models are made up."""
    folder = tmp_path / "output"
    for version, code in ((OLD, "c0de1"), (NEW, "c0de2")):
        extra = folder / "serving_model" / str(version) / "assets.extra"
        extra.mkdir(parents=True)
        (extra.parent / "saved_model.pb").write_bytes(bytes(1_000_000))
        (extra / "provenance.json").write_text(json.dumps({"code": code, "data": "da7a"}))
        labels.write_labels(extra, ["dark", "bright"])
    connection = database.build_connection_config(Metadata(), folder)
    store = database.open_store(connection)
    put_run(store, folder, OLD, "2025-11-27T01:10:00", 0.9)
    put_run(store, folder, NEW, "2025-11-27T03:10:00", 0.95)
    return folder


def atelier(*words):
    """The exit code, standard output and standard error of a command, run in this process."""
    done = CliRunner().invoke(cli.cli, [str(word) for word in words], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.return_value or 0, done.stdout, done.stderr


def test_list_tells_run_code_data_accuracy_gate_size_alias_and_server(output):
    fake = LabelServer(OLD)
    with fake.serving() as target:
        where = ("--models", output / "serving_model", "--target", target)
        atelier("models", "promote", OLD, *where)
        code, text, _ = atelier("models", "list", *where, "--json")
        newest, oldest = json.loads(text)
    assert code == 0
    assert (newest["version"], newest["pushed"], newest["run"]) == (
        NEW,
        "2025-11-27T02:18:35+00:00",
        "2025-11-27T03:10:00",
    )
    assert (newest["code"], newest["data"], newest["blessed"]) == ("c0de2", "da7a", True)
    assert newest["metrics"] == {"accuracy": 0.95}
    assert newest["slices"] == {"image/format = png": {"accuracy": pytest.approx(0.94)}}
    assert newest["bytes"] == 1_000_000 + len('{"code": "c0de2", "data": "da7a"}') + len("dark\nbright\n")
    assert (newest["aliases"], newest["servers"]) == ([], {target: ""})
    assert (oldest["aliases"], oldest["servers"]) == (["canary", "stable"], {target: "AVAILABLE"})
    assert oldest["metrics"] == {"accuracy": 0.9}


def test_a_table_for_people_and_a_server_that_is_down(output):
    code, text, error = atelier("models", "list", "--models", output / "serving_model", "--target", "127.0.0.1:1")
    assert code == 1
    assert "no server at 127.0.0.1:1" in error
    assert all(word in text for word in (str(NEW), "2025-11-27 02:18:35", "0.9500", "passed", "1.0 MB", "no answer"))
    _, shown, _ = atelier("models", "show", OLD, "--models", output / "serving_model")
    assert all(word in shown for word in ("c0de1", "0.9000", "0.8900", "image/format = png"))


def test_an_alias_of_a_version_that_is_gone_is_told(output):
    with LabelServer(OLD).serving() as target:
        atelier("models", "promote", OLD, "--models", output / "serving_model", "--target", target)
    (output / "serving_model" / str(OLD)).rename(output / "kept elsewhere")
    _, _, error = atelier("models", "list", "--models", output / "serving_model")
    assert f"stable points at version {OLD}, which is not in" in error


def test_promote_rollback_and_history(output):
    with LabelServer(OLD).serving() as target:
        where = ("--models", output / "serving_model", "--target", target)
        atelier("models", "promote", OLD, *where)
        _, told, _ = atelier("models", "promote", NEW, *where, "--why", "2 points better")
        assert told == f"stable: {OLD} -> {NEW} on {target}\n"
        _, told, _ = atelier("models", "rollback", *where)
        assert told == f"stable: {NEW} -> {OLD} on {target}\n"
    _, text, _ = atelier("models", "history", "--models", output / "serving_model", "--json")
    changes = json.loads(text)
    moves = [(each["intent"]["from_version"], each["intent"]["to_version"], each["outcome"]) for each in changes]
    assert moves == [(None, OLD, "done"), (OLD, NEW, "done"), (NEW, OLD, "done")]
    assert changes[1]["intent"]["why"] == "2 points better"
    assert changes[1]["intent"]["numbers"] == {"accuracy": {str(OLD): 0.9, str(NEW): 0.95}}
    _, table, _ = atelier("models", "history", "--models", output / "serving_model")
    assert "2 points better" in table


def test_a_rejected_promotion_ends_with_1_and_a_line(output):
    fake = LabelServer(OLD)
    fake.unloadable = {NEW}
    with fake.serving() as target:
        where = ["--models", str(output / "serving_model"), "--target", target]
        atelier("models", "promote", OLD, *where)
        words = [sys.executable, "-m", "pipeline.cli", "models", "promote", str(NEW), *where]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"cannot load version {NEW}" in line
    assert "are as before" in line


def test_words_that_name_no_version_or_no_server(output):
    models = output / "serving_model"
    for words, message in (
        (("show", 7), rf"no version 7; there are {OLD}, {NEW}"),
        (("promote", NEW), r"--target HOST:PORT"),
        (("compare", OLD, 7), r"no version 7"),
    ):
        with pytest.raises(Exception, match=message):
            atelier("models", *words, "--models", models)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"{}", b"[]", b'{"config": []}', b'{"config": {"metadata": []}}']
)
def test_a_run_json_that_is_none_is_named(tmp_path, capsys, content):
    folder = tmp_path / "serving_model/1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"made up")
    (tmp_path / "run.json").write_bytes(content)
    for words in (["list"], ["compare", "1", "1"], ["reference", "1"]):
        assert cli.main(["models", *words, "--models", str(tmp_path / "serving_model")]) == 1
        assert f"{tmp_path}/run.json: not the run.json of a run" in capsys.readouterr().err


def test_a_folder_without_metrics_has_none(tmp_path):
    assert read_metrics(tmp_path / "gone").overall == {}


@pytest.mark.slow
def test_compare_runs_both_on_the_test_records(tmp_path):
    """Twice the brightness: of 0, 100, 200 of 255 the second version calls the middle one bright."""
    models, records = tmp_path / "serving_model", tmp_path / "records"
    records.mkdir()
    for version, gain in ((1, 1.0), (2, 2.0)):
        models.mkdir(exist_ok=True)
        (tiny_model.write(models, version, gain) / "assets.extra").mkdir()
        labels.write_labels(models / str(version) / "assets.extra", tiny_model.LABELS)
    with (records / "test.tfrecord").open("wb") as stream:
        for brightness, truth in ((0, 0), (100, 0), (120, 1)):
            values = {"image/encoded": make_image(brightness), "image/class/label": truth}
            tfrecord.write(stream, tfrecord.serialize_example(values | {"image/filename": f"{brightness}.png"}))
    _, text, _ = atelier("models", "compare", 1, 2, "--models", models, "--records", records, "--json")
    found = json.loads(text)["comparison"]
    with pytest.raises(Exception, match="cannot be listed"):
        atelier("models", "compare", 1, 2, "--models", models, "--records", tmp_path / "gone")
    assert [(each["right"], each["labeled"]) for each in found["measured"]] == [(2, 3), (2, 3)]
    told = [(each["image"], each["truth"], each["first"], each["second"]) for each in found["differences"]]
    assert told == [("100.png", "dark", "dark", "bright"), ("120.png", "bright", "dark", "bright")]
    assert found["differences"][0]["second_probability"] == pytest.approx(200 / 255)


@pytest.mark.slow
def test_the_local_server_moves_its_labels(tmp_path):
    models = tmp_path / "serving_model"
    for version, gain in ((1, 1.0), (2, 0.5)):
        models.mkdir(exist_ok=True)
        tiny_model.write(models, version, gain)
    file = tmp_path / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "default" base_path: "{models}" model_platform: "tensorflow" '
        'model_version_policy { specific { versions: 1 } } version_labels { key: "stable" value: 1 } } }'
    )
    with LocalServer(model_server_config.read_models_config(file), Options(port=0, poll_seconds=0.1)) as server:
        where = ("--models", models, "--target", server.target)
        _, told, _ = atelier("models", "promote", 2, *where, "--alias", "canary")
        assert told == f"canary: nothing -> 2 on {server.target}\n"
        (models / "3").mkdir()
        (models / "3" / "saved_model.pb").write_bytes(b"damaged")
        with pytest.raises(Exception, match=r"version 3 failed: .*cannot load version 3.*are as before"):
            atelier("models", "promote", 3, *where)
        _, text, _ = atelier("models", "list", *where, "--json")
        states = {each["version"]: (each["aliases"], each["servers"][server.target]) for each in json.loads(text)}
        assert states == {1: (["stable"], "AVAILABLE"), 2: (["canary"], "AVAILABLE"), 3: ([], "END")}
        atelier("models", "promote", 2, *where)
        assert atelier("models", "rollback", *where)[1] == f"stable: 2 -> 1 on {server.target}\n"
