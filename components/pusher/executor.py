"""The work of Pusher."""

import shutil
import time
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor as tfx_pusher
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.utils import proto_utils

from atelier import storage
from atelier.files import leftovers, versions
from components.tflite_exporter.preferred import find_preferred_model

VARIANTS = "variants"
"""Parameter of TFLiteExecutor: the variants in the order of preference, joined by commas."""
VARIANT = "variant"
BLESSINGS = tuple(standard_component_specs.MODEL_BLESSING_KEY + suffix for suffix in ("", "_2", "_3"))
"""Inputs of TFLiteExecutor, in the order of `VARIANTS`."""


class Executor(tfx_pusher.Executor):
    """Copies beside the destination and renames, which is atomic on one file system.

    A model server that polls the folder never sees half a version, and a killed push leaves only a
    hidden folder that the next push removes. Object stores have no such rename: there, TFX's own
    order (saved_model.pb last) is kept.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model if it is blessed; see TFX's Pusher for the arguments."""
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        base = destination.filesystem.base_directory
        if storage.is_url(base):
            super().Do(input_dict, output_dict, exec_properties)
            return
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        source = Path(self.GetModelPath(input_dict))
        # Last, since the version is in use from then on: nothing that can fail comes after it.
        shutil.copytree(source, pushed.uri, dirs_exist_ok=True)
        version = push(source, Path(base))
        self._MarkPushed(pushed, pushed_destination=str(Path(base, version)), pushed_version=version)


class TFLiteExecutor(Executor):
    """Pushes one of several TFLite variants."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the first variant that is blessed; its name becomes the property `variant` of the pushed model."""
        exported = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        for key, variant in zip(BLESSINGS, exec_properties[VARIANTS].split(","), strict=False):
            blessing = {standard_component_specs.MODEL_BLESSING_KEY: input_dict[key]}
            if self.CheckBlessing(blessing):
                model = standard_artifacts.Model()
                model.uri = find_preferred_model(exported.uri, variant)
                super().Do({standard_component_specs.MODEL_KEY: [model], **blessing}, output_dict, exec_properties)
                pushed.set_string_custom_property(VARIANT, variant)
                return
        self._MarkNotPushed(pushed)


def push(source: Path, base: Path) -> str:
    """Copies the folder `source` to `base/<version>`, all of it or nothing.

    The version is the Unix time in seconds, or one more than the newest version where that is not
    less: versions only ever rise, also for two pushes within a second or after the clock went back.

    Raises:
      ValueError: no version is higher than the newest one.
    """
    base.mkdir(parents=True, exist_ok=True)
    leftovers.sweep(base.glob(".*.partial"))
    newest = max(versions.list_folders(base), default=0)
    if newest == versions.HIGHEST:
        raise ValueError(
            f"{base}: version {newest} is the highest that a model server can load, so no newer one can be pushed: "
            "rename or remove that folder"
        )
    version = str(max(int(time.time()), newest + 1))
    with leftovers.create_owned(base / f".{version}.partial") as staging:
        shutil.copytree(source, staging, dirs_exist_ok=True)
        staging.rename(base / version)
    return version
