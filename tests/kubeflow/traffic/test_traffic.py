"""The traffic split of an endpoint, seen by a stand-in of Vertex AI's REST API; Google's libraries are real."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf import json_format

from pipeline import cli
from tests.deferred import deferred_imports
from tests.kubeflow import google_account, loopback
from tests.kubeflow.google_account import build_error

with deferred_imports():
    from google.cloud.aiplatform_v1.types import Endpoint

PATH = "/v1/projects/my-project/locations/europe-west4/endpoints/456"
RESOURCE = "projects/1234/locations/europe-west4/endpoints/456"
"""Google answers with the project's number."""
MODEL = "projects/1234/locations/europe-west4/models/99"
OLD, NEW = "11 (version 1, photos)", "12 (version 2, photos-next)"


@dataclass
class Vertex:
    """An endpoint with two deployed models, which answers those who say who they are."""

    public_key: bytes
    split: dict[str, int] = field(default_factory=lambda: {"11": 100})
    models: list[tuple[str, str, str]] = field(
        default_factory=lambda: [("11", "1", "photos"), ("12", "2", "photos-next")]
    )
    etag: int = 1
    refusal: tuple[int, object] | None = None
    """The answer to a change, which is not made."""
    answer_lost: bool = False
    """A change is made, but the answer to it and to all later requests is an error."""

    def answer(self, request: loopback.Request) -> tuple[int, object]:
        if stranger := google_account.reject_stranger(request, self.public_key):
            return stranger
        if request.path != PATH:
            return build_error(404, "NOT_FOUND", f"{request.path} is not found")
        if request.method == "PATCH":
            return self._change(request)
        if self.answer_lost and self.etag > 1:
            return build_error(503, "UNAVAILABLE", "try later")
        return 200, self._describe()

    def _change(self, request: loopback.Request) -> tuple[int, object]:
        if self.refusal:
            return self.refusal
        endpoint = Endpoint()
        json_format.ParseDict(request.body, Endpoint.pb(endpoint))
        assert request.query["updateMask"] == "trafficSplit"
        if endpoint.etag != str(self.etag):
            return build_error(409, "ABORTED", "etag mismatch")
        split = dict(endpoint.traffic_split)
        if sum(split.values()) != 100 or not split.keys() <= {id_ for id_, _, _ in self.models}:
            return build_error(400, "INVALID_ARGUMENT", f"bad split {split}")
        self.split, self.etag = split, self.etag + 1
        return build_error(500, "INTERNAL", "lost") if self.answer_lost else (200, self._describe())

    def _describe(self) -> dict[str, object]:
        deployed = [
            {"id": id_, "model": MODEL, "modelVersionId": version, "displayName": name}
            for id_, version, name in self.models
        ]
        return {"name": RESOURCE, "deployedModels": deployed, "trafficSplit": self.split, "etag": str(self.etag)}


@pytest.fixture
def vertex(keys: rsa.RSAPrivateKey, key_file: Path) -> Vertex:
    return Vertex(google_account.encode_public_key(keys))


@pytest.fixture
def server(vertex: Vertex) -> Iterator[loopback.Server]:
    with loopback.serve(vertex.answer) as listening:
        yield listening


@pytest.fixture
def traffic(server, tmp_path, capfd):
    """Calls the command: exit code, what it printed, what it said on standard error."""

    def call(*words: str, endpoint: str = "456", **kubeflow: str) -> tuple[int, str, str]:
        values = {"api_endpoint": server.url, **kubeflow}
        settings = [word for key, value in values.items() for word in ("--set", f"kubeflow.{key}={value}")]
        where = ["--config", "configs/vertex.yaml", "--endpoint", endpoint, "--history", str(tmp_path / "log.jsonl")]
        code = cli.main(["kubeflow", "traffic", *where, *settings, *words])
        said = capfd.readouterr()
        assert code == 2 or said.err.count("\n") <= 2, said.err
        return code, said.out, said.err

    return call


@pytest.fixture
def log(tmp_path):
    def read() -> list[dict[str, object]]:
        return [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]

    return read


