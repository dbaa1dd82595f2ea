"""Submitting to Kubeflow Pipelines, seen by a stand-in of its REST API; the SDK is real."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atelier.errors import KubeflowError
from kubeflow.submit import submit
from pipeline import cli
from pipeline.commands.kubeflow import parse_parameters
from tests.kubeflow import loopback, submissions
from tests.kubeflow.submissions import SPEC, build_settings

API = "/pipeline/apis/v2beta1"
TOKEN = "open sesame"  # noqa: S105 - nobody's


@dataclass
class Endpoint:
    """Answers as the API server of Kubeflow Pipelines does, below /pipeline."""

    token: str = ""
    """Wanted, if given."""
    refusal: tuple[int, object] | None = None
    """Status and body for what creates something, instead of an answer."""
    multi_user: bool = False
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    recurring: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, request: loopback.Request) -> tuple[int, object]:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"error": "Unauthenticated", "code": 16, "message": "Request header error: no user identity"}
        match request.method, request.path:
            case "GET", path if path == f"{API}/healthz":
                return 200, {"multi_user": self.multi_user}
            case "GET", path if path == f"{API}/experiments":
                wanted = json.loads(request.query["filter"])["predicates"][0]["stringValue"]
                found = [each for each in self.experiments if each["display_name"] == wanted]
                return 200, {"experiments": found} if found else {}
            case "POST", _ if self.refusal:
                return self.refusal
            case "POST", path if path == f"{API}/experiments":
                self.experiments.append({**request.body, "experiment_id": f"e{len(self.experiments)}"})
                return 200, self.experiments[-1]
            case "POST", path if path == f"{API}/runs":
                self.runs.append(request.body)
                return 200, request.body | {"run_id": "r-1"}
            case "POST", path if path == f"{API}/recurringruns":
                self.recurring.append(request.body)
                return 200, request.body | {"recurring_run_id": "s-1"}
        return 404, {"error": "Not Found", "code": 5, "message": f"{request.method} {request.path}"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the settings that the SDK looks for on this machine."""
    from kfp.client import Client

    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("ATELIER_KFP_TOKEN", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_ENDPOINT", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def server(endpoint: Endpoint) -> Iterator[loopback.Server]:
    with loopback.serve(endpoint.answer) as listening:
        yield listening


def start(server: loopback.Server, *parameters: str, **kubeflow: object) -> tuple[str, str]:
    given = {"target": "kfp", "endpoint": f"{server.url}/pipeline", "service_account": "runner", "labels": {}}
    return submit.submit(build_settings(**given | kubeflow), parse_parameters(parameters), submissions.compile_small)


def catch_error(server: loopback.Server, **kubeflow: object) -> str:
    with pytest.raises(KubeflowError) as caught:
        start(server, **kubeflow)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run(endpoint, server, capfd):
    name, url = start(server, "min_accuracy=0.95", "steps=20")
    (run,) = endpoint.runs
    assert run["display_name"] == name
    assert run["pipeline_spec"] == SPEC
    assert run["runtime_config"] == {
        "parameters": {"min_accuracy": 0.95, "steps": 20},
        "pipeline_root": "gs://bucket/atelier/pipeline_root",
    }
    assert run["service_account"] == "runner"
    assert [(each["display_name"], each["experiment_id"]) for each in endpoint.experiments] == [("photos", "e0")]
    assert run["experiment_id"] == "e0"
    assert url == f"{server.url}/pipeline/#/runs/details/r-1"
    assert capfd.readouterr() == ("", "")


def test_the_next_run_joins_the_experiment(endpoint, server):
    start(server)
    start(server)
    assert len(endpoint.experiments) == 1
    assert [run["experiment_id"] for run in endpoint.runs] == ["e0", "e0"]


def test_caching_switched_off_reaches_the_endpoint(endpoint, server):
    start(server, caching=False)
    tasks = endpoint.runs[0]["pipeline_spec"]["root"]["dag"]["tasks"]
    # An option that is false is left out, as protobuf's JSON does.
    assert [task["cachingOptions"] for task in tasks.values()] == [{}, {}]


def test_labels_go_to_the_pods(endpoint, server):
    start(server, labels={"team": "vision"})
    sent = endpoint.runs[0]["pipeline_spec"]
    assert sent["pipeline_spec"] == SPEC
    executors = sent["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors == {"Gen_executor": {"podMetadata": {"labels": {"team": "vision"}}}}


def test_a_schedule(endpoint, server):
    name, url = start(server, "min_accuracy=0.95", schedule="0 3 * * 1", labels={"team": "vision"})
    (recurring,) = endpoint.recurring
    assert endpoint.runs == []
    assert recurring["display_name"] == name
    assert recurring["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert recurring["mode"] == "ENABLE"
    assert recurring["max_concurrency"] == 1
    assert recurring["no_catchup"] is True
    assert recurring["experiment_id"] == "e0"
    assert recurring["runtime_config"]["parameters"] == {"min_accuracy": 0.95}
    assert recurring["pipeline_spec"]["pipeline_spec"] == SPEC
    assert recurring["service_account"] == "runner"
    assert url == f"{server.url}/pipeline/#/recurringrun/details/s-1"


def test_a_namespace(endpoint, server):
    endpoint.multi_user = True
    start(server, namespace="vision")
    assert endpoint.experiments[0]["namespace"] == "vision"
    assert {request.query["namespace"] for request in server.requests if "namespace" in request.query} == {"vision"}


@pytest.mark.parametrize("source", ["variable", "file"])
def test_a_token_opens(endpoint, server, monkeypatch, tmp_path, source):
    endpoint.token = TOKEN
    file = tmp_path / "token"
    file.write_text(TOKEN)
    if source == "file":
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    else:
        monkeypatch.setenv("ATELIER_KFP_TOKEN", TOKEN)
    start(server)
    assert len(endpoint.runs) == 1


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_is_compiled(endpoint, server, monkeypatch, token):
    endpoint.token = TOKEN
    monkeypatch.setenv("ATELIER_KFP_TOKEN", token)
    given = {"target": "kfp", "endpoint": f"{server.url}/pipeline", "service_account": "runner", "labels": {}}
    with pytest.raises(KubeflowError) as caught:
        submit.submit(build_settings(**given), {}, lambda *_: pytest.fail("compiled"))
    message = str(caught.value)
    assert message.startswith(f"Kubeflow Pipelines at {server.url}/pipeline wants credentials (401): ")
    assert "ATELIER_KFP_TOKEN" in message
    assert len(server.requests) == 1


def test_a_token_file_that_is_not_there(server, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "/nowhere/token")
    message = catch_error(server)
    assert message.startswith("/nowhere/token: No such file or directory")
    assert "KF_PIPELINES_SA_TOKEN_PATH" in message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {"message": "User 'a' is not\nauthorized"}), ["403: User 'a' is not authorized", "ATELIER_KFP_TOKEN"]),
        ((404, b"<html>gone</html>"), ["404", "check kubeflow.endpoint"]),
        ((400, {"error_message": "unknown template format"}), ["refused (400): unknown template format"]),
        ((503, b"no healthy upstream"), ["refused (503): Service Unavailable"]),
    ],
)
@pytest.mark.parametrize("schedule", ["", "0 3 * * 1"])
def test_a_rejection_by_the_endpoint_is_one_line(endpoint, server, answer, words, schedule):
    endpoint.refusal = answer
    message = catch_error(server, schedule=schedule)
    for word in words:
        assert word in message


