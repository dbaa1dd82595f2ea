"""The section `beam`: where the work on many images is done."""

import re
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from atelier.settings.field_types import Integer
from atelier.settings.section import Section


class Beam(Section):
    """Where ingest and the Beam nodes (statistics, Transform, Evaluator, StyleRenderer) work: docs/how-to/beam.md."""

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
    def _check_consistency(self) -> "Beam":
        named = {option.partition("=")[0] for option in self.options}
        for option in self.options:
            if not _OPTION.fullmatch(option):
                raise ValueError(f"beam.options has {option!r}: expected --NAME=VALUE in one piece, or --NAME")
        for key, options in _SET_BY_KEYS.items():
            if twice := sorted(named & options):
                raise ValueError(f"beam.options has {twice[0]}, which is what beam.{key} sets: give that instead")
        if self.runner in _ENDPOINTS and not named & set(_ENDPOINTS[self.runner]):
            ways = " or ".join(f"{name}=..." for name in _ENDPOINTS[self.runner])
            raise ValueError(f"beam.runner is {self.runner}: name the place where it runs in beam.options, with {ways}")
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
