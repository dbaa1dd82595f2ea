"""What the tests of `submit` share: a configuration, and a small pipeline as the compiler would write it."""

import json
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import config

SPEC: dict[str, Any] = {
    "schemaVersion": "2.1.0",
    "sdkVersion": "tfx-1.21.0",
    "pipelineInfo": {"name": "photos"},
    "defaultPipelineRoot": "gs://bucket/atelier",
    "root": {
        "inputDefinitions": {
            "parameters": {
                "min_accuracy": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.85, "isOptional": True},
                "steps": {"parameterType": "NUMBER_INTEGER", "defaultValue": 10, "isOptional": True},
                "data_root": {"parameterType": "STRING", "defaultValue": "gs://bucket/data", "isOptional": True},
            }
        },
        "dag": {
            "tasks": {
                "Gen": {
                    "taskInfo": {"name": "Gen"},
                    "componentRef": {"name": "Gen"},
                    "inputs": {"parameters": {"where": {"componentInputParameter": "data_root"}}},
                    "cachingOptions": {"enableCache": True},
                },
                "Schema": {
                    "taskInfo": {"name": "Schema"},
                    "componentRef": {"name": "Schema"},
                    "inputs": {"parameters": {"uri": {"componentInputParameter": "data_root"}}},
                },
            }
        },
    },
    "components": {
        "Gen": {
            "executorLabel": "Gen_executor",
            "inputDefinitions": {"parameters": {"where": {"parameterType": "STRING"}}},
        },
        "Schema": {
            "executorLabel": "Schema_executor",
            "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
            "outputDefinitions": {"artifacts": {"result": {"artifactType": {"schemaTitle": "system.Artifact"}}}},
        },
    },
    "deploymentSpec": {
        "executors": {
            "Gen_executor": {"container": {"image": "r.example/atelier:1", "command": ["python"], "args": ["{{$}}"]}},
            "Schema_executor": {
                "importer": {
                    "artifactUri": {"runtimeParameter": "uri"},
                    "typeSchema": {"schemaTitle": "system.Artifact"},
                }
            },
        }
    },
}
JOB: dict[str, Any] = {
    "displayName": "photos",
    "labels": {"tfx_version": "1-21-0"},
    "pipelineSpec": SPEC,
    "runtimeConfig": {"gcsOutputDirectory": "gs://bucket/elsewhere"},
}


def compile_small(configuration: config.Config, output: Path) -> None:
    """In place of `kubeflow.compile.compile_pipeline`."""
    output.write_text(json.dumps(JOB) if output.suffix == ".json" else yaml.safe_dump(SPEC))


def build_settings(**kubeflow: object) -> config.Config:
    """A configuration that lacks nothing for Vertex AI, with changes to its section `kubeflow`."""
    given = {
        "image": "r.example/atelier:1",
        "root": "gs://bucket/atelier",
        "project": "my-project",
        "region": "europe-west4",
        "service_account": "nodes@my-project.iam.gserviceaccount.com",
        "labels": {"team": "vision", "cost-centre": "42"},
    }
    gates = {"min_accuracy": 0.8, "max_accuracy_drop": 0.01}
    return config.Config.model_validate({"name": "photos", "evaluator": gates, "kubeflow": {**given, **kubeflow}})
