"""Values that only the cluster would refuse, some after a training is paid for: looked at before anything is sent."""

import json
import math
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import pydantic
from google.protobuf import json_format

from atelier import builtin_names, storage
from atelier.errors import KubeflowError
from atelier.layout import SPLITS
from components.style_catalog import builtin, catalog
from kubeflow.submit import cron, labels
from pipeline.config.config import Config, Evaluator
from pipeline.config.sections.beam import is_bucket_folder
from pipeline.config.sections.kubeflow import Kubeflow
from pipeline.ingest import builtin_sources

PARAMETERS = frozenset({"data_root", "schema_file", "train_args", "min_accuracy", "max_accuracy_drop"})
"""Of a run of this project's pipeline."""
_NAME = "[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_NAME}(?::[0-9]{{1,5}})?/)?{_NAME}(?:/{_NAME})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?P<digest>@sha256:[0-9a-f]{{64}})?"
)
_DNS_NAME = "[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_GPUS_OF_A_MACHINE = (1, 2, 4, 8, 16)


def require(needed: Mapping[str, tuple[str, str]]) -> None:
    """Checks that the configuration says what cannot be done without.

    Args:
      needed: by the key: its value, and what it means.

    Raises:
      KubeflowError: names the first key that is missing, and how to give it.
    """
    for key, (value, meaning) in needed.items():
        if not value:
            raise KubeflowError(f"{key} is missing: {meaning}; give it in the file or by --set {key}=...")


def check_image(image: str, *, built: bool = False) -> None:
    """The name of an image in a registry; where it is to be built, without a digest.

    Raises:
      KubeflowError: it is no such name.
    """
    found = _IMAGE.fullmatch(image)
    if not found or len(image) > 500 or (built and found["digest"]):
        raise KubeflowError(f"kubeflow.image is {image!r}: expected HOST/FOLDER/NAME:TAG, in lower case")


def check_config(config: Config, *, sent: bool) -> None:
    """Names and places of a configuration that has all that is needed.

    Args:
      config: of the pipeline.
      sent: the pipeline is going to its cluster. Else it may stay here, for a replay, and places may be folders here.

    Raises:
      KubeflowError: names the key, its value and what is expected.
    """
    settings = config.kubeflow
    labels.check(settings)
    check_image(settings.image)
    _check_place("kubeflow.root", settings.root, settings, sent)
    if config.data.source and not builtin_names.resolve(
        config.data.source, builtin_sources.NAMES
    ):  # compile has words of its own for these
        _check_place("data.source", config.data.source, settings, sent)
    if settings.schema_file:
        _check_place("kubeflow.schema_file", settings.schema_file, settings, sent)
    _check_files_of_nodes(config)
    _check_splits(config)
    _check_nodes(settings)
    if settings.schedule:
        _check_schedule(settings)
    if settings.target == "vertex":
        check_names_of_google(settings)
    elif sent:
        _check_names_of_kubernetes(settings)


def check_names_of_google(settings: Kubeflow) -> None:
    """Region, project, service account and endpoint of Vertex AI.

    Raises:
      KubeflowError: names the key, its value and what is expected.
    """
    if not re.fullmatch("[a-z]+-[a-z]+[0-9]+", settings.region):
        raise KubeflowError(f"kubeflow.region is {settings.region!r}: expected a region's name, as in us-central1")
    project = "(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]+"
    if settings.project and not re.fullmatch(project, settings.project):
        raise KubeflowError(
            f"kubeflow.project is {settings.project!r}: expected a project's ID (6 to 30 lower-case letters, digits "
            "and -) or its number"
        )
    account = settings.service_account
    if account and not re.fullmatch(rf"[a-z0-9.-]+@(?:{_DNS_NAME}\.)?gserviceaccount\.com", account):
        raise KubeflowError(
            f"kubeflow.service_account is {account!r}: expected an address, NAME@PROJECT.iam.gserviceaccount.com"
        )
    if settings.api_endpoint and not re.fullmatch(r"(https?://)?[A-Za-z0-9.-]+(:[0-9]{1,5})?", settings.api_endpoint):
        raise KubeflowError(
            f"kubeflow.api_endpoint is {settings.api_endpoint!r}: expected HOST, as in REGION-aiplatform.googleapis.com"
        )


