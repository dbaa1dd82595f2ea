"""The calls to Vertex AI: all that this project sends to Google by itself.

Not by the SDK's `PipelineJob.submit`: that one makes the bucket too, with new rights on it, where it finds none.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from atelier.errors import KubeflowError
from pipeline.config.sections.kubeflow import Kubeflow

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT = 60.0
"""Seconds for an answer."""
CONSOLE = "https://console.cloud.google.com/vertex-ai/locations"

_REMEDY = (
    "run `gcloud auth application-default login`, or name the key file of a service account in "
    "GOOGLE_APPLICATION_CREDENTIALS"
)


def find_credentials() -> Any:
    """Application Default Credentials.

    Raises:
      KubeflowError: there are none.
    """
    import google.auth
    from google.auth import exceptions

    try:
        return google.auth.default(scopes=[SCOPE])[0]
    except (exceptions.GoogleAuthError, ValueError) as error:
        raise KubeflowError(f"no credentials for Google Cloud ({_cut_to_sentence(error)}): {_REMEDY}") from None


def create_run(job: Mapping[str, Any], name: str, settings: Kubeflow, credentials: Any) -> str:
    """Starts a run.

    Args:
      job: the PipelineJob as its JSON form.
      name: the run's id, unlike any earlier one's.
      settings: have project and region.
      credentials: as `find_credentials` finds them.

    Returns:
      The URL of the run.

    Raises:
      KubeflowError: Vertex AI rejects the request, or cannot be reached.
    """
    from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient

    with _explained(settings):
        client = _build_client(PipelineServiceClient, settings, credentials)
        answer = client.create_pipeline_job(
            parent=_name_parent(settings), pipeline_job=_build_message(job), pipeline_job_id=name, timeout=TIMEOUT
        )
    return _build_url(answer.name, "pipelineJobs", "runs", settings)


def create_schedule(job: Mapping[str, Any], name: str, settings: Kubeflow, credentials: Any) -> str:
    """Starts runs by `settings.schedule`, one at a time.

    Args:
      job: the PipelineJob of each run, as its JSON form.
      name: to be shown.
      settings: have project, region and cron line.
      credentials: as `find_credentials` finds them.

    Returns:
      The URL of the schedule.

    Raises:
      KubeflowError: Vertex AI rejects the request, or cannot be reached.
    """
    from google.cloud.aiplatform_v1.services.schedule_service import ScheduleServiceClient
    from google.cloud.aiplatform_v1.types import CreatePipelineJobRequest, Schedule

    with _explained(settings):
        client = _build_client(ScheduleServiceClient, settings, credentials)
        schedule = Schedule(
            display_name=name,
            cron=settings.schedule,
            max_concurrent_run_count=1,
            create_pipeline_job_request=CreatePipelineJobRequest(
                parent=_name_parent(settings), pipeline_job=_build_message(job)
            ),
        )
        answer = client.create_schedule(parent=_name_parent(settings), schedule=schedule, timeout=TIMEOUT)
    return _build_url(answer.name, "schedules", "schedules", settings)


def _build_client(kind: Callable[..., Any], settings: Kubeflow, credentials: Any) -> Any:
    """REST, not gRPC: it passes through companies' proxies, and takes their certificates from REQUESTS_CA_BUNDLE."""
    return kind(credentials=credentials, transport="rest", client_options={"api_endpoint": _get_endpoint(settings)})


def _get_endpoint(settings: Kubeflow) -> str:
    return settings.api_endpoint or f"{settings.region}-aiplatform.googleapis.com"


def _build_message(job: Mapping[str, Any]) -> Any:
    from google.cloud.aiplatform_v1.types import PipelineJob
    from google.protobuf import json_format

    message = PipelineJob()
    json_format.ParseDict(dict(job), PipelineJob.pb(message))
    return message


def _name_parent(settings: Kubeflow) -> str:
    return f"projects/{settings.project}/locations/{settings.region}"


def _build_url(resource: str, noun: str, page: str, settings: Kubeflow) -> str:
    found = re.fullmatch(f"projects/([^/]+)/locations/([^/]+)/{noun}/([^/]+)", resource)
    if not found:
        raise KubeflowError(f"Vertex AI answered with {resource!r}, which is not the name of a run: look at {CONSOLE}")
    return f"{CONSOLE}/{found[2]}/pipelines/{page}/{found[3]}?project={settings.project}"


@contextmanager
def _explained(settings: Kubeflow) -> Iterator[None]:
    """Makes one line of what Google's libraries raise."""
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except (auth.RefreshError, api.Unauthorized) as error:
        raise KubeflowError(f"Google rejected the credentials ({_extract_message(error)}): {_REMEDY}") from None
    except api.GoogleAPICallError as error:
        raise KubeflowError(
            f"Vertex AI rejected the request: {_extract_message(error)}{_find_hint(error, settings)}"
        ) from None
    except (auth.TransportError, requests.RequestException, api.RetryError) as error:
        raise KubeflowError(
            f"Vertex AI cannot be reached at {_get_endpoint(settings)}; check network, proxy (HTTPS_PROXY) and "
            f"kubeflow.region: {_join_lines(error)[:200]}"
        ) from None


def _find_hint(error: Any, settings: Kubeflow) -> str:
    account = settings.service_account or "the project's default service account"
    hints = {
        403: f"; the account needs roles/aiplatform.user in project {settings.project}, roles/iam.serviceAccountUser "
        f"on {account}, and the Vertex AI API turned on",
        404: f"; check kubeflow.project ({settings.project}) and kubeflow.region ({settings.region})",
        429: f"; ask for more quota in region {settings.region}, name another kubeflow.region, or try again later",
    }
    return hints.get(error.code, "")


def _extract_message(error: Any) -> str:
    """Google's own words, without the URL that its library puts in front."""
    words = re.sub(r"^[A-Z]+ https?://\S+: ", "", _join_lines(getattr(error, "message", error)))
    return words.rstrip(". ")[:500]


def _cut_to_sentence(error: Exception) -> str:
    return re.split(r"\. |\.$", _join_lines(error), maxsplit=1)[0]


def _join_lines(text: object) -> str:
    return " ".join(str(text).split())
