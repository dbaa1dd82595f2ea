"""Runs the DAG on this machine under TFX's LocalDagRunner, and reports what came of it."""

import contextlib
import json
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier import builtin_names, strict_json
from atelier.files import path_text, tree
from atelier.files.replacing import replace_text
from atelier.layout import ASSETS_EXTRA, INGEST_REPORT_FILE, RUN_FILE
from compat import beam_options, tfx_beam_package
from compat.standard_streams import send_to_file
from pipeline import fingerprint
from pipeline.beam import pipeline_options
from pipeline.config.config import Config
from pipeline.fingerprint import FileHashes
from pipeline.ingest import builtin_sources, sources
from pipeline.ingest.errors import SourceError
from pipeline.metadata import database, unfinished
from pipeline.records import content_images, dataset, ingested, inputs, record_check
from pipeline.run_inputs import ContentImages, DataFacts, Places, RunParameters
from pipeline.terminal import disk_errors, failures
from pipeline.terminal.console import Console, show_logged_progress

if TYPE_CHECKING:
    from pipeline.results.nodes import Node

LOG_FILE = "run.log"
_MEMORY = "hashes.json"
"""SHA-256 of the files that the last run read: an unchanged file is not read again to see that it is unchanged."""


@dataclass(frozen=True)
class Outcome:
    """What a run has come to."""

    result: dict[str, Any]
    """The content of `run.json`."""
    report: Path

    @property
    def passed(self) -> bool:
        """Both gates passed and nothing failed."""
        return self.result["blessed"] and not self.result["failure"]


