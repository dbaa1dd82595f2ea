"""How Vertex AI is called, and what its answers mean."""

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


def build_client(kind: Callable[..., Any], settings: Kubeflow, credentials: Any) -> Any:
    """REST, not gRPC: it passes through companies' proxies, and takes their certificates from REQUESTS_CA_BUNDLE."""
    return kind(credentials=credentials, transport="rest", client_options={"api_endpoint": _get_endpoint(settings)})


def _get_endpoint(settings: Kubeflow) -> str:
    return settings.api_endpoint or f"{settings.region}-aiplatform.googleapis.com"


def name_parent(settings: Kubeflow) -> str:
    """The resource that runs, schedules and endpoints are below."""
    return f"projects/{settings.project}/locations/{settings.region}"


@contextmanager
def explain_errors(settings: Kubeflow, hints: Mapping[int, str]) -> Iterator[None]:
    """Makes one line of what Google's libraries raise.

    Args:
      settings: have region and endpoint.
      hints: what to do about an answer, by its HTTP status.

    Raises:
      KubeflowError: in place of what they raise.
    """
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.protobuf import json_format

    try:
        yield
    except (auth.RefreshError, api.Unauthorized) as error:
        raise KubeflowError(f"Google rejected the credentials ({_extract_message(error)}): {_REMEDY}") from None
    except api.GoogleAPICallError as error:
        raise KubeflowError(
            f"Vertex AI rejected the request: {_extract_message(error)}{_join_hint(hints.get(error.code or 0))}"
        ) from None
    except json_format.ParseError:
        raise KubeflowError(
            f"{_get_endpoint(settings)} answered, but not as Vertex AI does; check kubeflow.api_endpoint"
        ) from None
    except (auth.TransportError, requests.RequestException, api.RetryError) as error:
        raise KubeflowError(
            f"Vertex AI cannot be reached at {_get_endpoint(settings)}; check network, proxy (HTTPS_PROXY) and "
            f"kubeflow.region: {_join_lines(error)[:200]}"
        ) from None


def _join_hint(hint: str | None) -> str:
    return f"; {hint}" if hint else ""


def _extract_message(error: Any) -> str:
    """Google's own words, without the URL that its library puts in front."""
    words = re.sub(r"^[A-Z]+ https?://\S+: ", "", _join_lines(getattr(error, "message", error)))
    return words.rstrip(". ")[:500]


def _cut_to_sentence(error: Exception) -> str:
    return re.split(r"\. |\.$", _join_lines(error), maxsplit=1)[0]


def _join_lines(text: object) -> str:
    return " ".join(str(text).split())
