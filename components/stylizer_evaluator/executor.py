"""The work of StylizerEvaluator."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from atelier import storage, strict_json
from atelier.layout import ASSETS_EXTRA
from components.style_catalog import catalog
from components.style_renderer.engine import canvas
from components.stylizer.layout import COLUMNS, EVALUATION_FILE, GRID, TFLITE_FOLDER
from components.stylizer.photographs import Photographs, read_photographs
from components.stylizer_evaluator import gate, measure, references
from components.stylizer_evaluator.settings import GateSettings

_MIN_SIDE = 16
"""Of a strip that is scaled; structural similarity has a window of 11 pixels."""
_LOGGER = logging.getLogger("atelier.stylizer")


class Executor(base_executor.BaseExecutor):
    """Compares, measures, and blesses."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates; see `StylizerEvaluator` for the arguments.

        Raises:
          ContentError: there is no usable image where `held_out` says.
          CatalogError: the catalog is faulty.
        """
        settings = GateSettings.model_validate_json(exec_properties["settings"])
        evaluation, blessing = (artifact_utils.get_single_instance(output_dict[k]) for k in ("evaluation", "blessing"))
        styles = catalog.load_published(artifact_utils.get_single_instance(input_dict["catalog"]).uri)
        photographs = read_photographs(
            exec_properties["held_out"],
            input_dict.get("examples", []),
            exec_properties["image_key"],
            settings.max_images,
        )
        with storage.read_folder(artifact_utils.get_single_instance(input_dict["model"]).uri) as model:
            work = _Work(Path(path_utils.serving_model_path(str(model))), settings, exec_properties)
            result = work.evaluate(styles, photographs, evaluation.uri)
        text = strict_json.dumps(result, indent=1)
        io_utils.write_string_file(storage.join(evaluation.uri, EVALUATION_FILE), text)
        _bless(blessing, blessed=result["blessed"])


class _Work:
    """One evaluation."""

    def __init__(self, served: Path, settings: GateSettings, exec_properties: dict[str, Any]) -> None:
        self._served, self._settings = served, settings
        self._style_size = exec_properties["style_size"]
        self._store, self._engine = exec_properties["store_directory"], exec_properties["engine_code"]
        self._stylize = measure.Served(served)
        self._rendered = 0

    def evaluate(self, styles: dict[str, np.ndarray], photographs: Photographs, uri: str) -> dict[str, Any]:
        """Measures, writes the grid below `uri`, and returns what `EVALUATION_FILE` holds."""
        settings = self._settings
        contents = [_scale(image, settings.size) for image in photographs.images.values()]
        chosen = spread(self._stylize.styles, settings.max_styles)
        losses, ssims = [], []
        for style in chosen:
            compared = [self._compare(content, style, styles[style]) for content in contents]
            losses.append(measure.measure_losses(style, styles[style], compared, self._style_size))
            ssims += [measure.compute_ssim(self._stylize(content, style, 0.0), content) for content in contents]
            _write_row(style, compared[0], uri)
            ratios = (losses[-1].style_ratio, losses[-1].content_ratio)
            _LOGGER.info("%s: style loss %.2f and content loss %.2f times the optimizer's", style, *ratios)
        size = measure.count_bytes(self._served)
        latency_ms = measure.measure_latency(self._stylize, contents[0], chosen[0])
        files = {file.name: file for file in sorted((self._served / ASSETS_EXTRA / TFLITE_FOLDER).glob("*.tflite"))}
        tflite = {
            name: measure.measure_tflite(file, self._stylize, contents[0], chosen[0]) for name, file in files.items()
        }
        faults = gate.find_faults(losses, min(ssims), size, latency_ms, tflite, settings)
        return {
            "blessed": not faults,
            "reasons": faults,
            "size": settings.size,
            "images": list(photographs.names.values()),
            "rejected": photographs.rejected,
            "styles": [each.describe() for each in losses],
            "styles_in_model": len(self._stylize.styles),
            "ssim": min(ssims),
            "bytes": size,
            "latency_ms": latency_ms,
            "tflite": tflite,
            "rendered": self._rendered,
        }

    def _compare(self, content: np.ndarray, style: str, target: np.ndarray) -> measure.Compared:
        optimizer = self._settings.configure_optimizer(self._style_size)
        optimized = references.read_or_render(content, target, optimizer, self._store, self._engine, self._count)
        one_pass, half = (self._stylize(content, style, strength) for strength in (1.0, 0.5))
        return measure.Compared(content, optimized, one_pass, half)

    def _count(self) -> None:
        self._rendered += 1


def spread(styles: Sequence[str], most: int) -> list[str]:
    """At most so many, evenly spread from the first to the last; 0: all. One alone is the last."""
    if not most or most >= len(styles):
        return list(styles)
    return [styles[round(position)] for position in np.linspace(len(styles) - 1, 0, most)][::-1]


def _scale(image: Image.Image, size: int) -> np.ndarray:
    pixels = np.asarray(image)
    height, width = canvas.compute_sides(pixels.shape, size)
    return canvas.resize(pixels, max(_MIN_SIDE, height), max(_MIN_SIDE, width))


def _write_row(style: str, compared: measure.Compared, uri: str) -> None:
    images = (compared.content, compared.optimized, compared.stylized, compared.half)
    for column, pixels in zip(COLUMNS, images, strict=True):
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=90)
        storage.write_bytes(storage.join(uri, GRID, f"{style}-{column}.jpg"), encoded.getvalue())


def _bless(blessing: types.Artifact, *, blessed: bool) -> None:
    """As TFX's Evaluator does."""
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(storage.join(blessing.uri, name), "")
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
