"""Transform: TFX's, followed by the augmented variants of the training split."""

import json
from typing import Any

from tfx import types
from tfx import v1 as tfx
from tfx.dsl.components.base import executor_spec

from components.transform import executor


class Transform(tfx.components.Transform):
    """TFX's Transform with an executor that stores augmented variants of training images.

    `custom_config["augmentation"]` holds the section `augmentation` of the configuration.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        preprocessing_fn: str,
        custom_config: dict[str, Any],
    ) -> None:
        """Builds the component.

        Args:
          examples: raw examples; `train` is analyzed, every split is transformed.
          schema: of the raw examples.
          preprocessing_fn: import path of the function.
          custom_config: what the function and the augmentation are told.
        """
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=preprocessing_fn,
            custom_config=json.loads(json.dumps(custom_config)),
            # StatisticsGen has measured the raw data; once more over encoded pixels tells nothing new.
            disable_statistics=True,
        )