def check_parameters(given: Mapping[str, str], settings: Kubeflow, *, sent: bool) -> None:
    """Values of the run's parameters, by the rules of the keys that they stand in for.

    Raises:
      KubeflowError: names the parameter, its value and what is expected.
    """
    for name, text in given.items():
        if name in ("data_root", "schema_file"):
            _check_place(f"parameter {name}", text, settings, sent)
        elif name == "train_args":
            _check_train_args(text)
        elif name in ("min_accuracy", "max_accuracy_drop"):
            _check_threshold(name, text)


def _check_threshold(name: str, text: str) -> None:
    try:
        value = float(text)
    except ValueError:
        return  # no number: the specification's declaration says so
    neutral = {"min_accuracy": 0.0, "max_accuracy_drop": 0.0}
    try:
        Evaluator.model_validate(neutral | {name: value})
    except pydantic.ValidationError:
        raise KubeflowError(
            f"parameter {name} is {text}: expected a number from 0 to 1, as evaluator.{name}"
            + (f" (did you mean {value / 100:g}?)" if math.isfinite(value) and 1 < value <= 100 else "")
        ) from None


def _check_train_args(text: str) -> None:
    from tfx.proto import trainer_pb2

    expected = 'expected TrainArgs in JSON, as in {"splits": ["train"], "num_steps": 100}'
    try:
        arguments = json_format.ParseDict(json.loads(text), trainer_pb2.TrainArgs())
    except (ValueError, RecursionError, TypeError, AttributeError, json_format.ParseError) as error:
        raise KubeflowError(f"parameter train_args is {text!r}: {expected}: {' '.join(str(error).split())}") from None
    if arguments.num_steps < 0:
        raise KubeflowError(f"parameter train_args: num_steps is {arguments.num_steps}: expected at least 0")
    if strange := sorted(set(arguments.splits) - set(SPLITS)):
        raise KubeflowError(f"parameter train_args: splits has {strange[0]!r}: expected train, eval or test")


def _check_place(key: str, place: str, settings: Kubeflow, sent: bool) -> None:
    """A folder or file that all nodes see."""
    if key.endswith("schema_file") and re.fullmatch("[a-z]+://[^/]*|.*/", place):
        raise KubeflowError(f"{key} is {place}: expected a file, as in gs://BUCKET/FOLDER/schema.pbtxt")
    example = "gs://BUCKET/FOLDER"
    if re.match("gs:|gcs:", place, re.IGNORECASE):
        if not is_bucket_folder(place):
            raise KubeflowError(
                f"{key} is {place}: expected {example}, the bucket's name in 3 to 63 lower-case letters and digits"
            )
        return
    if settings.target == "vertex" and (sent or storage.is_url(place)):
        path = re.fullmatch("/gcs/(.+)", place)
        raise KubeflowError(
            f"{key} is {place}: Vertex AI needs a folder in a bucket, {f'gs://{path[1]}' if path else example}"
        )
    if storage.is_url(place):
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s][^\s]*", place):
            raise KubeflowError(f"{key} is {place}: expected SCHEME://BUCKET/FOLDER, as in s3://BUCKET/FOLDER")
    elif re.match("[A-Za-z][A-Za-z0-9+.-]*:", place):
        raise KubeflowError(f"{key} is {place}: after the scheme come two slashes, as in {example}")
    elif not place.startswith("/"):
        raise KubeflowError(
            f"{key} is {place!r}: a node does not run in this folder; expected {example}, or an absolute path that all "
            "nodes see"
        )


def _check_files_of_nodes(config: Config) -> None:
    """Files that nodes read: in a bucket, or in the image, where only an absolute path leads to."""
    style, stylizer = config.style, config.stylizer
    files = {"trainer.weights": config.trainer.weights}
    if style.enabled:
        files["style.settings.weights"] = style.settings.weights
        if style.stylizer:
            files["style.stylizer"] = style.stylizer
    is_builtin = bool(builtin_names.resolve(style.catalog, (builtin_names.CATALOG,)))
    has_catalog = style.enabled or stylizer.enabled
    if has_catalog and not is_builtin:
        files["style.catalog"] = style.catalog
    contents = {"style.contents": style.contents} if style.enabled else {}
    if stylizer.enabled:
        contents |= {"stylizer.contents": stylizer.contents, "stylizer.held_out": stylizer.held_out}
    files |= {key: given for key, given in contents.items() if not builtin_names.is_contents_name(given)}
    for key, path in files.items():
        if path in ("imagenet", "none", "random") or path.startswith("/"):
            continue
        if path.startswith("gs:") and not is_bucket_folder(path):
            raise KubeflowError(f"{key} is {path}: expected gs://BUCKET/FOLDER")
        if not storage.is_url(path):
            raise KubeflowError(
                f"{key} is {path!r}: a node does not run in this folder; expected gs://BUCKET/..., or an absolute path "
                "in the image"
            )
    if has_catalog and is_builtin:
        catalog.check_ids(style.catalog, builtin.list_ids(), style.styles)


