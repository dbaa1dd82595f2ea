"""Submitting to Vertex AI, seen by a stand-in of its REST API; Google's libraries and credentials are real."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf import json_format

from atelier.errors import KubeflowError
from kubeflow.submit import submit
from pipeline import cli
from pipeline.commands.kubeflow import parse_parameters
from tests.deferred import deferred_imports
from tests.kubeflow import google_account, loopback, submissions
from tests.kubeflow.google_account import build_error
from tests.kubeflow.submissions import SPEC, build_settings

with deferred_imports():
    from google.cloud.aiplatform_v1.types import PipelineJob, Schedule

PARENT = "projects/my-project/locations/europe-west4"
RESOURCE = "projects/1234/locations/europe-west4"
"""Google answers with the project's number."""


@dataclass
class Vertex:
    """Answers as Vertex AI does, to those who say who they are, with messages that its own definition knows."""

    public_key: bytes
    refusal: tuple[int, str, str] | None = None
    """Status, its name and a message, instead of an answer."""
    jobs: dict[str, PipelineJob] = field(default_factory=dict)
    schedules: list[Schedule] = field(default_factory=list)

    def answer(self, request: loopback.Request) -> tuple[int, object]:
        if stranger := google_account.reject_stranger(request, self.public_key):
            return stranger
        if self.refusal:
            return build_error(*self.refusal)
        try:
            if (request.method, request.path) == ("POST", f"/v1/{PARENT}/pipelineJobs"):
                return self._create_job(request)
            if (request.method, request.path) == ("POST", f"/v1/{PARENT}/schedules"):
                return self._create_schedule(request)
        except json_format.ParseError as error:
            return build_error(400, "INVALID_ARGUMENT", str(error))
        return build_error(404, "NOT_FOUND", f"{request.method} {request.path}")

    def _create_job(self, request: loopback.Request) -> tuple[int, object]:
        job = PipelineJob()
        json_format.ParseDict(request.body, PipelineJob.pb(job))
        name = request.query["pipelineJobId"]
        if not re.fullmatch("[a-z][-a-z0-9]{0,127}", name):
            return build_error(400, "INVALID_ARGUMENT", f"pipelineJobId {name}")
        if name in self.jobs:
            return build_error(409, "ALREADY_EXISTS", f"{name} exists")
        self.jobs[name] = job
        return 200, request.body | {"name": f"{RESOURCE}/pipelineJobs/{name}", "createTime": "2026-11-24T03:00:00Z"}

    def _create_schedule(self, request: loopback.Request) -> tuple[int, object]:
        schedule = Schedule()
        json_format.ParseDict(request.body, Schedule.pb(schedule))
        self.schedules.append(schedule)
        return 200, request.body | {"name": f"{RESOURCE}/schedules/77", "nextRunTime": "2026-11-30T03:00:00Z"}


@pytest.fixture
def vertex(keys: rsa.RSAPrivateKey, key_file: Path) -> Vertex:
    return Vertex(google_account.encode_public_key(keys))


@pytest.fixture
def server(vertex: Vertex) -> Iterator[loopback.Server]:
    with loopback.serve(vertex.answer) as listening:
        yield listening


def start(server: loopback.Server, *parameters: str, **kubeflow: object) -> tuple[str, str]:
    configuration = build_settings(api_endpoint=server.url, **kubeflow)
    return submit.submit(configuration, parse_parameters(parameters), submissions.compile_small)


def catch_error(server: loopback.Server, *parameters: str, **kubeflow: object) -> str:
    with pytest.raises(KubeflowError) as caught:
        start(server, *parameters, **kubeflow)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run(vertex, server):
    name, url = start(server, "min_accuracy=0.95", "steps=20", "data_root=gs://bucket/more")

    assert list(vertex.jobs) == [name]
    job = vertex.jobs[name]
    assert job.display_name == name
    assert dict(job.labels) == {"team": "vision", "cost-centre": "42", "tfx_version": "1-21-0"}
    assert job.service_account == "nodes@my-project.iam.gserviceaccount.com"
    assert json_format.MessageToDict(PipelineJob.pb(job).pipeline_spec) == SPEC
    assert job.runtime_config.gcs_output_directory == "gs://bucket/atelier/pipeline_root"
    values = json_format.MessageToDict(PipelineJob.pb(job).runtime_config)["parameterValues"]
    assert values == {"min_accuracy": 0.95, "steps": 20, "data_root": "gs://bucket/more"}
    assert len(server.requests) == 1
    assert url == (
        f"https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/{name}?project=my-project"
    )


def test_caching_switched_off_reaches_vertex(vertex, server):
    name, _ = start(server, caching=False)
    spec = json_format.MessageToDict(PipelineJob.pb(vertex.jobs[name]).pipeline_spec)
    tasks = spec["root"]["dag"]["tasks"]
    assert {task["cachingOptions"]["enableCache"] for task in tasks.values()} == {False}
    assert {name: task for name, task in spec.items() if name != "root"} == {
        name: part for name, part in SPEC.items() if name != "root"
    }


def test_two_runs_are_two(vertex, server):
    names = {start(server)[0], start(server)[0]}
    assert set(vertex.jobs) == names
    assert len(names) == 2


