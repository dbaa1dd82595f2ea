"""What is looked at before anything is sent, and what is made for sending."""

import copy
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from atelier.errors import KubeflowError
from kubeflow.submit import submit
from tests.kubeflow import submissions
from tests.kubeflow.submissions import JOB, SPEC, build_settings

ROOT = Path(__file__).parents[3]
KFP = {"target": "kfp", "endpoint": "https://host/pipeline", "service_account": "runner"}


def catch_error(**kubeflow: object) -> str:
    with pytest.raises(KubeflowError) as caught:
        submit.check(build_settings(**kubeflow))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", ["image", "root", "project", "region"])
def test_what_vertex_lacks_is_named(key):
    assert catch_error(**{key: ""}).startswith(f"kubeflow.{key} is missing: ")
    assert f"--set kubeflow.{key}=" in catch_error(**{key: ""})


@pytest.mark.parametrize("key", ["image", "root", "endpoint"])
def test_what_kfp_lacks_is_named(key):
    assert catch_error(**KFP | {key: ""}).startswith(f"kubeflow.{key} is missing: ")


def test_kfp_needs_no_project_and_takes_any_root():
    submit.check(build_settings(**KFP, project="", root="s3://bucket/atelier"))


def test_nothing_is_compiled_when_something_is_missing():
    with pytest.raises(KubeflowError, match=r"^kubeflow\.project is missing"):
        submit.submit(build_settings(project=""), {}, lambda *_: pytest.fail("compiled"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"root": "/data"}, "kubeflow.root is /data: Vertex AI needs a folder in a bucket"),
        ({"region": "evil.example/#"}, "kubeflow.region is 'evil.example/#'"),
        (KFP | {"endpoint": "host/pipeline"}, "kubeflow.endpoint is host/pipeline: expected a URL"),
    ],
)
def test_invalid_values_are_rejected(change, message):
    assert catch_error(**change).startswith(message)


@pytest.mark.parametrize("labels", [{"a": ""}, {"a-b_9": "x" * 63}, {"équipe": "été"}, {}])
def test_labels_that_google_takes(labels):
    submit.check(build_settings(labels=labels))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"Team": "a"}, "kubeflow.labels.Team: a label's name"),
        ({"9": "a"}, "kubeflow.labels.9: a label's name"),
        ({"": "a"}, "kubeflow.labels.: a label's name"),
        ({"a" * 64: "a"}, f"kubeflow.labels.{'a' * 64}: a label's name"),
        ({"a.b": "a"}, "kubeflow.labels.a.b: a label's name"),
        ({"team": "Vision"}, "kubeflow.labels.team is 'Vision'"),
        ({"team": "a b"}, "kubeflow.labels.team is 'a b'"),
        ({"team": "x" * 64}, "kubeflow.labels.team is 'xxx"),
        ({f"l{number}": "" for number in range(65)}, "kubeflow.labels: 65 labels"),
    ],
)
def test_labels_that_google_rejects(labels, message):
    assert catch_error(labels=labels).startswith(message)


@pytest.mark.parametrize("labels", [{"team": "vision-"}, {"team_": "a"}, {"équipe": "a"}])
def test_labels_that_pods_cannot_have(labels):
    submit.check(build_settings(labels=labels))
    assert "labels pods" in catch_error(**KFP, labels=labels)


@pytest.mark.parametrize("cron", ["0 3 * * 1", "*/15 0-6,12 1 JAN MON-FRI", "TZ=Europe/Paris 0 3 * * 1"])
def test_valid_schedules_are_accepted(cron):
    submit.check(build_settings(schedule=cron))


@pytest.mark.parametrize(
    "cron", ["daily", "0 0 3 * * 1", "0 3 * *", "0 3 * * $", "Europe/Paris 0 3 * * 1", " ", "TZ=UTC"]
)
def test_invalid_schedules_are_rejected(cron):
    message = catch_error(schedule=cron)
    assert message.startswith(f"kubeflow.schedule is {cron!r}: ")
    assert "expected minute, hour" in message


def test_kfp_takes_no_time_zone():
    assert "TZ=UTC is for Vertex AI" in catch_error(**KFP, schedule="TZ=UTC 0 3 * * 1")


