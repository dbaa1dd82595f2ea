"""Runs whose lineage is kept by MariaDB or PostgreSQL: two at once, read back, and with the server gone in mid-run."""

import re
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e import databases, forked
from tests.e2e.conftest import CONFIG, TINY, Run, run_pipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(databases.explain_missing()), reason=databases.explain_missing()),
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
    "tflite.push=float",
    "tflite.calibration_images=1",
    "stylizer.enabled=false",
]
"""Of the small run: what is looked at here is where its lineage goes."""


def build_arguments(digits: Path, url: str, name: str) -> list[object]:
    settings = [*LESS, f"metadata.connection={url}", f"name={name}"]
    return ["--config", CONFIG, "--data", digits, *TINY, *(word for text in settings for word in ("--set", text))]


@pytest.fixture(scope="module", params=[databases.Mariadb, databases.Postgresql])
def database(request: pytest.FixtureRequest) -> Iterator[databases.Database]:
    with tempfile.TemporaryDirectory(prefix="atelier-test-") as folder:
        server = request.param(Path(folder))
        yield server
        server.kill()


@pytest.fixture(scope="module")
def pair(database: databases.Database, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two pipelines that began at the same moment, on a database without any table."""
    folder = tmp_path_factory.mktemp("pair")

    def run(name: str) -> Run:
        return run_pipeline(folder / name, *build_arguments(digits, database.build_url(), name))

    with ThreadPoolExecutor(2) as both:
        return list(both.map(run, ("left", "right")))


def test_two_pipelines_run_at_once(pair: list[Run]) -> None:
    for run in pair:
        assert run.code == 0, run.stderr
        assert set(run.result["nodes"].values()) == {"complete"}
        assert len(run.result["nodes"]) == 13
        assert len(run.list_versions("serving_model")) == len(run.list_versions("tflite")) == 1
        assert not (run.output / "metadata.db").exists()


def test_the_lineage_of_each_is_read_back(database: databases.Database, pair: list[Run]) -> None:
    from ml_metadata.metadata_store import MetadataStore

    from pipeline.config.sections.metadata import Metadata
    from pipeline.metadata.database import build_connection_config
    from pipeline.metadata.database_url import SecretUrl

    store = MetadataStore(build_connection_config(Metadata(connection=SecretUrl(database.build_url())), Path()))
    for run in pair:
        name = run.result["name"]
        pushed = [a for a in store.get_artifacts_by_type("PushedModel") if str(run.output) in a.uri]
        assert {Path(artifact.uri).parent.parent.name for artifact in pushed} == {"Pusher", "Pusher.tflite"}
        (saved_model,) = (artifact for artifact in pushed if "/Pusher/" in artifact.uri)
        ways = list(_list_producers(store, saved_model.id))
        assert ways[0] == "Pusher"
        assert {"Trainer", "Transform", "ImportExampleGen"} <= set(ways)
        context = store.get_context_by_type_and_name("pipeline", name)
        assert context.custom_properties["output_folder"].string_value == str(run.output)
        assert all(a.uri.startswith(str(run.output)) for a in store.get_artifacts_by_context(context.id))


def _list_producers(store: object, artifact_id: int) -> Iterator[str]:
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
        assert run.result["config"]["metadata"]["connection"].endswith("atelier:***@127.0.0.1:" + _get_address_end(run))
        assert 'password: "***"' in (run.output / "run.log").read_text(errors="replace")


def _get_address_end(run: Run) -> str:
    return run.result["config"]["metadata"]["connection"].rpartition(":")[2]


def test_a_rerun_takes_everything_from_the_cache(database: databases.Database, digits: Path, pair: list[Run]) -> None:
    again = run_pipeline(pair[0].output, *build_arguments(digits, database.build_url(), "left"))
    assert again.code == 0, again.stderr
    assert set(again.result["nodes"].values()) == {"cached"}


@dataclass(frozen=True)
class Stopped:
    """A run whose database is killed while the Trainer works, under the name of a run in another folder.

    Attributes:
      page: the report, as this run left it.
      early: another run, begun before the database was back.
    """

    code: int
    stderr: str
    page: str
    output: Path
    early: Run


@pytest.fixture(scope="module")
def stopped(
    database: databases.Database, digits: Path, pair: list[Run], tmp_path_factory: pytest.TempPathFactory
) -> Stopped:
    folder = tmp_path_factory.mktemp("stopped")
    output = folder / "output"
    words = ["run", "--output", output, *build_arguments(digits, database.build_url(password=False), "left")]
    lines = []
    with forked.start(*words, variables={"ATELIER_METADATA_PASSWORD": databases.PASSWORD}) as run:
        for line in run.follow_stderr():
            lines.append(line)
            if "head epoch 1/" in line:
                database.kill()
    assert run.process.exitcode is not None
    page = (output / "report.html").read_text()
    early = run_pipeline(folder / "early", *build_arguments(digits, database.build_url(), "early"))
    database.start()
    return Stopped(run.process.exitcode, "".join(lines), page, output, early)


def test_a_run_without_its_database_ends_with_one_clear_line(database: databases.Database, stopped: Stopped) -> None:
    assert stopped.code == 1, stopped.stderr
    assert "Traceback" not in stopped.stderr
    (reason,) = (line for line in stopped.stderr.splitlines() if line.startswith("atelier: "))
    assert reason.startswith(f"atelier: Trainer: metadata database 127.0.0.1:{database.port}/lineage")
    assert "the server is down" in reason
    assert reason.endswith("once it is back, the same command goes on from the finished nodes")
    assert "metadata database" in stopped.page


def test_nothing_comes_from_another_folder_with_a_run_of_that_name(stopped: Stopped) -> None:
    """What `stopped` did not reach is executed in `test_once_it_is_back_the_run_goes_on`."""
    assert "another folder's runs are left in the metadata database; this one's: left-" in stopped.stderr
    begun = re.findall(r"(?m)^\[\d+/13\] (\S+) ", stopped.stderr)
    assert begun[-1] == "Transform"
    for node in begun:
        # A node from the cache leaves none of its own.
        assert list((stopped.output / "pipeline_root" / node).glob("[!.]*/*")), node


def test_while_it_is_down_nothing_begins(database: databases.Database, stopped: Stopped) -> None:
    run = stopped.early
    assert run.code == 1
    where = f"metadata database 127.0.0.1:{database.port}/lineage (user atelier)"
    problem = "the server is down (Connection refused); start it, or correct metadata.connection"
    assert run.stderr.splitlines() == [f"atelier: {where}: {problem}"]
    assert not (run.output / "data").exists()


def test_once_it_is_back_the_run_goes_on(database: databases.Database, digits: Path, stopped: Stopped) -> None:
    resumed = run_pipeline(stopped.output, *build_arguments(digits, database.build_url(), "left"))
    assert resumed.code == 0, resumed.stderr
    nodes = resumed.result["nodes"]
    before = list(nodes)[: list(nodes).index("Trainer")]
    assert "Transform" in before
    assert {nodes[name] for name in before} == {"cached"}
    assert {nodes[name] for name in nodes if name not in before} == {"complete"}
    assert list(nodes)[-1] == "Pusher.tflite"


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
            connect(Metadata(connection=SecretUrl(database.build_url())), tmp_path, "hanging")
    finally:
        database.send(signal.SIGCONT)
