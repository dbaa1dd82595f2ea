"""Runs StylizerTrainer and StylizerEvaluator on folders, as TFX does."""

import json
import sys
from pathlib import Path
from typing import Any

from components.stylizer.settings import CatalogSettings
from components.stylizer_evaluator.settings import GateSettings


def make_artifact(kind: Any, folder: Path) -> Any:
    made = kind()
    made.uri = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def publish(folder: Path, catalog: str, ids: list[str] | None = None) -> Path:
    """A catalog as StyleCatalog publishes it."""
    from tfx.types.experimental import simple_artifacts

    from components.style_catalog import executor

    executor.publish(catalog, json.dumps(ids or []), make_artifact(simple_artifacts.Dataset, folder))
    return folder


def train(catalog: Path, contents: Path | str, output: Path, settings: CatalogSettings, **values: Any) -> Path:
    """Returns the model's folder."""
    from tfx.types import standard_artifacts
    from tfx.types.experimental import simple_artifacts

    from components.stylizer_trainer import executor

    properties = {"image_key": "image", "max_contents": 10, "state_directory": "", "tflite_sizes": "[]", "code": ""}
    executor.Executor().Do(
        {"catalog": [make_artifact(simple_artifacts.Dataset, catalog)]},
        {
            "model": [make_artifact(standard_artifacts.Model, output / "model")],
            "model_run": [make_artifact(standard_artifacts.ModelRun, output / "run")],
        },
        {**properties, "contents": str(contents), "settings": settings.model_dump_json(), **values},
    )
    return output / "model"


def evaluate(
    model: Path, catalog: Path, held_out: Path | str, output: Path, settings: GateSettings, **values: Any
) -> tuple[dict[str, Any], int]:
    """Returns what was measured, and the blessing."""
    from tfx.types import standard_artifacts
    from tfx.types.experimental import simple_artifacts

    from components.stylizer_evaluator import executor

    blessing = make_artifact(standard_artifacts.ModelBlessing, output / "blessing")
    properties = {"image_key": "image", "style_size": 512, "store_directory": "", "engine_code": "", "code": ""}
    executor.Executor().Do(
        {
            "model": [make_artifact(standard_artifacts.Model, model)],
            "catalog": [make_artifact(simple_artifacts.Dataset, catalog)],
        },
        {
            "evaluation": [make_artifact(standard_artifacts.ModelEvaluation, output / "evaluation")],
            "blessing": [blessing],
        },
        {**properties, "held_out": str(held_out), "settings": settings.model_dump_json(), **values},
    )
    measured = json.loads((output / "evaluation" / "evaluation.json").read_text())
    return measured, blessing.get_int_custom_property("blessed")


if __name__ == "__main__":  # python -m tests.components.stylizer.components CATALOG CONTENTS OUTPUT STATE SETTINGS
    where = [Path(argument) for argument in sys.argv[1:5]]
    train(where[0], where[1], where[2], CatalogSettings.model_validate_json(sys.argv[5]), state_directory=str(where[3]))
