"""What a killed run left is gone with the next run; what another run works on is not. No server, no TensorFlow."""

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.config.sections.metadata import Metadata
from pipeline.metadata import database, unfinished

State = mlmd.Execution


@pytest.fixture
def connection(tmp_path):
    database.connect(Metadata(), tmp_path, "digits")
    return database.build_connection_config(Metadata(), tmp_path)


@pytest.fixture
def add(connection, tmp_path):
    """Adds an execution of a node and its folders; returns its id."""
    store = database.open_store(connection)

    def find_context(kind, name):
        type_id = store.put_context_type(mlmd.ContextType(name=kind))
        found = store.get_context_by_type_and_name(kind, name)
        return found or store.get_contexts_by_id(store.put_contexts([mlmd.Context(type_id=type_id, name=name)]))[0]

    def add(node, state, pipeline="digits"):
        type_id = store.put_execution_type(mlmd.ExecutionType(name=node))
        contexts = [find_context("pipeline", pipeline), find_context("node", f"{pipeline}.{node}")]
        execution = mlmd.Execution(type_id=type_id, last_known_state=state)
        number, *_ = store.put_execution(execution, [], contexts)
        for folder in (
            f"model/{number}",
            f".system/executor_execution/{number}/.temp",
            ".system/stateful_working_dir/x",
        ):
            (tmp_path / "root" / node / folder).mkdir(parents=True, exist_ok=True)
        return number

    return add


def state(connection, number):
    return database.open_store(connection).get_executions_by_id([number])[0].last_known_state


def folders(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if not any(path.iterdir())}


def test_executions_that_never_ended_are_canceled_and_their_folders_removed(connection, add, tmp_path):
    root = tmp_path / "root"
    finished = add("Transform", State.COMPLETE)
    failed = add("Trainer", State.FAILED)
    killed, begun = add("Trainer", State.RUNNING), add("Evaluator", State.NEW)
    others = add("Pusher", State.RUNNING, pipeline="photos")
    with unfinished.clean_up(connection, "digits", root):
        left = folders(root)
    assert left == {
        f"Transform/model/{finished}",
        f"Transform/.system/executor_execution/{finished}/.temp",
        "Transform/.system/stateful_working_dir/x",
        f"Trainer/model/{failed}",
        f"Trainer/.system/executor_execution/{failed}/.temp",
        "Trainer/.system/stateful_working_dir",
        "Evaluator/model",
        "Evaluator/.system/executor_execution",
        "Evaluator/.system/stateful_working_dir",
        f"Pusher/model/{others}",
        f"Pusher/.system/executor_execution/{others}/.temp",
        "Pusher/.system/stateful_working_dir/x",
    }
    states = {number: state(connection, number) for number in (finished, failed, killed, begun, others)}
    assert states == {
        finished: State.COMPLETE,
        failed: State.FAILED,
        killed: State.CANCELED,
        begun: State.CANCELED,
        others: State.RUNNING,
    }


def test_what_another_run_in_the_folder_works_on_stays(connection, add, tmp_path):
    root = tmp_path / "root"
    with unfinished.clean_up(connection, "digits", root):
        working = add("Trainer", State.RUNNING)
        with unfinished.clean_up(connection, "digits", root):
            assert state(connection, working) == State.RUNNING
            assert f"Trainer/model/{working}" in folders(root)
    with unfinished.clean_up(connection, "digits", root):
        assert state(connection, working) == State.CANCELED
        assert not (root / "Trainer" / "model" / str(working)).exists()


def test_a_pipeline_that_never_ran_has_nothing_to_clean(connection, tmp_path):
    with unfinished.clean_up(connection, "new", tmp_path / "root"):
        assert folders(tmp_path / "root") == set()