def _check_splits(config: Config) -> None:
    patterns = {str(name): pattern for name, pattern in config.data.splits.items()}
    if len(patterns) == 2:
        missing = next(name for name in SPLITS if name not in patterns)
        raise KubeflowError(f"data.splits names {' and '.join(patterns)}: name {missing}, too, or one pattern for all")
    for name, pattern in patterns.items():
        if config.kubeflow.target == "kfp" and re.search(r"\{(SPAN|VERSION|YYYY|MM|DD)\b", pattern):
            raise KubeflowError(
                f"data.splits.{name} is {pattern!r}: only the driver of ImportExampleGen finds spans, and "
                "only Vertex AI runs it; name the folder"
            )
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise KubeflowError(
                f"data.splits.{name} is {pattern!r}: expected a pattern below data.source, as in {name}/*"
            )


def _check_nodes(settings: Kubeflow) -> None:
    for node, resources in settings.nodes.items():
        key, name = f"kubeflow.nodes.{node}", resources.accelerator
        if resources.machine_type and not re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)+", resources.machine_type):
            raise KubeflowError(
                f"{key}.machine_type is {resources.machine_type!r}: expected a type as in n1-standard-8"
            )
        if not name:
            continue
        if settings.target == "vertex":
            _check_accelerator_of_vertex(key, name, resources.accelerators)
        elif not re.fullmatch(rf"{_DNS_NAME}/[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?", name):
            raise KubeflowError(
                f"{key}.accelerator is {name!r}: expected a resource of Kubernetes, as in nvidia.com/gpu"
            )


def _check_accelerator_of_vertex(key: str, name: str, count: int) -> None:
    from google.cloud.aiplatform_v1.types import AcceleratorType

    known = [each.name for each in AcceleratorType if each.value]
    if name not in known:
        raise KubeflowError(f"{key}.accelerator is {name!r}: Vertex AI has {', '.join(known)}")
    if name.startswith("NVIDIA") and count not in _GPUS_OF_A_MACHINE:
        counts = ", ".join(map(str, _GPUS_OF_A_MACHINE))
        raise KubeflowError(f"{key}.accelerators is {count}: a machine of Vertex AI has {counts} GPUs")


def _check_names_of_kubernetes(settings: Kubeflow) -> None:
    _check_endpoint(settings.endpoint)
    if settings.namespace and not re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", settings.namespace):
        raise KubeflowError(
            f"kubeflow.namespace is {settings.namespace!r}: expected up to 63 lower-case letters, digits and -"
        )
    account = settings.service_account
    if account and not re.fullmatch(_DNS_NAME, account):
        raise KubeflowError(
            f"kubeflow.service_account is {account!r}: expected the name of a service account of Kubernetes, as in "
            "pipeline-runner"
        )


def _check_endpoint(endpoint: str) -> None:
    expected = "expected a URL, as in https://HOST/pipeline"
    try:
        parts = urlsplit(endpoint)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise KubeflowError(f"kubeflow.endpoint is {endpoint}: {expected}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid or re.search(r"\s", endpoint):
        raise KubeflowError(f"kubeflow.endpoint is {endpoint}: {expected}")
    # The dashboard shows the pipelines' page in a frame below /_/, and the SDK adds /apis/... itself.
    path = re.sub("^/_/", "/", re.sub("/apis(/.*)?$", "", parts.path))
    if parts.fragment or parts.query or "#" in endpoint or path != parts.path:
        give = f"{parts.scheme}://{parts.netloc}{path.rstrip('/')}"
        raise KubeflowError(f"kubeflow.endpoint is {endpoint}, which is a web page and not the server: give {give}")


def _check_schedule(settings: Kubeflow) -> None:
    try:
        zone = cron.check(settings.schedule, last_weekday=7 if settings.target == "vertex" else 6)
    except ValueError as error:
        raise KubeflowError(f"kubeflow.schedule is {settings.schedule!r}: {error}") from None
    if zone and settings.target == "kfp":
        raise KubeflowError(
            f"kubeflow.schedule: {zone} is for Vertex AI; Kubeflow Pipelines has its server's time zone"
        )
