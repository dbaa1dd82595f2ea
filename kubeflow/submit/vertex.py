"""The calls to Vertex AI that start runs.

Not by the SDK's `PipelineJob.submit`: that one makes the bucket too, with new rights on it, where it finds none.
"""

import re
from collections.abc import Mapping
from typing import Any

from atelier.errors import KubeflowError
from kubeflow.vertex_api import CONSOLE, TIMEOUT, build_client, explain_errors, name_parent
from pipeline.config.sections.kubeflow import Kubeflow


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

    with explain_errors(settings, _build_hints(settings)):
        client = build_client(PipelineServiceClient, settings, credentials)
        answer = client.create_pipeline_job(
            parent=name_parent(settings), pipeline_job=_build_message(job), pipeline_job_id=name, timeout=TIMEOUT
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

    with explain_errors(settings, _build_hints(settings)):
        client = build_client(ScheduleServiceClient, settings, credentials)
        schedule = Schedule(
            display_name=name,
            cron=settings.schedule,
            max_concurrent_run_count=1,
            create_pipeline_job_request=CreatePipelineJobRequest(
                parent=name_parent(settings), pipeline_job=_build_message(job)
            ),
        )
        answer = client.create_schedule(parent=name_parent(settings), schedule=schedule, timeout=TIMEOUT)
    return _build_url(answer.name, "schedules", "schedules", settings)


def _build_hints(settings: Kubeflow) -> dict[int, str]:
    account = settings.service_account or "the project's default service account"
    return {
        403: f"the account needs roles/aiplatform.user in project {settings.project}, roles/iam.serviceAccountUser "
        f"on {account}, and the Vertex AI API turned on",
        404: f"check kubeflow.project ({settings.project}) and kubeflow.region ({settings.region})",
        429: f"ask for more quota in region {settings.region}, name another kubeflow.region, or try again later",
    }


def _build_message(job: Mapping[str, Any]) -> Any:
    from google.cloud.aiplatform_v1.types import PipelineJob
    from google.protobuf import json_format

    message = PipelineJob()
    json_format.ParseDict(dict(job), PipelineJob.pb(message))
    return message


def _build_url(resource: str, noun: str, page: str, settings: Kubeflow) -> str:
    found = re.fullmatch(f"projects/([^/]+)/locations/([^/]+)/{noun}/([^/]+)", resource)
    if not found:
        raise KubeflowError(f"Vertex AI answered with {resource!r}, which is not the name of a run: look at {CONSOLE}")
    return f"{CONSOLE}/{found[2]}/pipelines/{page}/{found[3]}?project={settings.project}"