def test_a_page_to_log_in_is_no_answer():
    with loopback.serve(lambda _: (200, b"<html>Log in</html>")) as server:
        assert "answered, but not as Kubeflow Pipelines does" in catch_error(server)


def test_nobody_answers():
    message = catch_error(loopback.Server("http://127.0.0.1:9"))
    assert message.startswith("Kubeflow Pipelines cannot be reached at http://127.0.0.1:9/pipeline")
    assert "kubeflow.endpoint" in message


def test_invalid_parameters_are_not_sent(endpoint, server):
    with pytest.raises(KubeflowError, match="parameter steps: 'ten' is not an integer"):
        start(server, "steps=ten")
    assert not server.list_requests("POST")


@pytest.mark.slow
def test_the_command_sends_what_the_compiler_wrote(endpoint, server, capfd):
    from kubeflow import compile as compiler
    from pipeline.config import config

    changes = ["kubeflow.target=kfp", f"kubeflow.endpoint={server.url}/pipeline", "kubeflow.nodes={}", "beam={}"]
    changes.append("kubeflow.service_account=runner")
    arguments = [word for change in changes for word in ("--set", change)]
    command = ["kubeflow", "submit", "--config", "configs/vertex.yaml", *arguments]
    assert cli.main([*command, "--parameter", "min_accuracy=0.95"]) == 0
    (run,) = endpoint.runs
    lines = capfd.readouterr().out.splitlines()
    assert re.fullmatch(rf"vertex-\d{{8}}-\d{{6}}-[0-9a-f]{{4}}: runs on {server.url}/pipeline", lines[-2])
    assert lines[-1] == f"{server.url}/pipeline/#/runs/details/r-1"
    compiled = compiler.build_pipeline_job(config.load("configs/vertex.yaml", changes))["pipelineSpec"]
    assert run["pipeline_spec"]["pipeline_spec"] == compiled
    pods = run["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    containers = {n for n, executor in compiled["deploymentSpec"]["executors"].items() if "container" in executor}
    assert set(pods) == containers
    assert all(pod["podMetadata"]["labels"] == {"team": "vision"} for pod in pods.values())
