"""TFLiteExporter: from a blessed SavedModel to proven and measured TFLite files."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.tflite_exporter import executor


@component
def TFLiteExporter(
    model: InputArtifact[standard_artifacts.Model],
    blessing: InputArtifact[standard_artifacts.ModelBlessing],
    transformed_examples: InputArtifact[standard_artifacts.Examples],
    tflite: OutputArtifact[standard_artifacts.Model],
    predictions: OutputArtifact[standard_artifacts.Examples],
    size: Parameter[int],
    resize: Parameter[str],
    push: Parameter[str],
    calibration_images: Parameter[int],
    code: Parameter[str],
) -> None:
    """Converts the model three ways, proves and measures each, and writes the predictions for the gate.

    Args:
      model: from Trainer: the SavedModel, and `model.keras` beside it.
      blessing: from Evaluator.
      transformed_examples: from Transform: `train` calibrates, `test` measures.
      tflite: `preferred/<variant>/Format-Serving/` holds `model.tflite`, `labels.txt` and `card.json` of each variant
        in `push`; `variants/` holds every variant, `measurements.json` what was measured.
      predictions: split `test`: label, and the probabilities of the SavedModel and of each variant in `push`, for
        Evaluators over materialized predictions.
      size: side of the model's input in pixels.
      resize: crop, pad or stretch: how an image becomes that input; the card states it.
      push: float, dynamic or int8, or several of them joined by commas, best first.
      calibration_images: training images that give INT8 its ranges.
      code: fingerprint of this component's source, so that the cache notices an edit.

    Raises:
      executor.NotBlessedError: the gate before rejected the model.
      proof.NotFullyQuantizedError: the INT8 file holds a float op or tensor; it is named.
    """
    del code  # part of the cache key only
    executor.export(
        model,
        blessing,
        transformed_examples,
        tflite,
        predictions,
        size=size,
        resize=resize,
        push=push.split(","),
        calibration_images=calibration_images,
    )
