"""What a run leaves that is killed: executions that are said to run for ever, and their folders."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata import database

_UNFINISHED = (mlmd.Execution.NEW, mlmd.Execution.RUNNING)


@contextlib.contextmanager
def clean_up(connection: mlmd.ConnectionConfig, pipeline_name: str, root: Path) -> Iterator[None]:
    """Removes what killed runs of a pipeline left, unless another run works in the same folder.

    Where the file system has no locks, nobody knows, and nothing is removed.

    Args:
      connection: of the metadata database.
      pipeline_name: its name there.
      root: the pipeline's root, which counts as in use until the block ends.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            _cancel_executions(database.open_store(connection), pipeline_name, root)
        _lock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int, kind: int) -> bool:
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, kind)
        return True
    return False


def _cancel_executions(store: MetadataStore, pipeline_name: str, root: Path) -> None:
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    executions = store.get_executions_by_context(pipeline.id) if pipeline else []
    unfinished = [execution for execution in executions if execution.last_known_state in _UNFINISHED]
    for execution in unfinished:
        node = next(each.name for each in store.get_contexts_by_execution(execution.id) if each.type == "node")
        folder = root / node.removeprefix(f"{pipeline_name}.")
        left = [
            *folder.glob(f"*/{execution.id}"),
            *folder.glob(f".system/*/{execution.id}"),
            *folder.glob(".system/stateful_working_dir/*"),
        ]
        for each in left:
            shutil.rmtree(each, ignore_errors=True)
        execution.last_known_state = mlmd.Execution.CANCELED
    if unfinished:
        store.put_executions(unfinished)
