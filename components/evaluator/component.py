"""Evaluator: TFX's, with the thresholds of its gate as parameters of their own."""

from typing import Any

from tfx import types
from tfx import v1 as tfx
from tfx.dsl.components.base import executor_spec
from tfx.orchestration import data_types

from components.evaluator import executor


class Evaluator(tfx.components.Evaluator):
    """TFX's Evaluator, whose value and change threshold can be set when a compiled pipeline is started.

    TFX's own takes them inside `eval_config` only, where a runtime parameter would have to hold all of it as JSON.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        example_splits: list[str],
        eval_config: Any,
        min_accuracy: float | data_types.RuntimeParameter,
        max_accuracy_drop: float | data_types.RuntimeParameter,
    ) -> None:
        """Builds the component; see TFX's Evaluator for what is not here.

        Args:
          examples: raw examples.
          model: the candidate.
          baseline_model: what it has to beat.
          example_splits: on which it is measured.
          eval_config: metrics and slices; the first threshold of SparseCategoricalAccuracy is the one that is set.
          min_accuracy: least accuracy over all examples, 0 to 1.
          max_accuracy_drop: most that the accuracy may lie below the baseline's, 0 to 1.
        """
        super().__init__(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            example_splits=example_splits,
            eval_config=eval_config,
        )
        # TFX's __init__ builds a spec of its own and leaves no place for more parameters.
        self.spec.exec_properties[executor.MIN_ACCURACY] = min_accuracy
        self.spec.exec_properties[executor.MAX_ACCURACY_DROP] = max_accuracy_drop
