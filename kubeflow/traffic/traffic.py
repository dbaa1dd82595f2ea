"""Changes how an endpoint of Vertex AI splits its traffic between deployed models, and keeps a log of it."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from atelier.errors import KubeflowError
from atelier.files import change_log
from atelier.files.change_log import DONE, FAILED, UNDONE
from kubeflow import checks, vertex_api
from kubeflow.traffic.endpoint import Endpoint, EndpointClient
from kubeflow.traffic.shares import ID_PREFIX, Share, describe_split, resolve_shares
from pipeline.config.config import Config
from pipeline.config.sections.kubeflow import Kubeflow


@dataclass(frozen=True)
class Intent:
    """What a change is about to do.

    Attributes:
      endpoint: its resource.
      models: what the IDs stand for.
      before: percentages by deployed model's ID; those without traffic are not in it.
      after: likewise.
      why: in the words of who asked.
    """

    endpoint: str
    models: Mapping[str, str]
    before: Mapping[str, int]
    after: Mapping[str, int]
    why: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


Change: TypeAlias = change_log.Change[Intent]


class Traffic:
    """The traffic of one endpoint, and the log of its changes."""

    def __init__(self, config: Config, endpoint: str, history: Path | None = None) -> None:
        """Checks what can be known without a call, and finds credentials.

        Args:
          config: its section `kubeflow` says where Vertex AI is.
          endpoint: ID or resource.
          history: the log; None: `endpoint-ID.history.jsonl` in the output folder of the configuration's name.

        Raises:
          KubeflowError: the configuration lacks something, `endpoint` is no such name, or credentials are missing.
        """
        settings = config.kubeflow
        _check(settings)
        resource = _name_endpoint(endpoint, settings)
        id_ = resource.rpartition("/")[2]
        file = history or Path("output", config.name, f"endpoint-{id_}.history.jsonl")
        self._log = change_log.ChangeLog(file, Intent, "the traffic of an endpoint", KubeflowError)
        self._client = EndpointClient(resource, settings, vertex_api.find_credentials())
        self.url = f"{vertex_api.CONSOLE}/{settings.region}/endpoints/{id_}?project={settings.project}"

    def read(self) -> tuple[Endpoint, Change | None]:
        """Returns the endpoint as it is now, and the last change in the log.

        Raises:
          KubeflowError: there is no such endpoint, Vertex AI cannot be reached, or the log cannot be read.
        """
        endpoint = self._client.read()
        return endpoint, self._find_last_change(endpoint)

    def settle(self) -> Change | None:
        """Records what became of a change whose process was killed; returns it, or None.

        Raises:
          KubeflowError: Vertex AI cannot be reached, or the log cannot be written.
        """
        if self._log.find_unfinished() is None:
            return None
        with self._log.lock():
            endpoint = self._client.read()
            change = self._find_last_change(endpoint)
            if change is None or change.outcome:
                return None
            intent = change.intent
            if endpoint.split == intent.after:
                outcome, now = DONE, "the new split"
            elif endpoint.split == intent.before:
                outcome, now = UNDONE, "the old split"
            else:
                outcome, now = FAILED, f"neither split: {describe_split(endpoint.split, endpoint)}"
            self._log.end(intent, outcome, f"the process was interrupted; the endpoint has {now}")
            return self._find_last_change(endpoint)

    def change(self, shares: Sequence[Share], why: str) -> tuple[Endpoint, Intent]:
        """Changes the split.

        Args:
          shares: 100 in sum; deployed models that are not named get 0.
          why: for the log.

        Returns:
          The endpoint before the change, and what was changed.

        Raises:
          KubeflowError: a share names no deployed model, nothing would change, or Vertex AI rejects it. The message
            says which split the endpoint has then.
        """
        with self._log.lock():
            endpoint = self._client.read()
            split = {id_: percent for id_, percent in resolve_shares(shares, endpoint).items() if percent}
            if split == endpoint.split:
                told = describe_split(split, endpoint)
                raise KubeflowError(f"{endpoint.name}: the split already is {told}; nothing was changed")
            models = {model.id: str(model) for model in endpoint.models}
            intent = Intent(endpoint.name, models, endpoint.split, split, why)
            self._log.begin(intent)
            self._carry_out(intent, endpoint)
        return endpoint, intent

    def _carry_out(self, intent: Intent, endpoint: Endpoint) -> None:
        old, new = (describe_split(split, endpoint) for split in (intent.before, intent.after))
        try:
            found, reason = (
                self._client.change_split(intent.after, endpoint.etag).split,
                "Vertex AI accepted the change",
            )
        except KubeflowError as error:
            reason = str(error)
            try:
                found = self._client.read().split
            except KubeflowError:
                raise KubeflowError(
                    f"{reason}; whether the split changed is not known: it was {old} and may be {new}; the next call "
                    "finds out"
                ) from None
        if found == intent.after:
            self._log.end(intent, DONE)
            return
        now = f"as before: {old}" if found == intent.before else describe_split(found, endpoint)
        self._log.end(intent, FAILED, f"{reason}; the split is {now}")
        raise KubeflowError(f"{reason}; the split is {now}")

    def _find_last_change(self, endpoint: Endpoint) -> Change | None:
        changes = [change for change in self._log.list_changes() if change.intent.endpoint == endpoint.name]
        return changes[-1] if changes else None


def describe_way_back(intent: Intent) -> str:
    """Returns the options that bring the split before a change back; "" where there was no traffic."""
    return " ".join(f"--share {ID_PREFIX}{id_}={percent}" for id_, percent in intent.before.items())


def _check(settings: Kubeflow) -> None:
    if settings.target != "vertex":
        raise KubeflowError(
            f"kubeflow.target is {settings.target}: only Vertex AI has endpoints; set kubeflow.target=vertex"
        )
    checks.require({"kubeflow.project": (settings.project, "the project of Google Cloud")})
    checks.check_names_of_google(settings)


def _name_endpoint(text: str, settings: Kubeflow) -> str:
    """Returns the resource of an endpoint that is given by its ID or resource."""
    if re.fullmatch("[0-9]{1,20}|[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", text):
        return f"{vertex_api.name_parent(settings)}/endpoints/{text}"
    found = re.fullmatch("projects/([^/]+)/locations/([^/]+)/endpoints/([a-z0-9-]+)", text)
    if not found:
        raise KubeflowError(
            f"--endpoint {text}: expected an endpoint's ID, as in 1234567890, or "
            "projects/PROJECT/locations/REGION/endpoints/ID"
        )
    project, region, _ = found.groups()
    if region != settings.region:
        raise KubeflowError(
            f"--endpoint is in {region}, and kubeflow.region is {settings.region}: give the same region"
        )
    # Google answers with the project's number, which says nothing about its ID.
    if project != settings.project and not project.isdecimal() and not settings.project.isdecimal():
        raise KubeflowError(
            f"--endpoint is in project {project}, and kubeflow.project is {settings.project}: give the same project"
        )
    return text
