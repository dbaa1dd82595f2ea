"""The work of Evaluator."""

from typing import Any

from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.utils import proto_utils

from components.evaluator.thresholds import apply_thresholds

MIN_ACCURACY = "min_accuracy"
MAX_ACCURACY_DROP = "max_accuracy_drop"

_EVAL_CONFIG = "eval_config"


class Executor(tfx_evaluator.Executor):
    """Puts the two thresholds into the evaluation's configuration, then runs TFX's Evaluator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates; see TFX's Evaluator for the arguments.

        Raises:
          ValueError: a threshold is not within 0 to 1, as one may be that was given when the pipeline was started.
        """
        given = {name: exec_properties[name] for name in (MIN_ACCURACY, MAX_ACCURACY_DROP)}
        for name, value in given.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}: expected 0 to 1")
        config = config_pb2.EvalConfig()
        proto_utils.json_to_proto(exec_properties[_EVAL_CONFIG], config)
        apply_thresholds(config, lower=given[MIN_ACCURACY], drop=given[MAX_ACCURACY_DROP])
        super().Do(input_dict, output_dict, {**exec_properties, _EVAL_CONFIG: proto_utils.proto_to_json(config)})
