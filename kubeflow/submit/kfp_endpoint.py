"""The calls to Kubeflow Pipelines of one's own, through its SDK."""

import contextlib
import io
import json
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atelier.errors import KubeflowError
from pipeline.config.sections.kubeflow import Kubeflow

TOKEN = "ATELIER_KFP_TOKEN"  # noqa: S105 - the variable's name
TIMEOUT = 30.0
"""Seconds for a connection, and for each answer."""
_TOKEN_FILE = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105 - the variable's name, which is the SDK's
_REMEDY = (
    f"give a bearer token in the variable {TOKEN}; in a pod, name its service account's token file in {_TOKEN_FILE}"
)


def connect(settings: Kubeflow) -> Any:
    """The SDK's client, after a first answer from the endpoint.

    Raises:
      KubeflowError: the endpoint cannot be reached, or wants other credentials.
    """
    import kfp
    from kfp.client import ServiceAccountTokenVolumeCredentials

    class Client(kfp.Client):
        """Asks once: the SDK's asks a server that refuses five times, with a traceback each time."""

        def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
            return self._healthz_api.healthz_service_get_healthz()

    from_file = ServiceAccountTokenVolumeCredentials() if os.environ.get(_TOKEN_FILE) else None
    with _explain_errors(settings), _silence_sdk():
        connected = Client(
            host=settings.endpoint.rstrip("/"),
            existing_token=os.environ.get(TOKEN) or None,
            credentials=from_file,
            ssl_ca_cert=os.environ.get("SSL_CERT_FILE") or None,
            # The SDK takes this very name for "not given".
            **({"namespace": settings.namespace} if settings.namespace else {}),
        )
        connected.get_kfp_healthz()
    return connected


def create(
    client: Any, package: Path, values: Mapping[str, object], name: str, experiment: str, settings: Kubeflow
) -> str:
    """Starts a run now or, with `settings.schedule`, runs one after the other.

    Args:
      client: as `connect` makes it.
      package: the compiled pipeline, in YAML.
      values: of parameters, by name.
      name: of the run or schedule, to be shown.
      experiment: that it belongs to; made if there is none of that name.
      settings: have root, service account, caching switch and cron line.

    Returns:
      The URL of the run or schedule.

    Raises:
      KubeflowError: the endpoint refused, or cannot be reached.
    """
    shared: dict[str, Any] = {
        "pipeline_root": settings.pipeline_root,
        "enable_caching": None if settings.caching else False,  # never on: see submit.py
        "service_account": settings.service_account or None,
    }
    namespace = settings.namespace or None
    with _explain_errors(settings), _silence_sdk():
        if settings.schedule:
            belongs = client.create_experiment(experiment, namespace=namespace)
            schedule = client.create_recurring_run(
                experiment_id=belongs.experiment_id,
                job_name=name,
                # KFP's have seconds in front.
                cron_expression=f"0 {' '.join(settings.schedule.split())}",
                max_concurrency=1,
                no_catchup=True,
                params=dict(values),
                pipeline_package_path=str(package),
                **shared,
            )
            page, created = "recurringrun", schedule.recurring_run_id
        else:
            run = client.create_run_from_pipeline_package(
                str(package),
                arguments=dict(values),
                run_name=name,
                experiment_name=experiment,
                namespace=namespace,
                **shared,
            )
            page, created = "runs", run.run_id
    if not created:
        raise KubeflowError(
            f"{settings.endpoint} answered, but not as Kubeflow Pipelines does; if it is a page to log in, {_REMEDY}"
        )
    return f"{settings.endpoint.rstrip('/')}/#/{page}/details/{created}"


@contextlib.contextmanager
def _silence_sdk() -> Iterator[None]:
    """Drops what the SDK prints and warns of, and limits how long it waits for the server."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _explain_errors(settings: Kubeflow) -> Iterator[None]:
    """Replaces what the SDK raises by an error of one line."""
    import urllib3
    from google.auth.exceptions import GoogleAuthError
    from kfp_server_api import ApiException

    try:
        yield
    except ApiException as error:
        raise KubeflowError(_explain_refusal(error, settings)) from None
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise KubeflowError(
            f"Kubeflow Pipelines cannot be reached at {settings.endpoint}; check kubeflow.endpoint, the network, and "
            f"where the server is forwarded to: {_join_lines(reason)[:200]}"
        ) from None
    except GoogleAuthError as error:
        raise KubeflowError(f"no credentials for {settings.endpoint} ({_join_lines(error)[:200]}): {_REMEDY}") from None
    except OSError as error:
        raise KubeflowError(f"{error.filename or settings.endpoint}: {error.strerror or error}: {_REMEDY}") from None
    except ValueError as error:
        raise KubeflowError(f"{settings.endpoint}: {_join_lines(error)}") from None


def _explain_refusal(error: Any, settings: Kubeflow) -> str:
    where = f"Kubeflow Pipelines at {settings.endpoint}"
    if error.status == 401:
        return f"{where} wants credentials (401): {_REMEDY}"
    if error.status == 403:
        said = _extract_message(error)
        return f"{where} refused these credentials (403: {said}): {_REMEDY}, and check kubeflow.namespace"
    if error.status == 404:
        return f"{where} has nothing there (404: {_extract_message(error)}); check kubeflow.endpoint: https://HOST/pipeline"
    if not error.status:
        return f"{where}: {_extract_message(error)}; name the authority of its certificate in SSL_CERT_FILE"
    return f"{where} refused ({error.status}): {_extract_message(error)}"


def _extract_message(error: Any) -> str:
    """What the server says in its answer's JSON, else how the answer's status is called."""
    try:
        answer = json.loads(error.body)
        text = answer.get("error_message") or answer.get("message") or answer.get("error")
    except (AttributeError, TypeError, ValueError):
        text = None
    return _join_lines(text or error.reason)[:300]


def _join_lines(text: object) -> str:
    return " ".join(str(text).split())