def run(config: Config, output: Path, console: Console) -> Outcome:
    """Ingests if there are images to ingest, runs the DAG, writes `run.json` and `report.html`.

    Args:
      config: `config.data.source` says where the data is.
      output: folder of this and of later runs of the same pipeline.
      console: where progress is shown.

    Raises:
      dataset.DataError, pipeline.ingest.IngestError: the data or the output folder cannot be used.
      database.MetadataError: nor can the metadata database.
    """
    if path_text.is_url(output):
        raise dataset.DataError(f"{output} is a URL: a run on this machine writes into a folder: give one, and copy it")
    output = path_text.resolve_folder(output)
    _check_path(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise dataset.DataError(f"{output}: cannot be used as the output folder: {error.strerror}") from None
    with send_to_file(output / LOG_FILE):
        pipeline_name = database.connect(config.metadata, output, config.name)
        if pipeline_name != config.name:
            console.say(
                f"another folder's runs are {config.name} in the metadata database; this one's: {pipeline_name}"
            )
        hashes = FileHashes(output / _MEMORY)
        images = content_images.link_content_images(config, output, hashes)
        data, ingest_report = _prepare(config, output, console, hashes)
        quarantine = ingest_report.get("quarantine")
        if not ingest_report:
            with console.show_bar("checking the records") as progress:
                checked = record_check.check(data, config, output, hashes, progress)
            data, quarantine = checked.data, checked.quarantine
        for warning in data.warnings:
            console.say(f"warning: {warning}")
        records = inputs.link_records(data, output, hashes)
        hashes.save()
        failure = _run_dag(config, data, records, images, output, console, pipeline_name)

        from pipeline.report import report
        from pipeline.results import results  # seconds, and needed only now

        nodes, unread = _read_nodes(config, output, pipeline_name)
        warnings = [*data.warnings, *([f"what the nodes came to is not shown: {unread}"] if unread else [])]
        result = results.collect(config, output, nodes, ingest_report, failure or unread, warnings, quarantine)
        if result["gallery"]:
            _link_gallery(nodes["StyleRenderer"].outputs["gallery"].uri, output)
        replace_text(output / RUN_FILE, strict_json.dumps(result, indent=1))
        page = report.write(result, nodes, output, text_labels=data.text_labels)
    return Outcome(result, page)


def _check_path(output: Path) -> None:
    """Rejects an output that TensorFlow, Beam or ML Metadata would take for something else."""
    path = str(output)
    if patterns := sorted(set(path) & set("[]*?\\")):
        raise dataset.DataError(
            f"{path_text.format_path(path)}: the output's path holds {' '.join(patterns)}, which TensorFlow and "
            "Beam read as a pattern: give an output whose path has none of [ ] * ? \\"
        )
    if path != path_text.format_path(path):
        raise dataset.DataError(f"{path_text.format_path(path)}: the output's path is not UTF-8: give another one")


def _prepare(
    config: Config, output: Path, console: Console, hashes: FileHashes
) -> tuple[dataset.Dataset, dict[str, Any]]:
    """TFRecords as they are, or made from images unless the same images were ingested before."""
    if not config.data.source:
        raise dataset.DataError("no data is given: give --data DIR, or data.source in the configuration")
    builtin_names.check(config.data.source, builtin_sources.NAMES, "data.source")
    builtin = builtin_names.resolve(config.data.source, builtin_sources.NAMES)
    source = Path(config.data.source)
    if not builtin and (config.data.splits or _holds_records(source)):
        return dataset.find(source, config.data), {}

    ingested.check_keys(config.data)

    import PIL

    from pipeline.ingest import ingest

    folder, key_file = output / "data", output / "data.key"
    made_from = [
        builtin or _fingerprint_images(source, hashes),
        config.ingest.model_dump(),
        fingerprint.fingerprint_code("pipeline.ingest.ingest"),
        PIL.__version__,
    ]
    report_file = folder / INGEST_REPORT_FILE
    if not (
        report_file.is_file()
        and key_file.is_file()
        and key_file.read_text() == _describe_ingest(made_from, folder, hashes)
    ):
        key_file.unlink(missing_ok=True)
        with (
            console.show_bar(f"ingesting {config.data.source}") as progress,
            pipeline_options.explain_missing_service(config.beam),
        ):
            ingest.ingest(
                config.data.source, folder, config.ingest, pipeline_options.build_run_options(config), progress
            )
        replace_text(key_file, _describe_ingest(made_from, folder, hashes))
    return dataset.find(folder, config.data), json.loads(report_file.read_text(encoding="utf-8"))


def _holds_records(source: Path) -> bool:
    """Whether a folder holds records, not images.

    Raises:
      DataError: it holds both.
    """
    records = dataset.list_record_files(source)
    try:
        image = sources.find_labeled_image(source) if records else ""
    except SourceError as error:
        raise dataset.DataError(str(error)) from None
    if image:
        record = records[0].relative_to(source)
        raise dataset.DataError(
            f"{source}: holds TFRecords ({path_text.format_path(str(record))}) and class folders of images "
            f"({path_text.format_path(image)}): move away what is not meant, or name the records, as in "
            "--set 'data.splits={train: \"*.tfrecord\"}'; `atelier ingest` reads the class folders alone"
        )
    return bool(records)


def _fingerprint_images(source: Path, hashes: FileHashes) -> list[str]:
    """The source's own name and the fingerprint of the images that an ingest would read."""
    try:
        files = sources.scan(source).files
    except SourceError as error:
        raise dataset.DataError(str(error)) from None
    return [
        str(path_text.resolve_folder(source)),
        fingerprint.fingerprint_files({file.path: source / file.path for file in files}, hashes),
    ]


def _describe_ingest(made_from: list[Any], folder: Path, hashes: FileHashes) -> str:
    """What an ingest was made from, and what it has made, so that neither changes unnoticed."""
    files = {name: folder / name for name in tree.walk(folder).paths}
    return json.dumps([made_from, fingerprint.fingerprint_files(files, hashes)])


def _run_dag(
    config: Config,
    data: dataset.Dataset,
    records: inputs.Records,
    images: ContentImages,
    output: Path,
    console: Console,
    pipeline_name: str,
) -> str:
    """Returns why the run stopped early, "" if it went to its end."""
    console.say("loading TFX")
    from tfx import v1 as tfx  # seconds

    from components.baseline_model.executor import list_pushed_versions
    from components.tflite_exporter.executor import NotBlessedError
    from pipeline.node_configs import collect_provenance
    from pipeline.pipeline import create_pipeline

    places = Places.from_root(str(output), keep_training_state=True)
    connection = database.build_connection_config(config.metadata, output)
    dag = create_pipeline(
        config.model_copy(update={"name": pipeline_name}),
        places,
        RunParameters(
            data_root=records.folder,
            schema_file=records.schema_file,
            min_accuracy=config.evaluator.min_accuracy,
            max_accuracy_drop=config.evaluator.max_accuracy_drop,
        ),
        DataFacts(
            splits=records.splits,
            text_labels=data.text_labels,
            class_count=len(data.class_names) if data.class_names else None,
            class_names=data.class_names or (),
            store_size=data.store_size,
            fingerprint=records.fingerprint,
        ),
        baseline_version=_choose_baseline(
            Path(places.serving_directory),
            list_pushed_versions(places.serving_directory),
            collect_provenance(config, records.fingerprint),
        ),
        contents=images,
        metadata_connection_config=connection,
    )
    package = tfx_beam_package.skip_package() if config.beam.runner == "direct" else contextlib.nullcontext()
    try:
        with (
            console.show_steps(len(dag.components)),
            show_logged_progress(console),
            database.watch_connection(config.metadata),
            unfinished.clean_up(connection, pipeline_name, Path(places.pipeline_root)),
            package,
            beam_options.parse_once(),
        ):
            tfx.orchestration.LocalDagRunner().run(dag)
    except NotBlessedError:
        return ""  # no failure: the gate before has rejected it, and its own reasons say why
    except Exception as error:  # noqa: BLE001  # nodes raise anything
        # A node's failure is the run's result; the whole trace is in the log.
        traceback.print_exc()
        reason = (
            database.explain_lost_server(config.metadata, error)
            or disk_errors.explain(error, output)
            or failures.shorten(str(error).strip())
            or type(error).__name__
        )
        return f"{console.step}: {reason}" if console.step else reason
    return ""


def _read_nodes(config: Config, output: Path, pipeline_name: str) -> tuple[dict[str, "Node"], str]:
    """The last run's nodes; none, and why, if the database is gone, so that there is a report all the same."""
    from pipeline.results import nodes

    try:
        return nodes.read_last_run(database.ask_server(config.metadata, output), pipeline_name), ""
    except Exception as error:
        if lost := database.explain_lost_server(config.metadata, error):
            return {}, lost
        raise


def _link_gallery(gallery: str, output: Path) -> None:
    """Lets `output/gallery` lead to the last gallery's folder among the artifacts."""
    link, partial = output / "gallery", output / ".gallery"
    partial.unlink(missing_ok=True)
    partial.symlink_to(Path(gallery).relative_to(output))
    partial.replace(link)


def _choose_baseline(serving: Path, versions: list[str], ours: dict[str, str]) -> str:
    """Returns the newest pushed version that another configuration, code or data has made.

    What this very training pushed before is no baseline for it: an unchanged rerun would otherwise
    be measured against itself and never come from the cache.
    """
    for version in reversed(versions):
        file = serving / version / ASSETS_EXTRA / "provenance.json"
        theirs = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if {key: theirs.get(key) for key in ours} != ours:  # what a Tuner chose is there, too: it follows from ours
            return version
    return ""
