"""Beam's command-line options, from the section `beam` of the configuration; docs/how-to/beam.md lists the runners.

Workers get their code from Python packages: from `setup_file`, from their container image, or from this machine's.
"""

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from atelier.errors import BeamError
from pipeline.config.config import Config
from pipeline.config.sections.beam import Beam

# Beam's default DirectRunner tries to download a runner binary first; this one is in the package.
IN_MEMORY = ("--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")

_DASK = "dask[distributed]==2026.8.0"


def build_pipeline_options(
    settings: Beam, *, project: str = "", region: str = "", service_account: str = ""
) -> tuple[str, ...]:
    """Builds the options of the runner that `settings` names.

    With the defaults everything stays in this process, and nothing is looked for on a network.

    Args:
      settings: the section `beam`; its `options` come last, and go before the arguments below.
      project: of Google Cloud, for Dataflow; "": what the environment says.
      region: Dataflow's.
      service_account: that Dataflow's workers run as; "": the project's default one.

    Raises:
      BeamError: the runner's library is not installed.
    """
    workers = settings.workers
    if settings.runner == "direct":
        return (
            *build_process_options(workers),
            *_build_option("temp_location", settings.temp_location),
            *settings.options,
        )
    if settings.runner == "dask":
        return (
            *_build_dask_options(settings),
            *_build_option("temp_location", settings.temp_location),
            *settings.options,
        )
    runner = {
        "dataflow": ("--runner=DataflowRunner", f"--max_num_workers={workers}"),
        # With --job_endpoint these two are the portable runner; without it they fetch Beam's job server from Maven.
        "flink": ("--runner=FlinkRunner", f"--parallelism={workers}"),
        "spark": ("--runner=SparkRunner", f"--sdk_worker_parallelism={workers}"),
        "portable": ("--runner=PortableRunner", f"--sdk_worker_parallelism={workers}"),
    }[settings.runner]
    cloud: tuple[str, ...] = ()
    if settings.runner == "dataflow":
        cloud = (
            *_build_option("project", project),
            *_build_option("region", region),
            *_build_option("service_account_email", service_account),
        )
    # Absolute: Beam changes into the file's folder, and stumbles over a bare `setup.py`.
    setup_file = str(Path(settings.setup_file).absolute()) if settings.setup_file else ""
    return (
        *runner,
        *cloud,
        *_build_option("temp_location", settings.temp_location),
        *_build_option("setup_file", setup_file),
        *settings.options,
    )


def build_run_options(config: Config) -> tuple[str, ...]:
    """Builds the options of a run's Beam nodes and of its ingest; on Dataflow with what the section `kubeflow` says.

    Raises:
      BeamError: the runner's library is not installed.
    """
    cloud = config.kubeflow
    return build_pipeline_options(
        config.beam, project=cloud.project, region=cloud.region, service_account=cloud.service_account
    )


def build_process_options(count: int) -> tuple[str, ...]:
    """Builds the options of `count` worker processes on this machine."""
    if count == 1:
        return IN_MEMORY
    # Beam's local runner; its own worker processes outlive it, and it waits forever for one that has died.
    return (
        "--runner=compat.beam_worker_processes.LocalRunner",
        "--direct_running_mode=multi_processing",
        f"--direct_num_workers={count}",
    )


def count_processes(arguments: Sequence[str]) -> int:
    """Returns the number of processes that `build_process_options` made these options for.

    It is 0 for any other options, which ask for more than processes on this machine.
    """
    count = next((option.partition("=")[2] for option in arguments if option.startswith("--direct_num_workers=")), "")
    return int(count) if count.isdigit() and tuple(arguments) == build_process_options(int(count)) else 0


@contextlib.contextmanager
def explain_missing_service(settings: Beam) -> Iterator[None]:
    """Names the job service that does not answer, which Beam leaves out.

    Raises:
      BeamError: in place of gRPC's error without a message.
    """
    try:
        yield
    except Exception as error:
        import grpc  # Beam has loaded it by now

        endpoints = [option for option in settings.options if option.startswith("--job_endpoint=")]
        if not endpoints or not isinstance(error, grpc.FutureTimeoutError):
            raise
        raise BeamError(f"beam.options: no job service answers at {endpoints[-1]}") from error


def _build_dask_options(settings: Beam) -> tuple[str, ...]:
    if importlib.util.find_spec("dask") is None or importlib.util.find_spec("distributed") is None:
        raise BeamError(
            f"beam.runner=dask: Dask is not installed, and is not a dependency of Atelier: pip install '{_DASK}'"
        )
    named = {option.partition("=")[0] for option in settings.options}
    options = ["--runner=compat.beam_on_dask.DaskRunner"]
    if not named & {"--dask_client_address", "--dask_scheduler_file"}:  # a cluster that runs has its own workers
        options.append(f"--dask_workers={settings.workers}")
    if not named & {"--dask_npartitions", "--dask_partition_size"}:
        # Beam's default of 128 leaves small batches to one worker; an element here is many images, or a slow one.
        options.append("--dask_partition_size=1")
    return tuple(options)


def _build_option(option: str, value: str) -> tuple[str, ...]:
    return (f"--{option}={value}",) if value else ()
