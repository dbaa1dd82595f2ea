"""Runs whose lineage is kept by MariaDB or PostgreSQL: two at once, read back, and with the server gone in mid-run."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e import databases
from tests.e2e.conftest import CONFIG, ROOT, Run, run_pipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(databases.missing()), reason=databases.missing()),
]

LESS = [
    "style.enabled=false",
    "augmentation.copies=0",
    "trainer.head_epochs=2",
    "trainer.fine_tune_epochs=0",
    "evaluator.min_accuracy=0.1",
    "tflite.max_accuracy_drop=1",
    "tflite.max_slice_accuracy_drop=1",
    "tflite.max_disagreement=1",
    "tflite.calibration_images=10",
    "stylizer.enabled=false",
]
"""Of the small run: what is looked at here is where its lineage goes."""


def arguments(digits: Path, url: str, name: str) -> list[object]:
    settings = [*LESS, f"metadata.connection={url}", f"name={name}"]
    return ["--config", CONFIG, "--data", digits, *(word for text in settings for word in ("--set", text))]


@pytest.fixture(scope="module", params=[databases.Mariadb, databases.Postgresql])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[databases.Database]:
    server = request.param(tmp_path_factory.mktemp(request.param.scheme))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def pair(database: databases.Database, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two pipelines that began at the same moment, on a database without any table."""
    folder = tmp_path_factory.mktemp("pair")

    def run(name: str) -> Run:
        return run_pipeline(folder / name, *arguments(digits, database.url(), name))

    with ThreadPoolExecutor(2) as both:
        return list(both.map(run, ("left", "right")))


def test_two_pipelines_run_at_once(pair: list[Run]) -> None:
    for run in pair:
        assert run.code == 0, run.stderr
        assert set(run.result["nodes"].values()) == {"complete"}
        assert len(run.result["nodes"]) == 13
        assert len(run.versions("serving_model")) == len(run.versions("tflite")) == 1
        assert not (run.output / "metadata.db").exists()


def test_the_lineage_of_each_is_read_back(database: databases.Database, pair: list[Run]) -> None:
    from ml_metadata.metadata_store import MetadataStore

    from pipeline.config.sections.metadata import Metadata
    from pipeline.metadata.database import build_connection_config
    from pipeline.metadata.database_url import SecretUrl

    store = MetadataStore(build_connection_config(Metadata(connection=SecretUrl(database.url())), Path()))
    for run in pair:
        name = run.result["name"]
        pushed = [a for a in store.get_artifacts_by_type("PushedModel") if str(run.output) in a.uri]
        assert {Path(artifact.uri).parent.parent.name for artifact in pushed} == {"Pusher", "Pusher.tflite"}
        (saved_model,) = (artifact for artifact in pushed if "/Pusher/" in artifact.uri)
        ways = list(_producers(store, saved_model.id))
        assert ways[0] == "Pusher"
        assert {"Trainer", "Transform", "ImportExampleGen"} <= set(ways)
        context = store.get_context_by_type_and_name("pipeline", name)
        assert context.custom_properties["output_folder"].string_value == str(run.output)
        assert all(a.uri.startswith(str(run.output)) for a in store.get_artifacts_by_context(context.id))


def _producers(store: object, artifact_id: int) -> Iterator[str]:
    """Nodes from an artifact back to its origins, the nearest first."""
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    waiting = [artifact_id]
    for artifact in waiting:
        for event in store.get_events_by_artifact_ids([artifact]):  # type: ignore[attr-defined]
            if event.type != mlmd.Event.OUTPUT:
                continue
            contexts = store.get_contexts_by_execution(event.execution_id)  # type: ignore[attr-defined]
            yield next(context.name for context in contexts if context.type == "node").partition(".")[2]
            inputs = store.get_events_by_execution_ids([event.execution_id])  # type: ignore[attr-defined]
            waiting += [e.artifact_id for e in inputs if e.type == mlmd.Event.INPUT and e.artifact_id not in waiting]