def test_a_change_and_the_way_back(vertex, server, traffic, log):
    code, out, err = traffic("--share", "1=90", "--share", "photos-next=10", "--why", "first canary")
    assert (code, err) == (0, "")
    assert vertex.split == {"11": 90, "12": 10}
    assert out.splitlines() == [
        f"before: {OLD} 100 %",
        f"now: {OLD} 90 %, {NEW} 10 %",
        "to go back: --share id:11=100",
        "https://console.cloud.google.com/vertex-ai/locations/europe-west4/endpoints/456?project=my-project",
    ]
    (sent,) = [request.body for request in server.requests if request.method == "PATCH"]
    assert sent == {"trafficSplit": {"11": 90, "12": 10}, "etag": "1"}  # nothing else is replaced

    intent, outcome = log()
    assert (intent["before"], intent["after"], intent["why"]) == ({"11": 100}, {"11": 90, "12": 10}, "first canary")
    assert (intent["endpoint"], outcome["outcome"]) == (RESOURCE, "done")
    assert all("@" in record["who"] and record["when"].endswith("+00:00") for record in (intent, outcome))

    assert traffic("--share", "id:11=100")[0] == 0
    assert vertex.split == {"11": 100}


def test_without_shares_it_shows_and_changes_nothing(vertex, server, traffic):
    traffic("--share", "1=90", "--share", "2=10", "--why", "first canary")
    code, out, _ = traffic()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert rows == [["11", "1", "photos", MODEL, "90 %"], ["12", "2", "photos-next", MODEL, "10 %"]]
    assert "first canary" in out
    assert code == 0
    assert len(server.list_requests("PATCH")) == 1


def test_the_log_lies_in_the_output_folder(vertex, server, tmp_path, monkeypatch):
    from kubeflow.traffic import shares, traffic
    from tests.kubeflow import submissions

    monkeypatch.chdir(tmp_path)
    settings = submissions.build_settings(api_endpoint=server.url)
    found = traffic.Traffic(
        settings, "projects/1234/locations/europe-west4/endpoints/456".replace("1234", "my-project")
    )
    found.change(shares.parse_shares(["2=100"]), "")
    assert (tmp_path / "output/photos/endpoint-456.history.jsonl").is_file()


@pytest.mark.parametrize("name", ["12", "id:12", "2", "photos-next"])
def test_a_deployed_model_has_three_names(vertex, traffic, name):
    assert traffic("--share", f"{name}=100")[0] == 0
    assert vertex.split == {"12": 100}


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (["1=90"], ["add up to 90", "expected 100"]),
        (["1=60", "2=60"], ["add up to 120"]),
        (["1=0.9", "2=0.1"], ["--share 1=0.9", "did you mean 90?"]),
        (["1=.05", "2=95"], ["did you mean 5?"]),
        (["1=90%", "2=10"], ["'90%' is not a whole percent"]),
        (["1=-1", "2=101"], ["'-1' is not a whole percent from 0 to 100"]),
        (["1=101"], ["'101' is not a whole percent"]),
        (["1=１００"], ["is not a whole percent"]),
        (["1="], ["'' is not a whole percent"]),
        (["=100"], ["--share =100: expected NAME=PERCENT"]),
        (["100"], ["--share 100: expected NAME=PERCENT"]),
    ],
)
def test_invalid_shares_are_rejected_before_any_call(server, traffic, shares, words):
    code, out, err = traffic(*(word for share in shares for word in ("--share", share)))
    assert (code, out) == (1, "")
    assert all(word in err for word in words), err
    assert server.requests == []


def test_a_name_that_is_not_deployed_is_answered_with_those_that_are(vertex, server, traffic):
    code, _, err = traffic("--share", "3=100")
    assert code == 1
    assert f"{RESOURCE} has no such deployed model; deployed are: {OLD}; {NEW}" in err
    assert "no such deployed model" in traffic("--share", "id:2=100")[2]
    assert server.list_requests("PATCH") == []


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (
            [("1", "2", "a"), ("2", "1", "b")],
            ["the version of 1 (version 2, a) and the ID of 2 (version 1, b)", "id:1"],
        ),
        (
            [("11", "2", "a"), ("12", "2", "b")],
            ["the version of 11 (version 2, a) and the version of 12 (version 2, b)"],
        ),
        ([("11", "1", "2"), ("12", "2", "b")], ["the display name of 11", "the version of 12"]),
    ],
)
def test_a_name_of_two_deployed_models_is_reported_with_both(vertex, server, traffic, models, words):
    vertex.models = models
    code, _, err = traffic("--share", "2=100")
    assert code == 1
    assert all(word in err for word in words), err
    assert server.list_requests("PATCH") == []
    assert traffic("--share", f"id:{models[1][0]}=100")[0] == 0


def test_one_deployed_model_named_twice(server, traffic):
    code, _, err = traffic("--share", "2=40", "--share", "photos-next=60")
    assert code == 1
    assert f"--share 2 and --share photos-next both stand for {NEW}" in err
    assert server.list_requests("PATCH") == []


