"""What is refused before TFX is even loaded, each time with the key and the remedy."""

import sys

import pytest

from atelier.errors import KubeflowError
from kubeflow import compile as compiler
from pipeline.config import config
from pipeline.config.sections.kubeflow import Kubeflow, Resources
from tests.kubeflow.readable import load_settings


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("kubeflow.root=''", "kubeflow.root is missing: .*gs://BUCKET"),
        ("kubeflow.image=''", "kubeflow.image is missing: .*atelier kubeflow image"),
        ("kubeflow.project=''", "kubeflow.project is missing: .*training job"),
        ("data.source=''", "data.source is missing"),
        ("data.source=mnist", "data.source is mnist, .*atelier ingest --source mnist"),
        (
            "kubeflow.nodes.Transform.machine_type=n1-standard-4",
            r"kubeflow.nodes.Transform.machine_type: only Trainer and Tuner",
        ),
        ("kubeflow.target=kfp", r"kubeflow.nodes.Trainer.machine_type: only Trainer and Tuner on Vertex AI"),
    ],
)
def test_what_the_cluster_needs_is_asked_for(override, message):
    before = "tfx" in sys.modules
    with pytest.raises(KubeflowError, match=message):
        compiler.build_pipeline_job(load_settings("vertex", override))
    assert ("tfx" in sys.modules) is before


@pytest.mark.parametrize("name", ["pipeline.txt", "pipeline", "pipeline.json.gz"])
def test_the_ending_says_what_is_written(tmp_path, name):
    with pytest.raises(KubeflowError, match=r"ends in \.json, \.yaml, \.yml"):
        compiler.compile_pipeline(load_settings("vertex"), tmp_path / name)


@pytest.mark.parametrize("target", ["gke", "local", ""])
def test_targets(target):
    with pytest.raises(config.ConfigError, match=r"kubeflow\.target"):
        load_settings("vertex", f"kubeflow.target={target!r}")


def test_a_training_job_as_vertex_ai_wants_it():
    pool = {
        "machine_spec": {"machine_type": "a2", "accelerator_type": "A100", "accelerator_count": 2},
        "replica_count": 1,
        "container_spec": {"image_uri": "image:1"},
    }
    nodes = {"Trainer": Resources(machine_type="a2", accelerator="A100", accelerators=2)}
    assert compiler.build_vertex_job(Kubeflow(image="image:1", project="p", region="r", nodes=nodes), "Trainer") == {
        "ai_platform_enable_vertex": True,
        "ai_platform_vertex_region": "r",
        "ai_platform_training_args": {"project": "p", "job_spec": {"worker_pool_specs": [pool]}},
    }
    assert compiler.build_vertex_job(Kubeflow(nodes={"Trainer": Resources(cpu=4)}), "Trainer") is None


def test_several_machines_search_on_vertex_ai_only():
    overrides = ("tuner={enabled: true, parallel_trials: 3}", "kubeflow.nodes={Tuner: {cpu: 4}}")
    with pytest.raises(KubeflowError, match=r"tuner\.parallel_trials is 3: only Vertex AI .* kubeflow\.nodes\.Tuner"):
        compiler.build_pipeline_job(load_settings("vertex", *overrides))