def test_the_password_is_written_nowhere(pair: list[Run]) -> None:
    secrets = [databases.PASSWORD.encode(), quote(databases.PASSWORD, safe="").encode(), rb"pa@ss/w\'o:rd"]
    for run in pair:
        shown = [run.stdout.encode(), run.stderr.encode()]
        files = [file.read_bytes() for file in run.output.rglob("*") if file.is_file()]
        assert not [secret for secret in secrets for text in shown + files if secret in text]
        assert run.result["config"]["metadata"]["connection"].endswith("atelier:***@127.0.0.1:" + _end(run))
        assert 'password: "***"' in (run.output / "run.log").read_text(errors="replace")


def _end(run: Run) -> str:
    return run.result["config"]["metadata"]["connection"].rpartition(":")[2]


def test_a_rerun_takes_everything_from_the_cache_and_another_folder_nothing(
    database: databases.Database, digits: Path, pair: list[Run], tmp_path: Path
) -> None:
    again = run_pipeline(pair[0].output, *arguments(digits, database.url(), "left"))
    assert again.code == 0, again.stderr
    assert set(again.result["nodes"].values()) == {"cached"}
    other = run_pipeline(tmp_path / "other", *arguments(digits, database.url(), "left"))
    assert other.code == 0, other.stderr
    assert "another folder's runs are left in the metadata database; this one's: left-" in other.stderr
    assert set(other.result["nodes"].values()) == {"complete"}


@pytest.fixture(scope="module")
def stopped(
    database: databases.Database, digits: Path, pair: list[Run], tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, str, Path]:
    """A run whose database is killed while the Trainer works: exit code, standard error, output."""
    output = tmp_path_factory.mktemp("stopped") / "output"
    words = ["run", "--output", output, *arguments(digits, database.url(password=False), "stopped")]
    command = [sys.executable, "-m", "pipeline.cli", *(str(word) for word in words)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "ATELIER_METADATA_PASSWORD": databases.PASSWORD}
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stderr is not None
        for line in run.stderr:
            lines.append(line)
            if "head epoch 1/" in line:
                database.kill()
    return run.returncode, "".join(lines), output


def test_a_run_without_its_database_ends_with_one_clear_line(
    database: databases.Database, stopped: tuple[int, str, Path]
) -> None:
    code, stderr, output = stopped
    assert code == 1, stderr
    assert "Traceback" not in stderr
    (reason,) = (line for line in stderr.splitlines() if line.startswith("atelier: "))
    assert reason.startswith(f"atelier: Trainer: metadata database 127.0.0.1:{database.port}/lineage")
    assert "the server is down" in reason
    assert reason.endswith("once it is back, the same command goes on from the finished nodes")
    assert "metadata database" in (output / "report.html").read_text()


def test_while_it_is_down_nothing_begins(
    database: databases.Database, digits: Path, stopped: tuple[int, str, Path], tmp_path: Path
) -> None:
    run = run_pipeline(tmp_path / "output", *arguments(digits, database.url(), "early"))
    assert run.code == 1
    where = f"metadata database 127.0.0.1:{database.port}/lineage (user atelier)"
    problem = "the server is down (Connection refused); start it, or correct metadata.connection"
    assert run.stderr.splitlines() == [f"atelier: {where}: {problem}"]
    assert not (tmp_path / "output" / "data").exists()


def test_once_it_is_back_the_run_goes_on(
    database: databases.Database, digits: Path, stopped: tuple[int, str, Path]
) -> None:
    database.start()
    resumed = run_pipeline(stopped[2], *arguments(digits, database.url(), "stopped"))
    assert resumed.code == 0, resumed.stderr
    nodes = resumed.result["nodes"]
    before = list(nodes)[: list(nodes).index("Trainer")]
    assert "Transform" in before
    assert {nodes[name] for name in before} == {"cached"}
    assert nodes["Trainer"] == nodes["Pusher.tflite"] == "complete"


def test_a_server_that_hangs_is_not_waited_for(
    database: databases.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.config.sections.metadata import Metadata
    from pipeline.metadata import database_server
    from pipeline.metadata.database import MetadataError, connect
    from pipeline.metadata.database_url import SecretUrl

    monkeypatch.setattr(database_server, "TIMEOUT_S", 1.0)
    database.send(signal.SIGSTOP)
    try:
        with pytest.raises(MetadataError, match="does not answer within 1 s"):
            connect(Metadata(connection=SecretUrl(database.url())), tmp_path, "hanging")
    finally:
        database.send(signal.SIGCONT)
