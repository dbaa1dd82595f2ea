"""Executes a compiled pipeline on this machine, one task after the other, each as the cluster's launcher would.

Caching is off, and each replay has a folder of its own below the root; only the artifacts of earlier ones are
known to resolvers. See `LIMITS` for what it cannot show.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from atelier.errors import KubeflowError
from atelier.files.replacing import replace_text
from kubeflow import checks, spec
from kubeflow.replay import artifact_store, conditions, placeholders, process
from kubeflow.replay import executor_input as exchange
from kubeflow.replay.parameter_values import resolve_parameters
from kubeflow.replay.report import REPORT_FILE, Artifact, Report, Task
from pipeline.config.sections.kubeflow import Kubeflow
from pipeline.terminal import disk_errors

LIMITS = (
    "not shown by a replay: IAM, network, images and what is installed in them, cloud storage, "
    "machine types and accelerators, retries, caching, tasks side by side"
)
STORE_FILE, INPUT_FILE = "artifacts.jsonl", "executor_input.json"
EXECUTOR_LOG, DRIVER_LOG = "executor.log", "driver.log"
_ALL_COMPLETED = pb.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED


def replay(
    spec_path: Path,
    root: Path,
    *,
    parameters: Mapping[str, object] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Report:
    """Executes a compiled pipeline.

    Args:
      spec_path: what `compile` has written, for either target.
      root: gets a new folder for this run.
      parameters: of the run, instead of their defaults.
      announce: takes one line for each task that has ended, and one for all.

    Returns:
      The report, which lies in the run's folder as `replay.json`, too. A failed task is told there: it stops the run.

    Raises:
      KubeflowError: specification, parameters or root cannot be used; nothing has run.
    """
    pipeline = spec.load(spec_path)
    given = parameters or {}
    values = resolve_parameters(pipeline, given)
    if pipeline.parameters.keys() >= checks.PARAMETERS:  # this project's; others' names may mean something else
        checks.check_parameters({name: str(value) for name, value in given.items()}, Kubeflow(target="kfp"), sent=False)
    root = root.resolve()
    run = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    try:
        (root / run).mkdir(parents=True)
    except OSError as error:
        told = disk_errors.explain(error, root) or error.strerror
        raise KubeflowError(f"{root}: cannot be used as the root: {told}") from None
    return _Run(pipeline, values, root / run, artifact_store.ArtifactStore(root / STORE_FILE, pipeline.name)).run_all(
        announce
    )


class _Run:
    """One execution of all tasks."""

    def __init__(
        self,
        pipeline: spec.Spec,
        parameters: Mapping[str, object],
        folder: Path,
        store: artifact_store.ArtifactStore,
    ) -> None:
        self._pipeline = pipeline
        self._parameters = parameters
        self._folder = folder
        self._store = store
        self._outputs: dict[str, exchange.Outputs] = {}
        self._tasks: dict[str, Task] = {}

    def run_all(self, announce: Callable[[str], None]) -> Report:
        started = time.monotonic()
        width = max(map(len, self._pipeline.tasks))
        try:
            for name in self._pipeline.tasks:
                task = self._run_task(name)
                if task.state != "not run":
                    why = f": {task.reason}" if task.state == "skipped" else ""
                    announce(f"{name:<{width}} {task.seconds:7.1f} s  {task.state}{why}")
        finally:  # a run that was interrupted is recorded, too
            missing = {name: Task(name, "not run") for name in self._pipeline.tasks if name not in self._tasks}
            report = Report(self._folder, round(time.monotonic() - started, 1), {**self._tasks, **missing})
            try:
                report.write(self._pipeline.name)
            except OSError as error:
                told = disk_errors.explain(error, self._folder) or error.strerror
                raise KubeflowError(f"{self._folder}: the report cannot be written: {told}") from None
        states = Counter(task.state for task in report.tasks.values())
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        announce(f"{'total':<{width}} {report.seconds:7.1f} s  {told}; {self._folder / REPORT_FILE}")
        return report

    def _run_task(self, name: str) -> Task:
        started = time.monotonic()
        task = self._check_before(name)
        if not task:
            try:
                task = self._execute(name)
            except (exchange.ExchangeError, conditions.ConditionError, process.ProcessError) as error:
                task = Task(name, "failed", reason=_explain(str(error)))
            except OSError as error:  # the disk is full, or somebody has removed the folder
                told = disk_errors.explain(error, self._folder) or f"{error.filename or self._folder}: {error.strerror}"
                task = Task(name, "failed", reason=told)
            except KeyboardInterrupt:
                self._tasks[name] = Task(name, "failed", round(time.monotonic() - started, 1), reason="interrupted")
                raise
        seconds = round(time.monotonic() - started, 1)
        self._tasks[name] = replace(task, seconds=seconds, log=self._find_log(name))
        return self._tasks[name]

    def _find_log(self, name: str) -> Path | None:
        logs = [self._folder / name / file for file in (EXECUTOR_LOG, DRIVER_LOG)]
        return next((log for log in logs if log.exists()), None)

    def _check_before(self, name: str) -> Task | None:
        """How a task ends that is not even begun; None if it is."""
        if self._pipeline.tasks[name].trigger_policy.strategy == _ALL_COMPLETED:
            return None
        if any(task.state == "failed" for task in self._tasks.values()):
            return Task(name, "not run")
        for other in sorted(self._pipeline.upstream[name]):
            if self._tasks[other].state != "succeeded":
                return Task(name, "skipped", reason=f"it depends on {other}")
        return None

    def _execute(self, name: str) -> Task:
        task, component = self._pipeline.tasks[name], self._pipeline.components[name]
        executor = self._pipeline.executors[name]
        place = exchange.Place(self._folder / name, self._folder.name, name)
        place.folder.mkdir()
        given = exchange.build(
            task,
            component,
            place,
            legacy=self._pipeline.legacy,
            run_parameters=self._parameters,
            upstream=self._outputs,
        )
        _write_input(given, place)
        condition = task.trigger_policy.condition
        if condition and not conditions.evaluate(condition, given):
            return Task(name, "skipped", reason=f"not {condition}")
        kind = executor.WhichOneof("spec")
        if kind == "resolver":
            queries = executor.resolver.output_artifact_queries.items()
            found = {key: self._store.query(one.filter, one.limit, given.inputs.artifacts) for key, one in queries}
            outputs = exchange.Outputs(found)
        else:
            if kind == "importer":
                outputs = exchange.import_artifact(executor.importer, given)
            else:
                outputs = self._run_container(executor.container, component, given, place)
            for artifacts in outputs.artifacts.values():
                for artifact in artifacts:
                    self._store.add(artifact)
        self._outputs[name] = outputs
        made = {key: [_describe_artifact(one) for one in artifacts] for key, artifacts in outputs.artifacts.items()}
        return Task(name, "succeeded", outputs=made, parameters=outputs.parameters)

    def _run_container(
        self,
        container: pb.PipelineDeploymentConfig.PipelineContainerSpec,
        component: pb.ComponentSpec,
        given: pb.ExecutorInput,
        place: exchange.Place,
    ) -> exchange.Outputs:
        """The driver, where the container has one, and the container itself."""
        exchange.make_folders(given)
        names = {f"pipeline_job_{one}": self._folder.name for one in ("name", "resource_name", "uuid")}
        names |= {f"pipeline_task_{one}": place.task for one in ("name", "uuid")}
        variables = {variable.name: variable.value for variable in container.env}

        def execute(words: list[str], log: str) -> None:
            command = [placeholders.resolve(word, given, names) for word in words]
            process.run(command, folder=place.folder, log=place.folder / log, variables=variables)

        driver = container.lifecycle.pre_cache_check
        if driver.command:
            execute([*driver.command, *driver.args], DRIVER_LOG)
            exchange.take_driver_output(given)
            _write_input(given, place)
        execute([*container.command, *container.args], EXECUTOR_LOG)
        return exchange.take_output(given, component)


def _write_input(given: pb.ExecutorInput, place: exchange.Place) -> None:
    replace_text(place.folder / INPUT_FILE, exchange.to_json(given, indent=1))


def _describe_artifact(artifact: pb.RuntimeArtifact) -> Artifact:
    metadata = exchange.to_dict(artifact).get("metadata", {})
    return Artifact(artifact.name, exchange.get_type_name(artifact.type), artifact.uri, metadata)


def _explain(error: str) -> str:
    if "__main__" not in error:
        return error
    return f"{error} (a component of a script is not found in a container: put it into an installed package)"