def test_a_split_that_is_there_already(server, traffic):
    code, _, err = traffic("--share", "1=100", "--share", "2=0")
    assert code == 1
    assert "nothing was changed" in err
    assert server.list_requests("PATCH") == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (build_error(403, "PERMISSION_DENIED", "no"), ["aiplatform.endpoints.update"]),
        (build_error(400, "INVALID_ARGUMENT", "bad\nsplit"), ["bad split"]),
        (build_error(409, "ABORTED", "etag"), ["somebody else has changed the endpoint"]),
        (build_error(500, "INTERNAL", "oh"), ["oh"]),
        ((200, b"<html>log in</html>"), ["not as Vertex AI does"]),
    ],
)
def test_a_failed_change_leaves_the_old_split_and_says_so(vertex, traffic, log, refusal, words):
    vertex.refusal = refusal
    code, out, err = traffic("--share", "2=100")
    assert (code, out, vertex.split) == (1, "", {"11": 100})
    assert f"the split is as before: {OLD} 100 %" in err
    assert all(word in err for word in words), err
    outcome = log()[-1]
    assert outcome["outcome"] == "failed"
    assert "as before" in outcome["reason"]
    assert traffic()[2] == ""  # nothing to settle


def test_an_answer_that_is_lost_is_found_out_by_the_next_call(vertex, traffic, log):
    vertex.answer_lost = True
    code, _, err = traffic("--share", "2=100")
    assert code == 1
    assert f"whether the split changed is not known: it was {OLD} 100 % and may be {NEW} 100 %" in err
    vertex.answer_lost = False
    code, _, err = traffic()
    assert code == 0
    assert "was not ended" in err
    assert "the new split" in err
    assert [record.get("outcome") for record in log()] == [None, "done"]


@pytest.mark.parametrize(
    ("split", "outcome", "words"),
    [
        ({"11": 90, "12": 10}, "done", "the new split"),
        ({"11": 100}, "undone", "the old split"),
        ({"12": 100}, "failed", f"neither split: {NEW} 100 %"),
    ],
)
def test_a_change_whose_process_was_killed_is_settled(vertex, traffic, log, tmp_path, split, outcome, words):
    traffic("--share", "1=90", "--share", "2=10")
    file = tmp_path / "log.jsonl"
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    vertex.split = split
    assert words in traffic()[2]
    assert log()[-1]["outcome"] == outcome


def test_a_change_is_not_begun_while_another_one_runs(server, traffic, tmp_path):
    import fcntl

    with (tmp_path / "log.jsonl").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        code, _, err = traffic("--share", "2=100")
    assert code == 1
    assert "another process" in err
    assert server.list_requests("PATCH") == []


@pytest.mark.parametrize(
    ("endpoint", "kubeflow", "words"),
    [
        ("my endpoint", {}, ["--endpoint my endpoint: expected an endpoint's ID"]),
        ("", {}, ["expected an endpoint's ID"]),
        (
            "projects/my-project/locations/us-central1/endpoints/4",
            {},
            ["us-central1", "kubeflow.region is europe-west4"],
        ),
        ("projects/other/locations/europe-west4/endpoints/4", {}, ["other", "kubeflow.project is my-project"]),
        ("456", {"project": ""}, ["kubeflow.project is missing"]),
        ("456", {"region": "Europe"}, ["kubeflow.region is 'Europe'"]),
        ("456", {"target": "kfp"}, ["kubeflow.target is kfp: only Vertex AI has endpoints"]),
    ],
)
def test_the_endpoint_is_checked_before_any_call(server, traffic, endpoint, kubeflow, words):
    code, _, err = traffic("--share", "2=100", endpoint=endpoint, **kubeflow)
    assert code == 1
    assert all(word in err for word in words), err
    assert server.requests == []


def test_an_endpoint_that_is_not_there(traffic):
    code, _, err = traffic(endpoint="457")
    assert code == 1
    assert "check --endpoint, kubeflow.project (my-project) and kubeflow.region (europe-west4)" in err


@pytest.mark.usefixtures("no_credentials")
def test_without_credentials(tmp_path, capfd):
    words = ["--config", "configs/vertex.yaml", "--endpoint", "456", "--history", str(tmp_path / "log.jsonl")]
    assert cli.main(["kubeflow", "traffic", *words]) == 1
    assert capfd.readouterr().err.startswith("atelier: no credentials for Google Cloud")


def test_a_reason_without_a_change_is_wrong_usage(traffic):
    assert traffic("--why", "because")[0] == 2
