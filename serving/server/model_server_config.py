"""Reads the text files that configure TensorFlow Serving's ModelServer, and rejects what ModelServer would reject.

The messages differ on purpose: they name the file, the field and what to do.
"""

import difflib
import os
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from atelier import storage
from atelier.errors import AtelierError
from atelier.protobuf import build_messages

_MESSAGES = build_messages(
    """
    message BatchingParameters {
      Int64Value max_batch_size = 1;
      Int64Value batch_timeout_micros = 2;
      Int64Value max_enqueued_batches = 3;
      Int64Value num_batch_threads = 4;
      StringValue thread_pool_name = 5;
      repeated int64 allowed_batch_sizes = 6;
      bool pad_variable_length_inputs = 7;
      BoolValue enable_large_batch_splitting = 8;
      Int64Value max_execution_batch_size = 9;
    }
    message SSLConfig {
      string server_key = 1;
      string server_cert = 2;
      string custom_ca = 3;
      bool client_verify = 4;
    }
    message PrometheusConfig {
      bool enable = 1;
      string path = 2;
    }
    message MonitoringConfig {
      PrometheusConfig prometheus_config = 1;
    }
    """,
    "tensorflow.serving",
)
"""The messages of TensorFlow Serving that its Python package leaves out."""


class ModelServerConfigError(AtelierError):
    """ModelServer would not start with this configuration; the message says where, and what to do."""


@dataclass(frozen=True)
class BatchingParameters:
    """`--batching_parameters_file`; the defaults are those of TensorFlow's batch scheduler."""

    max_batch_size: int = 1000
    """Rows of one batch, and of the largest request."""
    batch_timeout_micros: int = 0
    """How long a batch that is not full waits for more."""
    max_enqueued_batches: int = 10
    """A request that would wait behind that many batches is rejected with UNAVAILABLE."""
    num_batch_threads: int = len(os.sched_getaffinity(0))
    """Batches run at the same time. The default is that of TensorFlow: the processors that this process may use."""
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    """Batches are padded to the next of these; empty: not padded."""
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    """Requests larger than `max_execution_batch_size` are divided among batches."""
    max_execution_batch_size: int = 0
    """Rows of one batch where requests are divided; 0: `max_batch_size`."""


@dataclass(frozen=True)
class SSLConfig:
    """`--ssl_config_file`: TLS for gRPC. All of it is PEM text, not paths: ModelServer opens no further file."""

    server_key: str = field(repr=False)
    """Private key, without a passphrase."""
    server_cert: str
    """Certificate of that key, followed by those of its issuers if the client does not have them."""
    custom_ca: str = ""
    """Whose clients are accepted if `client_verify`."""
    client_verify: bool = False
    """A client must show a certificate, too."""


@dataclass(frozen=True)
class MonitoringConfig:
    """`--monitoring_config_file`: metrics for Prometheus, on the port of the REST API."""

    enable: bool = False
    path: str = "/monitoring/prometheus/metrics"


def read_models_config(path: str | os.PathLike[str]) -> model_server_config_pb2.ModelServerConfig:
    """Reads `--model_config_file`.

    Raises:
      ModelServerConfigError: the file cannot be read, names no model, or fails `check`.
    """
    config = _parse(path, model_server_config_pb2.ModelServerConfig())
    check(config, os.fspath(path))
    # ModelServer takes such a file for "no change": it is one that was cut off, or that somebody is just writing.
    if not config.model_config_list.config:
        raise ModelServerConfigError(f"{os.fspath(path)}: no model; add model_config_list {{ config {{ ... }} }}")
    return config


