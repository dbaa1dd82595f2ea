"""A gate as it really runs: TFX's Evaluator over predictions that are given by hand."""

import json

import pytest

from pipeline.beam import pipeline_options
from pipeline.config import config
from tests.pipeline.predictions import LABELS, SAVED_MODEL, TFLITE, probabilities


@pytest.fixture(scope="session")
def evaluate(tmp_path_factory):
    """Runs an EvalConfig over the predictions, or over the first few; gives a node of a finished run."""
    from tfx.components.evaluator import executor as tfx_evaluator
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import artifact_utils, standard_artifacts
    from tfx.utils import proto_utils

    from components.evaluator import executor as evaluator
    from components.tflite_exporter import materialized
    from pipeline.results.nodes import Node

    def run(eval_config, images=20, **thresholds):
        folder = tmp_path_factory.mktemp("evaluator")
        materialized.write(
            folder / "predictions" / "Split-test",
            LABELS[:images],
            {"int8": probabilities(TFLITE)[:images]},
            probabilities(SAVED_MODEL)[:images],
        )

        def artifact(kind, name):
            made = kind()
            made.uri = str(folder / name)
            return made

        examples = artifact(standard_artifacts.Examples, "predictions")
        examples.split_names = artifact_utils.encode_split_names(["test"])
        model = artifact(standard_artifacts.Model, "model")
        outputs = {
            "evaluation": artifact(standard_artifacts.ModelEvaluation, "evaluation"),
            "blessing": artifact(standard_artifacts.ModelBlessing, "blessing"),
        }
        context = BaseBeamExecutor.Context(
            beam_pipeline_args=list(pipeline_options.IN_MEMORY), tmp_dir=str(folder / "tmp"), unique_id="1"
        )
        executor_class = evaluator.Executor if thresholds else tfx_evaluator.Executor
        executor_class(context).Do(
            {"examples": [examples], "model": [model], "baseline_model": [model]},
            {name: [made] for name, made in outputs.items()},
            {
                "eval_config": proto_utils.proto_to_json(eval_config),
                "example_splits": json.dumps(["test"]),
                "fairness_indicator_thresholds": "null",
                **thresholds,
            },
        )
        return Node("complete", 1.0, outputs)

    return run


@pytest.fixture(scope="session")
def saved_model_gate():
    """The SavedModel's gate, set upon the predictions: what TFLite predicted against what the SavedModel did."""
    from components.evaluator import gates

    def build(settings):
        eval_config = gates.build_saved_model_gate(
            **settings.model_dump(), label_key="label", text_labels=False, class_count=3
        )
        del eval_config.model_specs[:]
        eval_config.model_specs.extend(
            gates.build_tflite_gate(
                "int8", max_accuracy_drop=0, max_slice_accuracy_drop=0, max_disagreement=0, agreement_code=""
            ).model_specs
        )
        return eval_config

    return build


@pytest.fixture(scope="session")
def passed_evaluation(evaluate, saved_model_gate):
    """An Evaluator node whose model met both bounds exactly, and had a class below them."""
    settings = config.Evaluator(min_accuracy=0.85, max_accuracy_drop=0.1, top_k=2, slices=("label", "image/format"))
    return evaluate(saved_model_gate(settings))
