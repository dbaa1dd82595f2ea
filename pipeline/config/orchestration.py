"""The sections of the configuration that say where the pipeline runs: Beam, metadata, Kubeflow and Vertex AI."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from atelier.field_types import LARGEST_INT32, Count, Integer, Number
from atelier.section import Section
from pipeline.metadata import metadata_url


class Beam(Section):
    """Where ingest and the Beam nodes (statistics, Transform, Evaluator, StyleRenderer) do their work: docs/beam.md."""

    runner: Literal["direct", "dataflow", "flink", "spark", "dask", "portable"] = "direct"
    """`portable`: any job service of Beam's; `options` then names its endpoint."""
    workers: Annotated[Integer, Field(ge=1, le=4000)] = 1
    """Processes on this machine (direct, dask), the most workers (Dataflow), the job's parallelism (Flink), or
    processes on each of the cluster's workers (Spark, portable)."""
    temp_location: str = ""
    """A folder that all workers see, for what lies between two steps. Dataflow needs one in a bucket."""
    setup_file: str = ""
    """The project's `setup.py`, from which remote workers install this code; "" where their image holds it."""
    options: tuple[str, ...] = ()
    """More of Beam's own options, as on its command line: `--flink_master=host:8081`."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Beam":
        named = {option.partition("=")[0] for option in self.options}
        for option in self.options:
            if not _OPTION.fullmatch(option):
                raise ValueError(f"beam.options has {option!r}: expected --NAME=VALUE in one piece, or --NAME")
        for key, options in _SET_BY_KEYS.items():
            if twice := sorted(named & options):
                raise ValueError(f"beam.options has {twice[0]}, which is what beam.{key} sets: give that instead")
        if self.runner in _ENDPOINTS and not named & set(_ENDPOINTS[self.runner]):
            ways = " or ".join(f"{name}=..." for name in _ENDPOINTS[self.runner])
            raise ValueError(f"beam.runner is {self.runner}: say in beam.options where it runs, with {ways}")
        for option in self.options:
            _check_endpoint(option)
        if self.runner == "dataflow" and not is_bucket_folder(self.temp_location):
            raise ValueError(
                f"beam.temp_location is {self.temp_location!r}: Dataflow needs a folder in a bucket, gs://BUCKET/FOLDER"
            )
        if self.setup_file and self.runner not in ("direct", "dask"):
            self._check_setup_file()
        return self

    def _check_setup_file(self) -> None:
        path = Path(self.setup_file)
        if path.name != "setup.py" or not (path.is_absolute() or path.is_file()):  # an absolute one may be an image's
            raise ValueError(
                f"beam.setup_file is {self.setup_file!r}: expected the path of this project's setup.py, "
                'or "" if the workers\' image holds the code'
            )


def is_bucket_folder(url: str) -> bool:
    """Whether `url` is gs://BUCKET or a folder below it, the bucket's name by Google's rules."""
    return bool(_BUCKET_FOLDER.fullmatch(url))


def _check_endpoint(option: str) -> None:
    name, _, value = option.partition("=")
    if name in _AT_HOST_AND_PORT or (name == "--flink_master" and value not in ("[local]", "[auto]")):
        host, _, port = value.removeprefix("http://").removeprefix("https://").rstrip("/").rpartition(":")
        if not host or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise ValueError(f"beam.options has {option!r}: expected {name}=HOST:PORT, the port from 1 to 65535")
    elif not value and name in _ENDPOINT_NAMES:
        raise ValueError(f"beam.options has {option!r}: it names no place")


_OPTION = re.compile(r"--[A-Za-z0-9][\w.-]*(=.*)?", re.DOTALL)
# https://cloud.google.com/storage/docs/buckets#naming: dots part names of up to 63 characters.
_BUCKET_FOLDER = re.compile(
    r"gs://(?=[^/]{3,222}(?:/|$))(?!goog|\d+\.\d+\.\d+\.\d+(?:/|$))"
    r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)*"
    r"(?:/[^/\s\x00-\x1f][^/\x00-\x1f]*)*/?"
)
# Beam takes the last of two without a word.
_SET_BY_KEYS = {
    "runner": {"--runner"},
    "workers": {
        "--dask_workers",
        "--direct_num_workers",
        "--direct_running_mode",
        "--max_num_workers",
        "--parallelism",
        "--sdk_worker_parallelism",
    },
    "temp_location": {"--temp_location"},
    "setup_file": {"--setup_file"},
}
# Without one of them these runners would fetch a job server from Maven and start it here.
_ENDPOINTS = {
    "flink": ("--job_endpoint", "--flink_master"),
    "spark": ("--job_endpoint", "--spark_master_url", "--spark_rest_url"),
    "portable": ("--job_endpoint",),
}
_ENDPOINT_NAMES = {name for names in _ENDPOINTS.values() for name in names}
_AT_HOST_AND_PORT = {"--job_endpoint"}


