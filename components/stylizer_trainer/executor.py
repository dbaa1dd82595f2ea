"""The work of StylizerTrainer."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from atelier import storage, strict_json
from atelier.layout import ASSETS_EXTRA
from components.style_catalog import catalog
from components.stylizer import stylizer
from components.stylizer.exports import saved_model, tflite
from components.stylizer.layout import STYLIZER_FILE, TFLITE_FOLDER, TRAINING_FILE
from components.stylizer.photographs import Photographs, read_photographs
from components.stylizer.settings import CatalogSettings
from components.stylizer.training import learning
from components.stylizer_trainer.tensorboard import TrainingLog
from trainer.training.state import hash_json, open_state_directory

_SAMPLES = 2


class Executor(base_executor.BaseExecutor):
    """Trains, from where a killed execution of the same training stopped, and exports."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains; see `StylizerTrainer` for the arguments.

        Raises:
          ContentError: there is no usable image where `contents` says.
          CatalogError: the catalog is faulty.
          TrainingError: the loss is no longer a number.
        """
        began = time.monotonic()
        model, run = (artifact_utils.get_single_instance(output_dict[key]) for key in ("model", "model_run"))
        settings = CatalogSettings.model_validate_json(exec_properties["settings"])
        styles = catalog.load_published(artifact_utils.get_single_instance(input_dict["catalog"]).uri)
        photographs = read_photographs(
            exec_properties["contents"],
            input_dict.get("examples", []),
            exec_properties["image_key"],
            exec_properties["max_contents"],
        )
        images = {style: stylizer.identify(image, settings.style_size) for style, image in styles.items()}
        key = hash_json([exec_properties["settings"], exec_properties["code"], images, photographs.digest])
        base = None if settings.start == "random" else stylizer.load_base()
        with open_state_directory(exec_properties["state_directory"]) as parent:
            state = parent / f"stylizer-{key}"
            contents = list(photographs.images.values())
            logs: list[TrainingLog] = []

            def log(phase: str, trained: stylizer.Stylizer) -> list[TrainingLog]:
                logs.append(TrainingLog(run.uri, phase, trained, contents[:_SAMPLES]))
                return logs[-1:]

            learned = learning.learn_styles(styles, contents, settings, base=base, state=state, callbacks=log)
            sizes = json.loads(exec_properties["tflite_sizes"])
            provenance = {"settings": exec_properties["settings"], "code": exec_properties["code"]}
            _export(learned, model.uri, provenance, np.asarray(contents[0]), sizes)
            described = _describe(learned, photographs, logs, time.monotonic() - began)
            io_utils.write_string_file(f"{run.uri}/{TRAINING_FILE}", strict_json.dumps(described, indent=1))
            shutil.rmtree(state, ignore_errors=True)


def _export(
    learned: stylizer.Stylizer, uri: str, provenance: dict[str, str], image: np.ndarray, sizes: Sequence[int]
) -> None:
    with storage.write_folder(uri) as folder:
        learned.save(folder / STYLIZER_FILE)
        # What is served is what is in the file, float16 weights and all.
        saved = stylizer.load(folder / STYLIZER_FILE)
        served = Path(path_utils.serving_model_dir(str(folder)))
        saved_model.export(saved, served, provenance=provenance)
        if sizes:
            (served / ASSETS_EXTRA / TFLITE_FOLDER).mkdir()
            tflite.export(saved, served / ASSETS_EXTRA / TFLITE_FOLDER, image, sizes=sizes)


def _describe(
    learned: stylizer.Stylizer, photographs: Photographs, logs: Sequence[TrainingLog], seconds: float
) -> dict[str, Any]:
    trained = [log for log in logs if log.steps]
    return {
        "styles": learned.styles,
        "photographs": len(photographs.images),
        "rejected": photographs.rejected,
        "phases": [{"phase": log.phase, "steps": log.steps, "losses": log.losses} for log in trained],
        "seconds": round(seconds, 1),
    }
