"""StylizerEvaluator: the gate of a one-pass stylizer, which compares it with the optimizing renderer."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.experimental import simple_artifacts

from atelier import layout
from components.stylizer_evaluator import executor
from components.stylizer_evaluator.settings import GateSettings


class StylizerEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of StylizerEvaluator."""

    PARAMETERS = {  # noqa: RUF012 (as TFX has it)
        "held_out": ExecutionParameter(type=str),
        "image_key": ExecutionParameter(type=str),
        "style_size": ExecutionParameter(type=int),
        "settings": ExecutionParameter(type=str),
        "store_directory": ExecutionParameter(type=str),
        "engine_code": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "model": ChannelParameter(type=standard_artifacts.Model),
        "catalog": ChannelParameter(type=simple_artifacts.Dataset),
        "examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class StylizerEvaluator(base_component.BaseComponent):
    """Measures the SavedModel that would be pushed, and blesses it or not.

    The output `evaluation` holds `evaluation.json`, and `grid/` with images: content, optimizer, one pass, and one pass
    at a strength of 0.5. The output `blessing` is as TFX's Evaluator writes it.
    """

    SPEC_CLASS = StylizerEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        catalog: types.BaseChannel,
        *,
        held_out: str,
        style_size: int,
        settings: GateSettings,
        engine_code: str,
        code: str,
        examples: types.BaseChannel | None = None,
        image_key: str = layout.ENCODED_IMAGE,
        store_directory: str = "",
    ) -> None:
        """Builds the component.

        Args:
          model: from StylizerTrainer.
          catalog: from StyleCatalog: the one that it was trained on.
          held_out: images that it was not trained on: `split:NAME` of `examples`, `photos` (three that packages ship),
            or a folder.
          style_size: longer side in pixels at which style images were looked at in the training.
          settings: what is measured, and the thresholds.
          engine_code: fingerprint of the optimizer's engine: images that another one rendered are rendered again.
          code: fingerprint of this component's source, so that the cache notices an edit.
          examples: whose split is held out.
          image_key: the feature of `examples` that holds the encoded image.
          store_directory: where the optimizer's images are kept from one execution to the next; "": they are not.
        """
        super().__init__(
            StylizerEvaluatorSpec(
                model=model,
                catalog=catalog,
                examples=examples,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                held_out=held_out,
                image_key=image_key,
                style_size=style_size,
                settings=settings.model_dump_json(),
                store_directory=store_directory,
                engine_code=engine_code,
                code=code,
            )
        )
