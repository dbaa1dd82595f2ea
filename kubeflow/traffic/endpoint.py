"""An endpoint of Vertex AI, and the calls that read it and change its traffic split."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubeflow.vertex_api import TIMEOUT, build_client, explain_errors
from pipeline.config.sections.kubeflow import Kubeflow


@dataclass(frozen=True)
class DeployedModel:
    """A model that an endpoint serves.

    Attributes:
      id: tells it apart at its endpoint.
      version: of the model in Vertex AI's registry.
      name: is shown.
      model: its resource.
    """

    id: str
    version: str
    name: str
    model: str

    def __str__(self) -> str:
        """Returns it as errors and tables name it."""
        return f"{self.id} ({', '.join([*([f'version {self.version}'] if self.version else []), self.name])})"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it is now.

    Attributes:
      name: its resource.
      models: that are deployed there.
      split: percentages by deployed model's ID; those that get no traffic are not in it.
      etag: changes with the endpoint.
      monitoring_job: resource of its Model Monitoring job; "": none.
    """

    name: str
    models: tuple[DeployedModel, ...]
    split: Mapping[str, int]
    etag: str
    monitoring_job: str


class EndpointClient:
    """Asks for one endpoint."""

    def __init__(self, name: str, settings: Kubeflow, credentials: Any) -> None:
        """Takes where it is.

        Args:
          name: the endpoint's resource.
          settings: have project, region and the address of Vertex AI.
          credentials: as `find_credentials` finds them.
        """
        self._name, self._settings, self._credentials = name, settings, credentials
        self._hints = {
            403: "the account needs roles/aiplatform.user (aiplatform.endpoints.get and aiplatform.endpoints.update) "
            f"in project {settings.project}, and the Vertex AI API turned on",
            404: f"check --endpoint, kubeflow.project ({settings.project}) and kubeflow.region ({settings.region})",
            409: "somebody else has changed the endpoint meanwhile: look at it, and try again",
            429: "too many requests: try again later",
        }

    def read(self) -> Endpoint:
        """Returns the endpoint as it is now.

        Raises:
          KubeflowError: there is none, or Vertex AI cannot be reached.
        """
        with self._connect() as client:
            return _parse(client.get_endpoint(name=self._name, timeout=TIMEOUT))

    def change_split(self, split: Mapping[str, int], etag: str) -> Endpoint:
        """Replaces the split, unless the endpoint is no longer that of `etag`.

        Args:
          split: percentages by deployed model's ID, 100 in sum.
          etag: of the endpoint that was read.

        Returns:
          The endpoint as Vertex AI says that it is now.

        Raises:
          KubeflowError: Vertex AI rejects it, or cannot be reached.
        """
        from google.cloud.aiplatform_v1 import types
        from google.protobuf import field_mask_pb2

        with self._connect() as client:
            endpoint = types.Endpoint(name=self._name, traffic_split=dict(split), etag=etag)
            mask = field_mask_pb2.FieldMask(paths=["traffic_split"])
            return _parse(client.update_endpoint(endpoint=endpoint, update_mask=mask, timeout=TIMEOUT))

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        from google.cloud.aiplatform_v1.services.endpoint_service import EndpointServiceClient

        with explain_errors(self._settings, self._hints):
            yield build_client(EndpointServiceClient, self._settings, self._credentials)


def _parse(message: Any) -> Endpoint:
    return Endpoint(
        name=message.name,
        models=tuple(
            DeployedModel(each.id, each.model_version_id, each.display_name, each.model)
            for each in message.deployed_models
        ),
        split={id_: percent for id_, percent in message.traffic_split.items() if percent},
        etag=message.etag,
        monitoring_job=message.model_deployment_monitoring_job,
    )
