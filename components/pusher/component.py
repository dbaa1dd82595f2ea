"""Pushers: TFX's, except that a version appears under its name only when it is whole."""

from collections.abc import Mapping
from typing import ClassVar

from tfx import types
from tfx import v1 as tfx
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import pusher_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from components.pusher import executor


class Pusher(tfx.components.Pusher):
    """TFX's Pusher with an executor that renames a finished copy into place."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)


class TFLitePusherSpec(component_spec.ComponentSpec):
    """PusherSpec, with a blessing for each of several variants."""

    PARAMETERS: ClassVar = {
        standard_component_specs.PUSH_DESTINATION_KEY: component_spec.ExecutionParameter(
            type=pusher_pb2.PushDestination
        ),
        executor.VARIANTS: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        standard_component_specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        **{
            key: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing, optional=number > 0)
            for number, key in enumerate(executor.BLESSINGS)
        },
    }
    OUTPUTS: ClassVar = standard_component_specs.PusherSpec.OUTPUTS


class TFLitePusher(base_component.BaseComponent):
    """Pushes the first variant, in the order of preference, that its own gate has blessed."""

    SPEC_CLASS = TFLitePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.TFLiteExecutor)

    def __init__(
        self,
        *,
        tflite: types.BaseChannel,
        blessings: Mapping[str, types.BaseChannel],
        push_destination: pusher_pb2.PushDestination,
    ) -> None:
        """Builds the component.

        Args:
          tflite: from TFLiteExporter.
          blessings: of each variant's own Evaluator, in the order of preference.
          push_destination: the folder of the versions.
        """
        super().__init__(
            TFLitePusherSpec(
                model=tflite,
                push_destination=push_destination,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
                **{
                    executor.VARIANTS: ",".join(blessings),
                    **dict(zip(executor.BLESSINGS, blessings.values(), strict=False)),
                },
            )
        )