def test_the_job():
    job = submit.build_vertex_job(build_settings(), JOB, {"min_accuracy": 0.9}, "photos-1")
    assert job == {
        "displayName": "photos-1",
        "pipelineSpec": SPEC,
        "labels": {"tfx_version": "1-21-0", "team": "vision", "cost-centre": "42"},
        "runtimeConfig": {
            "gcsOutputDirectory": "gs://bucket/atelier/pipeline_root",
            "parameterValues": {"min_accuracy": 0.9},
        },
        "serviceAccount": "nodes@my-project.iam.gserviceaccount.com",
    }


def test_defaults_of_the_run_are_kept_beside_what_is_given():
    compiled = JOB | {"runtimeConfig": {"parameterValues": {"min_accuracy": 0.5, "steps": 3}}}
    job = submit.build_vertex_job(build_settings(), compiled, {"min_accuracy": 0.9}, "photos-1")
    assert job["runtimeConfig"]["parameterValues"] == {"min_accuracy": 0.9, "steps": 3}


def test_the_default_service_account_is_left_to_google():
    assert "serviceAccount" not in submit.build_vertex_job(build_settings(service_account=""), JOB, {}, "photos-1")


def test_caching_off_holds_for_every_task_and_leaves_what_was_compiled():
    before = copy.deepcopy(JOB)
    tasks = submit.build_vertex_job(build_settings(caching=False), JOB, {}, "p")["pipelineSpec"]["root"]["dag"]["tasks"]
    assert [task["cachingOptions"] for task in tasks.values()] == [{"enableCache": False}] * 2
    assert before == JOB


def test_caching_on_turns_none_on_that_was_compiled_without():
    compiled = copy.deepcopy(JOB)
    compiled["pipelineSpec"]["root"]["dag"]["tasks"]["Gen"]["cachingOptions"] = {"enableCache": False}
    job = submit.build_vertex_job(build_settings(caching=True), compiled, {}, "p")
    assert job["pipelineSpec"] == compiled["pipelineSpec"]


def test_pods_of_container_steps_get_the_labels(tmp_path):
    from kfp.client import client
    from kfp.pipeline_spec import pipeline_spec_pb2

    package = tmp_path / "pipeline.yaml"
    submissions.compile_small(build_settings(), package)
    submit.add_pod_labels(package, {"team": "vision"})
    spec, platform = yaml.safe_load_all(package.read_text())
    assert spec == SPEC
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors == {"Gen_executor": {"podMetadata": {"labels": {"team": "vision"}}}}
    read = client._extract_pipeline_yaml(str(package))
    assert read.platform_spec != pipeline_spec_pb2.PlatformSpec()


def test_labels_join_what_the_platform_is_told_already(tmp_path):
    package = tmp_path / "pipeline.yaml"
    told = {"podMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"Gen_executor": told}}}}}
    package.write_text(yaml.safe_dump_all([SPEC, platform]))
    submit.add_pod_labels(package, {"team": "vision"})
    _, after = yaml.safe_load_all(package.read_text())
    pod = after["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["Gen_executor"]["podMetadata"]
    assert pod == {"labels": {"a": "b", "team": "vision"}, "annotations": {"c": "d"}}


def test_without_labels_the_package_stays_as_it_is(tmp_path):
    package = tmp_path / "pipeline.yaml"
    package.write_text("# as compiled")
    submit.add_pod_labels(package, {})
    assert package.read_text() == "# as compiled"


def test_nothing_heavy_is_loaded_before_it_is_needed():
    code = (
        "import sys, kubeflow.image.build\n"
        "from kubeflow.submit import kfp_endpoint, submit, vertex\n"
        "print(*{'tensorflow', 'tfx', 'kfp', 'google.auth', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_names_of_runs_differ_and_are_valid_ids(monkeypatch):
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2026, 11, 24, 3, 4, 5, 1, 328, 0)))
    names = {submit._make_name("photos") for _ in range(50)}
    assert len(names) > 45
    assert all(re.fullmatch("photos-20261124-030405-[0-9a-f]{4}", name) for name in names)
