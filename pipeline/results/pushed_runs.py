"""Which run pushed a version, and what its gate measured: read from the metadata database of the output folder."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata import errors
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from atelier.layout import RUN_FILE
from pipeline.config.sections.metadata import Metadata
from pipeline.metadata import database
from pipeline.metadata.database_url import HIDDEN, SecretUrl
from pipeline.results.stored_metrics import StoredMetrics, read_metrics

_PIPELINE_ROOT = "pipeline_root"
_TEST_SPLIT = "Split-test"


@dataclass(frozen=True)
class PushedRun:
    """The run that pushed a version.

    Attributes:
      run: its name in the metadata database: when it began, in the local time of its machine.
      blessed: the Evaluator's verdict; None: the database does not hold it.
      metrics: of the pushed model on the run's test split.
      test_examples: folder of the raw tf.Examples of that split; None: it is gone.
    """

    run: str
    blessed: bool | None
    metrics: StoredMetrics
    test_examples: Path | None


def read_pushed_runs(output: Path, base: Path) -> dict[int, PushedRun]:
    """Returns the run of each version that a run pushed below a serving base path.

    Args:
      output: folder of the runs; without a metadata database there are none.
      base: such as output/demo/serving_model; its name tells the SavedModels from the TFLite files.

    Raises:
      MetadataError: the metadata database cannot be used.
    """
    settings = _read_settings(output)
    if not settings.connection and not (output / database.SQLITE_FILE).is_file():
        return {}
    try:
        store = database.open_store(database.ask_server(settings, output))
        return {number: _read_run(store, execution, output) for number, execution in _list_pushes(store, base)}
    except (errors.StatusError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise database.MetadataError(f"{output}: the metadata database cannot be read: {text}") from None


def read_last_config(output: Path) -> Mapping[str, Any] | None:
    """Returns the configuration of the last run, as its `run.json` has it; None: there is no `run.json`.

    Raises:
      MetadataError: the file is not that of a run.
    """
    file = output / RUN_FILE
    try:
        config = json.loads(file.read_text(encoding="utf-8"))["config"]
        if not isinstance(config, dict) or not all(isinstance(section, dict) for section in _get_sections(config)):
            raise TypeError("config")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not the run.json of a run"
        raise database.MetadataError(f"{file}: {reason}; remove it, or run the pipeline again") from None
    return config


def _get_sections(config: Mapping[str, Any]) -> Iterator[Any]:
    return (config.get(name, {}) for name in ("metadata", "data"))


def _read_settings(output: Path) -> Metadata:
    """Returns where the last run kept its lineage; `run.json` leaves the password out."""
    section = (read_last_config(output) or {}).get("metadata", {})
    return Metadata(connection=SecretUrl(str(section.get("connection", "")).replace(f":{HIDDEN}@", "@")))


def _list_pushes(store: MetadataStore, base: Path) -> Iterator[tuple[int, int]]:
    """Yields version and Pusher's execution; a push that came from the cache counts for the run that did it."""
    if "PushedModel" not in {kind.name for kind in store.get_artifact_types()}:
        return
    for artifact in store.get_artifacts_by_type("PushedModel"):
        pushed = artifact.custom_properties["pushed_destination"].string_value
        destination = Path(pushed)
        if not pushed or destination.parent.name != base.resolve().name or not (base / destination.name).exists():
            continue
        events = store.get_events_by_artifact_ids([artifact.id])
        yield int(destination.name), min(event.execution_id for event in events if event.type == mlmd.Event.OUTPUT)


def _read_run(store: MetadataStore, pusher: int, output: Path) -> PushedRun:
    run = next(context for context in store.get_contexts_by_execution(pusher) if context.type == "pipeline_run")
    outputs: dict[str, Mapping[str, Any]] = {}
    for execution in store.get_executions_by_context(run.id):
        node = next(each.name for each in store.get_contexts_by_execution(execution.id) if each.type == "node")
        outputs[node.partition(".")[2]] = _read_outputs(store, execution.id)
    evaluator = outputs.get("Evaluator", {})
    evaluation = _locate(evaluator.get("evaluation"), output)
    examples = _locate(outputs.get("ImportExampleGen", {}).get("examples"), output)
    blessing = evaluator.get("blessing")
    return PushedRun(
        run=run.name,
        blessed=bool(blessing.custom_properties["blessed"].int_value) if blessing else None,
        metrics=read_metrics(evaluation) if evaluation else StoredMetrics({}, {}),
        test_examples=examples / _TEST_SPLIT if examples and (examples / _TEST_SPLIT).is_dir() else None,
    )


def _read_outputs(store: MetadataStore, execution: int) -> dict[str, Any]:
    events = [each for each in store.get_events_by_execution_ids([execution]) if each.type == mlmd.Event.OUTPUT]
    artifacts = {each.id: each for each in store.get_artifacts_by_id([event.artifact_id for event in events])}
    return {event.path.steps[0].key: artifacts[event.artifact_id] for event in events}


def _locate(artifact: Any, output: Path) -> Path | None:
    """Returns an artifact's folder, also where the output folder was moved; None if it is gone."""
    if artifact is None:
        return None
    _, separator, rest = artifact.uri.partition(f"/{_PIPELINE_ROOT}/")
    folders = [Path(artifact.uri), *([output / _PIPELINE_ROOT / rest] if separator else [])]
    return next((folder for folder in folders if folder.is_dir()), None)