def _hide_password(value: Any) -> Any:
    return metadata_url.SecretUrl(value) if isinstance(value, str) else value and type(value)


def _check_url(value: str) -> str:
    if value:
        metadata_url.parse(value)
    return metadata_url.SecretUrl(value)


class Metadata(Section):
    """Where ML Metadata keeps the lineage of the runs."""

    # In this order hiding comes first: a message about what the check refuses quotes what it was given.
    connection: Annotated[str, pydantic.AfterValidator(_check_url), pydantic.BeforeValidator(_hide_password)] = ""
    """`mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE` or `postgresql://...`; "": SQLite, in the output folder.

    A password that is left out is read from the variable ATELIER_METADATA_PASSWORD.
    """

    @pydantic.model_validator(mode="before")
    @classmethod
    def _hide_what_is_no_section(cls, values: Any) -> Any:
        """Messages about wrong values quote them, and this one may hold a password: they quote its type instead."""
        return values if isinstance(values, dict | Metadata) else type(values)

    @pydantic.field_serializer("connection")
    def _without_password(self, value: str) -> str:
        """What is written down, as `run.json` is, never holds the password."""
        return metadata_url.redacted(value) if value else value


class Resources(Section):
    """What one node gets on a cluster; what is not said is left to the cluster."""

    machine_type: str = ""
    """Of a Vertex AI training job, as in `n1-standard-8`. Only for the Trainer and the Tuner, which then run as one."""
    cpu: Annotated[Number, Field(ge=0)] = 0.0
    """Limit in virtual CPUs."""
    memory_gb: Annotated[Number, Field(ge=0)] = 0.0
    """Limit in units of 10^9 bytes."""
    accelerator: str = ""
    """As the cluster names it: `NVIDIA_TESLA_T4` on Vertex AI, `nvidia.com/gpu` elsewhere."""
    accelerators: Count = 1
    """How many, if `accelerator` is given."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Resources":
        if self.accelerators > 1 and not self.accelerator:
            raise ValueError(f"accelerators is {self.accelerators}, and accelerator is not given: name it, too")
        return self


class Kubeflow(Section):
    """Vertex AI, or Kubeflow Pipelines of one's own."""

    target: Literal["vertex", "kfp"] = "vertex"
    """`kfp`: open-source Kubeflow Pipelines."""
    image: str = ""
    """Of the containers: this project, built with kubeflow/image/Dockerfile, in a registry that the cluster reads."""
    root: str = ""
    """Folder that all nodes see, `gs://BUCKET/atelier`: artifacts, pushed models and rendered pictures lie there."""
    nodes: dict[str, Resources] = Field(default={})
    """By the node's id, as in `Trainer`."""
    schema_file: str = ""
    """The data's schema; "": `schema.pbtxt` beside the data, as ingest writes it."""
    text_labels: bool = False
    """Labels are strings: other people's TFRecords; ingest writes ids."""
    classes: Annotated[Integer, Field(ge=0, le=LARGEST_INT32)] = 0
    """How many, from 2; 0: not known here, and the Evaluator then leaves precision and recall by class out."""
    project: str = ""
    """Of Google Cloud."""
    region: str = "us-central1"
    service_account: str = ""
    """That the nodes run as; "": the project's default one."""
    api_endpoint: str = ""
    """Of Vertex AI, if it is not REGION-aiplatform.googleapis.com: a private one."""
    endpoint: str = ""
    """Of Kubeflow Pipelines: `https://HOST/pipeline`."""
    namespace: str = ""
    """The user's, in Kubeflow Pipelines for many users; "": it is for one."""
    labels: dict[str, str] = Field(default={})
    """Of the run, as in `team: vision`; on Kubeflow Pipelines, whose runs have none, of its pods."""
    caching: bool = True
    """Nodes whose inputs and parameters are unchanged are not run again."""
    schedule: str = ""
    """A cron line, as in `0 3 * * 1`; on Vertex AI `TZ=Europe/Paris ` may go before it; "": once, now."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Kubeflow":
        if self.classes == 1:
            raise ValueError("kubeflow.classes is 1: expected at least 2, or 0 where the number is not known")
        return self

    @property
    def pipeline_root(self) -> str:
        """Folder of the artifacts."""
        return f"{self.root.rstrip('/')}/pipeline_root"
