"""StylizerTrainer: a one-pass stylizer learns the styles of a catalog."""

import json
from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.experimental import simple_artifacts

from atelier import layout
from components.stylizer.settings import CatalogSettings
from components.stylizer_trainer import executor


class StylizerTrainerSpec(ComponentSpec):
    """Inputs, outputs and parameters of StylizerTrainer."""

    PARAMETERS = {  # noqa: RUF012 (as TFX has it)
        "contents": ExecutionParameter(type=str),
        "image_key": ExecutionParameter(type=str),
        "max_contents": ExecutionParameter(type=int),
        "settings": ExecutionParameter(type=str),
        "tflite_sizes": ExecutionParameter(type=str),
        "state_directory": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "catalog": ChannelParameter(type=simple_artifacts.Dataset),
        "examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
    }


class StylizerTrainer(base_component.BaseComponent):
    """Trains a stylizer, and exports it.

    The output `model` holds the SavedModel in `Format-Serving/`, TFLite files in its `assets.extra/tflite/`, and the
    stylizer's own file, `stylizer.npz`. The output `model_run` holds TensorBoard's logs with sample images, and
    `training.json`.
    """

    SPEC_CLASS = StylizerTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        catalog: types.BaseChannel,
        *,
        contents: str,
        settings: CatalogSettings,
        code: str,
        examples: types.BaseChannel | None = None,
        image_key: str = layout.ENCODED_IMAGE,
        max_contents: int = 200,
        tflite_sizes: Sequence[int] = (),
        state_directory: str = "",
    ) -> None:
        """Builds the component.

        Args:
          catalog: from StyleCatalog; its styles are the model's.
          contents: what is trained on: `split:NAME` of `examples`, `photos` (three that packages ship), or a folder.
          settings: of the training.
          code: fingerprint of this component's source, so that the cache notices an edit.
          examples: whose split is trained on.
          image_key: the feature of `examples` that holds the encoded image.
          max_contents: images that are trained on, at most; they are kept in memory.
          tflite_sizes: sides in pixels of the TFLite files' images.
          state_directory: where a killed training leaves its state; "": none is kept.
        """
        super().__init__(
            StylizerTrainerSpec(
                catalog=catalog,
                examples=examples,
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
                contents=contents,
                image_key=image_key,
                max_contents=max_contents,
                settings=settings.model_dump_json(),
                tflite_sizes=json.dumps(list(tflite_sizes)),
                state_directory=state_directory,
                code=code,
            )
        )
