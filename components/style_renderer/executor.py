"""The work of StyleRenderer."""

import json
import logging
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from atelier import builtin_names, storage
from atelier.files import leftovers
from components.style_catalog import catalog
from components.style_renderer.batch import batch, contents, photographs

_LOG_STEP = 0.05
_LOGGER = logging.getLogger("atelier.style_renderer")


class Executor(base_beam_executor.BaseBeamExecutor):
    """Renders into the store, which outlives the execution, and copies this batch's images to the artifact."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Renders; see `StyleRenderer` for the arguments.

        Raises:
          outcome.RenderError: too many units are missing; those that are there stay in the store.
          contents.ContentError: there are no contents where `contents` says.
          CatalogError: the catalog or the settings are wrong.
        """
        gallery = artifact_utils.get_single_instance(output_dict["gallery"])
        published = artifact_utils.get_single_instance(input_dict["catalog"])
        request = batch.Request(
            overrides=json.loads(exec_properties["overrides"]),
            size=exec_properties["size"],
            strengths=tuple(json.loads(exec_properties["strengths"])),
            picture_format=exec_properties["picture_format"],
            max_contents=exec_properties["max_contents"],
            max_bad_fraction=exec_properties["max_bad_fraction"],
            code=exec_properties["engine_code"],
            engine=exec_properties["engine"],
            stylizer=exec_properties["stylizer"],
        )
        with leftovers.create_scratch("styles") as scratch:
            # The catalog is read as files, wherever the artifact lies; workers get the styles by the store.
            storage.copy_folder(published.uri, str(scratch))
            report = batch.render_batch(
                _find_sources(exec_properties, input_dict.get("examples", [])),
                catalog.load_catalog(scratch / catalog.FILE),
                exec_properties["store_directory"],
                request,
                self._make_beam_pipeline,
                output=gallery.uri,
                progress_to=_LogSteps(),
            )
        gallery.set_int_custom_property("pictures", report.images)
        gallery.set_int_custom_property("rendered", report.rendered)
        gallery.set_int_custom_property("dead_letters", len(report.dead))


def _find_sources(exec_properties: dict[str, Any], examples: list[types.Artifact]) -> tuple[contents.Source, ...]:
    where = exec_properties["contents"]
    if builtin_names.resolve(where, (builtin_names.PHOTOS,)):
        where = photographs.write(storage.join(exec_properties["store_directory"], "photographs"))
    if not where.startswith(builtin_names.SPLIT_PREFIX):
        return contents.list_files(where)
    split = where.removeprefix(builtin_names.SPLIT_PREFIX)
    if not examples:
        raise contents.ContentError(f"contents is {where}, but StyleRenderer was given no examples to take it from")
    known = artifact_utils.decode_split_names(artifact_utils.get_single_instance(examples).split_names)
    if split not in known:
        raise contents.ContentError(f"contents is {where}, but the examples have the splits {', '.join(known)}")
    return contents.list_records(artifact_utils.get_split_uri(examples, split), exec_properties["image_key"])


class _LogSteps:
    """Logs progress about twenty times a batch: without a terminal every call is a line."""

    def __init__(self) -> None:
        self._logged = 0.0

    def __call__(self, text: str, done: float) -> None:
        if done >= self._logged + _LOG_STEP:
            self._logged = done
            _LOGGER.info("%s", text)