def test_a_schedule(vertex, server):
    name, url = start(server, "min_accuracy=0.95", schedule="TZ=Europe/Paris 0 3 * * 1", caching=False)

    (schedule,) = vertex.schedules
    assert vertex.jobs == {}
    assert schedule.display_name == name
    assert schedule.cron == "TZ=Europe/Paris 0 3 * * 1"
    assert schedule.max_concurrent_run_count == 1
    request = schedule.create_pipeline_job_request
    assert request.parent == PARENT
    assert dict(request.pipeline_job.labels)["team"] == "vision"
    assert request.pipeline_job.service_account == "nodes@my-project.iam.gserviceaccount.com"
    sent = json_format.MessageToDict(Schedule.pb(schedule))["createPipelineJobRequest"]["pipelineJob"]
    assert sent["runtimeConfig"] == {
        "gcsOutputDirectory": "gs://bucket/atelier/pipeline_root",
        "parameterValues": {"min_accuracy": 0.95},
    }
    assert sent["pipelineSpec"]["root"]["dag"]["tasks"]["Gen"]["cachingOptions"] == {"enableCache": False}
    assert url == (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/schedules/77?project=my-project"
    )


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("min_accuracy", "--parameter min_accuracy: expected NAME=VALUE"),
        ("=1", "--parameter =1: expected NAME=VALUE"),
        ("min_acuracy=1", "parameter min_acuracy: the pipeline has no such parameter; it has data_root, min_accuracy"),
        ("min_accuracy=high", "parameter min_accuracy: 'high' is not a number"),
        ("min_accuracy=0_1", "parameter min_accuracy: '0_1' is not a number"),
        ("steps=1.5", "parameter steps: '1.5' is not an integer"),
    ],
)
def test_invalid_parameters_are_not_sent(server, parameter, message):
    assert catch_error(server, parameter).startswith(message)
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, "PERMISSION_DENIED", "Permission 'x' denied"), ["Permission 'x' denied", "roles/aiplatform.user"]),
        ((404, "NOT_FOUND", "no such project"), ["no such project", "kubeflow.project (my-project)"]),
        ((429, "RESOURCE_EXHAUSTED", "Quota exceeded\nfor jobs"), ["Quota exceeded for jobs", "ask for more quota"]),
        ((400, "INVALID_ARGUMENT", "bad image"), ["Vertex AI rejected the request", "bad image"]),
        ((401, "UNAUTHENTICATED", "Invalid credentials"), ["credentials", "gcloud auth application-default login"]),
        ((500, "INTERNAL", "Internal error"), ["Internal error"]),
    ],
)
@pytest.mark.parametrize("schedule", ["", "0 3 * * 1"])
def test_a_rejection_by_vertex_is_one_line(vertex, server, answer, words, schedule):
    vertex.refusal = answer
    message = catch_error(server, schedule=schedule)
    for word in words:
        assert word in message


def test_a_key_of_another_account_is_rejected(vertex, server):
    vertex.public_key = google_account.encode_public_key(google_account.make_keys())
    assert catch_error(server).startswith("Google rejected the credentials")


@pytest.mark.usefixtures("key_file")
def test_nobody_answers():
    message = catch_error(loopback.Server("http://127.0.0.1:9"))
    assert message.startswith("Vertex AI cannot be reached at http://127.0.0.1:9")
    assert "kubeflow.region" in message


@pytest.mark.usefixtures("no_credentials")
def test_without_credentials_nothing_is_compiled():
    with pytest.raises(KubeflowError) as caught:
        submit.submit(build_settings(), {}, lambda *_: pytest.fail("compiled"))
    message = str(caught.value)
    assert message.startswith("no credentials for Google Cloud")
    assert "gcloud auth application-default login" in message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [None, "no JSON", '{"type": "service_account"}'])
def test_an_invalid_key_file_is_rejected(no_credentials, tmp_path, monkeypatch, content):
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(KubeflowError, match=r"^no credentials for Google Cloud .*key\.json"):
        submit.submit(build_settings(), {}, submissions.compile_small)


def run_command(server: loopback.Server, tmp_path: Path, *more: str) -> int:
    file = tmp_path / "config.yaml"
    file.write_text(Path("configs/vertex.yaml").read_text())
    endpoint = f"kubeflow.api_endpoint={server.url}"
    region = "kubeflow.region=europe-west4"
    return cli.main(["kubeflow", "submit", "--config", str(file), "--set", endpoint, "--set", region, *more])


@pytest.mark.slow
def test_the_command_sends_what_the_compiler_wrote(vertex, server, tmp_path, capfd):
    from kubeflow import compile as compiler
    from pipeline.config import config

    assert run_command(server, tmp_path, "--parameter", "min_accuracy=0.95") == 0
    (name,) = vertex.jobs
    lines = capfd.readouterr().out.splitlines()
    assert lines[-2] == f"{name}: runs on Vertex AI, project my-project, europe-west4"
    assert lines[-1].endswith(f"/locations/europe-west4/pipelines/runs/{name}?project=my-project")

    loaded = config.load("configs/vertex.yaml", ["kubeflow.region=europe-west4"])
    sent = PipelineJob.pb(vertex.jobs[name])
    assert json_format.MessageToDict(sent.pipeline_spec) == compiler.build_pipeline_job(loaded)["pipelineSpec"]
    assert dict(sent.labels)["team"] == "vision"
    assert json_format.MessageToDict(sent.runtime_config)["parameterValues"] == {"min_accuracy": 0.95}


@pytest.mark.usefixtures("no_credentials")
def test_the_command_without_credentials_says_one_line(tmp_path, capfd):
    assert run_command(loopback.Server("http://127.0.0.1:9"), tmp_path) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("atelier: no credentials for Google Cloud")
    assert said.err.count("\n") == 1
