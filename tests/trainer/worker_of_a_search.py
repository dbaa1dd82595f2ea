"""One machine of a distributed search, as Vertex AI starts it: TFX's own executor, told by CLUSTER_SPEC what it is.

Arguments: a JSON file with the artifacts' folders and `custom_config`, a folder for the results, a port, and the number
of the machine; number 0 also hands the trials out.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.extensions.google_cloud_ai_platform.tuner.executor import _WorkerExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils


def main(file: str, folder: str, port: str, number: str) -> None:
    told = json.loads(Path(file).read_text())
    inputs: dict[str, list[Any]] = {}
    for name, kind in (
        ("examples", standard_artifacts.Examples),
        ("transform_graph", standard_artifacts.TransformGraph),
        ("schema", standard_artifacts.Schema),
    ):
        artifact = kind()
        artifact.uri = told[name]
        inputs[name] = [artifact]
    inputs["examples"][0].split_names = artifact_utils.encode_split_names(["train", "eval"])
    examples_utils.set_payload_format(inputs["examples"][0], example_gen_pb2.FORMAT_TF_EXAMPLE)
    best, results = standard_artifacts.HyperParameters(), standard_artifacts.TunerResults()
    best.uri, results.uri = f"{folder}/best", f"{folder}/results"
    properties = {
        "tuner_fn": "trainer.tuner.tuner_fn",
        "train_args": "{}",
        "eval_args": "{}",
        "tune_args": '{"num_parallel_trials": 2}',
        "custom_config": json_utils.dumps(told["custom_config"]),
    }
    cluster = {"workerpool0": [f"127.0.0.1:{port}"], "workerpool1": ["127.0.0.1:1"]}  # nobody calls the second
    task = {"type": f"workerpool{number}", "index": 0}
    os.environ["CLUSTER_SPEC"] = json.dumps({"cluster": cluster, "task": task})
    executor = _WorkerExecutor(BaseExecutor.Context(tmp_dir=folder, unique_id=number))
    executor.Do(inputs, {"best_hyperparameters": [best], "tuner_results": [results]}, properties)


if __name__ == "__main__":
    main(*sys.argv[1:])
