"""StyleRenderer: every content image in every style of a catalog, with a gallery to look at."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.experimental import simple_artifacts

from atelier import layout
from components.style_renderer import executor
from components.style_renderer.batch.units import Format
from components.style_renderer.engine.settings import EngineName


class StyleRendererSpec(ComponentSpec):
    """Inputs, outputs and parameters of StyleRenderer."""

    PARAMETERS = {  # noqa: RUF012 (as TFX has it)
        "contents": ExecutionParameter(type=str),
        "image_key": ExecutionParameter(type=str),
        "max_contents": ExecutionParameter(type=int),
        "overrides": ExecutionParameter(type=str),
        "size": ExecutionParameter(type=int),
        "strengths": ExecutionParameter(type=str),
        "picture_format": ExecutionParameter(type=str),
        "max_bad_fraction": ExecutionParameter(type=float),
        "engine": ExecutionParameter(type=str),
        "stylizer": ExecutionParameter(type=str),
        "stylizer_sha256": ExecutionParameter(type=str),
        "store_directory": ExecutionParameter(type=str),
        "engine_code": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "catalog": ChannelParameter(type=simple_artifacts.Dataset),
        "examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {"gallery": ChannelParameter(type=simple_artifacts.Dataset)}  # noqa: RUF012


class StyleRenderer(base_beam_component.BaseBeamComponent):
    """Renders contents x styles x strengths on Beam.

    The output `gallery` holds the batch's images in `pictures/`, `manifest.jsonl`, `renders-*.tfrecord`,
    `dead_letters.jsonl` and `gallery.html`. It is a plain `Dataset`, which Kubeflow Pipelines and Vertex AI know.
    """

    SPEC_CLASS = StyleRendererSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        catalog: types.BaseChannel,
        *,
        contents: str,
        store_directory: str,
        engine_code: str,
        code: str,
        examples: types.BaseChannel | None = None,
        image_key: str = layout.ENCODED_IMAGE,
        max_contents: int = 0,
        overrides: Mapping[str, Any] | None = None,
        size: int = 0,
        strengths: Sequence[float] = (),
        picture_format: Format = "jpeg",
        max_bad_fraction: float = 0.1,
        engine: EngineName = "finest",
        stylizer: str = "",
        stylizer_sha256: str = "",
    ) -> None:
        """Builds the component.

        Args:
          catalog: from StyleCatalog.
          contents: `split:NAME` of `examples`, `photos` (three that packages ship), or a folder of images.
          store_directory: where rendered units are kept from one execution to the next, so that a killed or an extended
            one goes on; all workers must see it.
          engine_code: fingerprint of the engine: units that another one rendered are rendered again.
          code: fingerprint of this component's source, so that the cache notices an edit.
          examples: whose split is rendered.
          image_key: the feature of `examples` that holds the encoded image.
          max_contents: the first ones only; 0 for all.
          overrides: fields of `Settings`, over the styles' presets.
          size: longer side of the renderings in pixels; 0: the settings' own.
          strengths: each style is rendered at each of them; empty: at its settings' own.
          picture_format: of the rendered images, jpeg or png.
          max_bad_fraction: share of the units that may be missing at the end before the component fails.
          engine: `finest`, `fast` or `refined`.
          stylizer: file or URL of the stylizer that `fast` and `refined` use; "" for the base network.
          stylizer_sha256: of the file, so that the cache notices another one; "" if it cannot be read here.
        """
        spec = StyleRendererSpec(
            catalog=catalog,
            examples=examples,
            gallery=types.Channel(type=simple_artifacts.Dataset),
            contents=contents,
            image_key=image_key,
            max_contents=max_contents,
            overrides=json.dumps(dict(overrides or {}), sort_keys=True),
            size=size,
            strengths=json.dumps(list(strengths)),
            picture_format=picture_format,
            max_bad_fraction=max_bad_fraction,
            engine=engine,
            stylizer=stylizer,
            stylizer_sha256=stylizer_sha256,
            store_directory=store_directory,
            engine_code=engine_code,
            code=code,
        )
        super().__init__(spec=spec)
