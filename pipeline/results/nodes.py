"""The nodes of a run, read back from the metadata database."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from pipeline.metadata import database


@dataclass(frozen=True)
class Node:
    """One node of the last run."""

    state: str
    """complete, cached, failed, or or running, which a killed run leaves behind."""
    seconds: float
    outputs: Mapping[str, Artifact] = field(default_factory=dict)


def read_last_run(connection: mlmd.ConnectionConfig, pipeline_name: str) -> dict[str, Node]:
    """Reads the nodes of the pipeline's last run by id, in the order in which they ran; none if no run has begun.

    Args:
      connection: of the metadata database, which other pipelines may use too.
      pipeline_name: its name there.
    """
    store = database.open_store(connection)
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    children = store.get_children_contexts_by_context(pipeline.id) if pipeline else []
    runs = [context for context in children if context.type == "pipeline_run"]
    if not runs:
        return {}
    run = max(runs, key=lambda context: context.id)
    nodes = {}
    for execution in sorted(store.get_executions_by_context(run.id), key=lambda execution: execution.id):
        name = next(c.name for c in store.get_contexts_by_execution(execution.id) if c.type == "node")
        nodes[name.removeprefix(f"{pipeline_name}.")] = Node(
            state=mlmd.Execution.State.Name(execution.last_known_state).lower(),
            seconds=(execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1e3,
            outputs=_read_outputs(store, execution.id),
        )
    return nodes


def _read_outputs(store: MetadataStore, execution_id: int) -> dict[str, Artifact]:
    events = [event for event in store.get_events_by_execution_ids([execution_id]) if event.type == mlmd.Event.OUTPUT]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([e.artifact_id for e in events])}
    types = {t.id: t for t in store.get_artifact_types_by_id([a.type_id for a in artifacts.values()])}
    return {
        event.path.steps[0].key: artifact_utils.deserialize_artifact(
            types[artifacts[event.artifact_id].type_id], artifacts[event.artifact_id]
        )
        for event in events
    }