def check(config: model_server_config_pb2.ModelServerConfig, source: str = "the request") -> None:
    """Checks what ModelServer would check, and that every label has a version.

    Args:
      config: from a file or from a request to reload.
      source: named in the message.

    Raises:
      ModelServerConfigError: the first fault found.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise ModelServerConfigError(
            f"{source}: custom_model_config is not supported; list models in model_config_list"
        )
    names = set()
    for position, model in enumerate(config.model_config_list.config, start=1):
        where = f"{source}: model {model.name!r}" if model.name else f"{source}: config {position} of the list"
        if model.name in names:
            raise ModelServerConfigError(f"{where} is listed twice; give each model a name of its own")
        names.add(model.name)
        for fault in _find_model_faults(model):
            raise ModelServerConfigError(f"{where}: {fault}")


def _find_model_faults(model: model_server_config_pb2.ModelConfig) -> Iterable[str]:
    if not model.name:
        yield 'no name; add one, such as name: "default"'
    if not model.base_path:
        yield 'no base_path; add the folder that holds the versions, such as base_path: "/models/default"'
    if not (model.base_path.startswith("/") or storage.is_url(model.base_path)):
        yield f"base_path {model.base_path!r} is relative; ModelServer takes absolute paths and URIs only"
    yield from _find_platform_faults(model)
    yield from _find_version_faults(model)


def _find_platform_faults(model: model_server_config_pb2.ModelConfig) -> Iterable[str]:
    old_field = model_server_config_pb2.ModelType.Name(model.model_type)
    if old_field == "MODEL_TYPE_UNSPECIFIED":
        platform = model.model_platform
    elif model.model_platform:
        yield "both model_type and model_platform; leave out model_type, which is deprecated"
        return
    else:
        platform = old_field.lower()
    if platform != "tensorflow":
        yield f'model_platform is {platform or "missing"}; write model_platform: "tensorflow"'


def _find_version_faults(model: model_server_config_pb2.ModelConfig) -> Iterable[str]:
    policy = model.model_version_policy
    specific = policy.WhichOneof("policy_choice") == "specific"
    if specific and not policy.specific.versions:
        yield "model_version_policy is specific without versions; add versions: N for each one to load"
    for label, version in sorted(model.version_labels.items()):
        if not re.fullmatch(r"[A-Za-z0-9_]+", label):
            yield f"version label {label!r}; ModelServer takes letters, digits and underscores"
        if specific and version not in policy.specific.versions:
            loaded = ", ".join(map(str, policy.specific.versions))
            yield f"label {label!r} is for version {version}, but only {loaded} are loaded; add versions: {version}"


def read_batching_parameters(path: str | os.PathLike[str]) -> BatchingParameters:
    """Reads `--batching_parameters_file`.

    Raises:
      ModelServerConfigError: the file cannot be read, or a number in it is one that ModelServer does not take.
    """
    message = _parse(path, _MESSAGES["BatchingParameters"]())
    sizes = tuple(message.allowed_batch_sizes)
    parameters = BatchingParameters(**_read_values(message) | {"allowed_batch_sizes": sizes})
    for fault in _find_batching_faults(parameters):
        raise ModelServerConfigError(f"{os.fspath(path)}: {fault}")
    return parameters


def _find_batching_faults(parameters: BatchingParameters) -> Iterable[str]:
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(parameters, name) < 1:
            yield f"{name} is {getattr(parameters, name)}; it must be at least 1"
    if parameters.batch_timeout_micros < 0:
        yield f"batch_timeout_micros is {parameters.batch_timeout_micros}; it must be at least 0"
    divided = parameters.enable_large_batch_splitting and parameters.max_execution_batch_size
    largest = parameters.max_execution_batch_size if divided else parameters.max_batch_size
    if not 1 <= largest <= parameters.max_batch_size:
        yield f"max_execution_batch_size is {largest}; it must be 1 to max_batch_size ({parameters.max_batch_size})"
    sizes = parameters.allowed_batch_sizes
    if sizes and (sizes[0] < 1 or list(sizes) != sorted(set(sizes))):
        yield f"allowed_batch_sizes are {', '.join(map(str, sizes))}; write them in rising order, from at least 1"
    if sizes and sizes[-1] != largest:
        name = "max_execution_batch_size" if divided else "max_batch_size"
        yield f"allowed_batch_sizes end with {sizes[-1]}, but {name} is {largest}; the two must be equal"


def read_ssl_config(path: str | os.PathLike[str]) -> SSLConfig:
    """Reads `--ssl_config_file` and loads its key and certificates as a server would.

    Raises:
      ModelServerConfigError: the file cannot be read, or TLS cannot be served with what is in it.
    """
    config = SSLConfig(**{"server_key": "", "server_cert": ""} | _read_values(_parse(path, _MESSAGES["SSLConfig"]())))
    for fault in _find_ssl_faults(config):
        raise ModelServerConfigError(f"{os.fspath(path)}: {fault}")
    return config


def _find_ssl_faults(config: SSLConfig) -> Iterable[str]:
    for name in ("server_key", "server_cert", "custom_ca"):
        text = getattr(config, name)
        if not text and name != "custom_ca":
            yield f"no {name}; add its PEM text"
        if text and "-----BEGIN " not in text:
            yield f"{name} is not PEM text; paste what is in the file, a path is not followed"
    for name in ("server_cert", "custom_ca"):
        if reason := _find_certificate_fault(getattr(config, name)):
            yield f"{name} is not a readable certificate ({reason}); look at it with `openssl x509 -text`"
    if reason := _find_key_fault(config.server_key, config.server_cert):
        yield f"server_key is not the key of server_cert, without a passphrase ({reason}); create both again"
    if config.client_verify and not config.custom_ca:
        yield "client_verify without custom_ca; add the certificate that signs the clients'"


def _find_certificate_fault(certificates: str) -> str:
    try:
        if certificates:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=certificates)
    except ssl.SSLError as error:
        return error.reason or str(error)
    return ""


def _find_key_fault(key: str, certificates: str) -> str:
    # Python loads keys from files only: this one is in memory, so that no copy of the key reaches a disk.
    descriptor = os.memfd_create("server_key")
    try:
        os.write(descriptor, f"{key}\n{certificates}".encode())
        # An empty passphrase, where OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{descriptor}", password=str)
    except ssl.SSLError as error:
        return error.reason or str(error)
    finally:
        os.close(descriptor)
    return ""


def read_monitoring_config(path: str | os.PathLike[str]) -> MonitoringConfig:
    """Reads `--monitoring_config_file`.

    Raises:
      ModelServerConfigError: the file cannot be read, or the metrics' path is none.
    """
    config = MonitoringConfig(**_read_values(_parse(path, _MESSAGES["MonitoringConfig"]()).prometheus_config))
    if not config.path.startswith("/"):
        raise ModelServerConfigError(f"{os.fspath(path)}: path {config.path!r} must begin with a slash")
    return config


def _parse(path: str | os.PathLike[str], message: Message) -> Any:
    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except OSError as error:
        raise ModelServerConfigError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelServerConfigError(
            f"{os.fspath(path)}: the file is not text; write it in protobuf's text format"
        ) from None
    except text_format.ParseError as error:
        # The error begins with "line:column : ".
        text = str(error).replace(" : ", ": ", 1)
        raise ModelServerConfigError(f"{os.fspath(path)}:{text}{_suggest_fields(text, message)}") from None


def _suggest_fields(error: str, message: Message) -> str:
    unknown = re.search(r'Message type "([\w.]+)" has no field named "(\w+)"', error)
    if not unknown:
        return ""
    known = message.DESCRIPTOR.file.pool.FindMessageTypeByName(unknown[1]).fields_by_name
    near = difflib.get_close_matches(unknown[2], known, n=1)
    return f" Did you mean {near[0]}?" if near else f" It has {', '.join(known)}."


def _read_values(message: Message) -> dict[str, Any]:
    """Returns what the file sets, without the wrappers that tell 0 from nothing."""
    return {known.name: getattr(value, "value", value) for known, value in message.ListFields()}
