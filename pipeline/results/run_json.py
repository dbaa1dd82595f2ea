"""What `run.json` holds: its keys, their types and their meaning, for programs that read it.

    python -m pipeline.results.run_json > run.schema.json

prints the JSON Schema. Images are called `pictures` in some keys; keys stay as they are, since others read them.
"""

import json
import sys
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
State = Literal["complete", "cached", "failed", "running"]
FINISHED = ("complete", "cached")
"""States of a node whose outputs can be read."""


class _Part(pydantic.BaseModel):
    """One object of the file: it has these keys and no others."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Gate(_Part):
    """The verdict of one Evaluator."""

    blessed: bool
    """The model passed."""
    reasons: list[str]
    """One sentence for each threshold that was missed."""


class Pushed(_Part):
    """Folders of the pushed models, relative to the output folder; null: not pushed."""

    saved_model: str | None
    tflite: str | None
    stylizer: str | None = None
    """Missing where `stylizer.enabled` is off."""


class TFLiteChoice(_Part):
    """Whether one TFLite variant was pushed."""

    pushed: bool
    reason: str


class Slice(_Part):
    """Metrics of the test images that have these values."""

    slice: dict[str, str]
    """Values by feature."""
    metrics: dict[str, float | None]


class TFLiteMeasurement(_Part):
    """One TFLite variant on the test split, an image at a time on one thread."""

    accuracy: Share
    disagreement: Share
    """Share of the images whose top class differs from the SavedModel's."""
    bytes: Count
    latency_ms_p50: float
    latency_ms_p99: float


class Gallery(_Part):
    """What was rendered."""

    page: str
    """Relative to the output folder."""
    pictures: Count
    """Images in the gallery."""
    rendered: Count
    """Images that this run rendered; the others were there."""
    dead_letters: Count
    """Images that could not be rendered."""


class StylizerPhase(_Part):
    """One phase of the stylizer's training."""

    phase: Literal["values", "whole"]
    """`values`: normalization values of new styles alone; `whole`: all weights."""
    steps: Count
    losses: dict[str, float | None]
    """Of the last round: `loss`, `content`, `style`, `tv`."""


class StylizerTraining(_Part):
    """What StylizerTrainer did."""

    styles: list[str]
    """Ids, in the order of the model's style weights."""
    photographs: Count
    """Images that it was trained on."""
    rejected: dict[str, str]
    """By name, why an image could not be used."""
    phases: list[StylizerPhase]
    """Empty where the base network knows all styles."""
    seconds: float


class StyleLosses(_Part):
    """Losses of one style at a strength of 1, as means over the held-out images."""

    style: str
    style_loss: float | None
    optimizer_style_loss: float | None
    content_loss: float | None
    optimizer_content_loss: float | None
    style_ratio: float | None
    """The style loss in units of the optimizer's; null is NaN."""
    content_ratio: float | None


class StylizerTFLite(_Part):
    """One TFLite file of the stylizer, in `assets.extra/tflite/` of the SavedModel."""

    bytes: Count
    difference: float | None
    """From the SavedModel in gray levels, mean over a held-out image; null where the file cannot be run."""
    latency_ms: float | None
    """Time of one image on one thread."""
    outside_xnnpack: list[str]
    """Operations that XNNPACK does not take."""
    fault: str | None
    """Why the file cannot be run, which fails the gate."""


class StylizerEvaluation(_Part):
    """What StylizerEvaluator measured."""

    size: Count
    """Longer side of the images in pixels."""
    images: list[str]
    """Names of the held-out images."""
    rejected: dict[str, str]
    """By name, why a held-out image could not be used."""
    styles: list[StyleLosses]
    styles_in_model: Count
    ssim: float | None
    """The least structural similarity of an image at a strength of 0 with itself."""
    bytes: Count
    """Of all files that are pushed."""
    latency_ms: float
    """Median time of one image."""
    tflite: dict[str, StylizerTFLite]
    """By the file's name."""
    rendered: Count
    """Images that the optimizer rendered in this run; the others were there."""


class Stylizer(_Part):
    """The one-pass stylizer."""

    training: StylizerTraining
    evaluation: StylizerEvaluation | None
    """Null: StylizerEvaluator was not reached."""


class StoredBytes(_Part):
    """Bytes of one transformed image on disk."""

    bytes_per_image: float
    float32_bytes_per_image: Count
    """Bytes of its float32 pixels, for comparison."""


class FeatureCache(_Part):
    """Seconds of the head's epochs on features that are computed once."""

    first_epoch_s: float
    """The computation of the features included."""
    later_epoch_s: float


class Phase(_Part):
    """One phase of the training."""

    curves: list[dict[str, float | None]]
    """For each epoch `epoch` (from 0), `accuracy`, `loss`, `val_accuracy`, `val_loss` and `seconds`; null is NaN."""
    feature_cache: FeatureCache | None = None
    """Of the phase `head` only."""


class PrecisionChoice(_Part):
    """Why the training ran in its number format."""

    reason: str
    step_ms: dict[str, float]
    """Milliseconds of one step by format; empty if none was measured."""


class Training(_Part):
    """What the Trainer did."""

    precision: str
    """Keras' name of the number format."""
    precision_choice: PrecisionChoice
    hyperparameters: dict[str, Any]
    """The values that the Tuner chose; empty without a Tuner."""
    phases: dict[Literal["head", "fine_tune"], Phase]
    seconds: float


class NoTraining(_Part):
    """An empty object: the Trainer was not reached."""


class Trial(_Part):
    """One finished trial of the Tuner."""

    trial: str
    accuracy: float
    """The best accuracy on the eval split."""
    epochs: int | None
    """Null where all trials had the same number of epochs."""
    values: dict[str, Any]


class Quarantine(_Part):
    """Files or records that could not be used."""

    count: Count
    reasons: dict[str, Count]
    fraction: Share | None = None
    records: str | None = None
    """The list of these records, relative to the output folder; missing where ingest set files aside."""


class RunResult(_Part):
    """The content of `run.json`."""

    name: str
    finished: str
    """Time in UTC, ISO 8601."""
    blessed: bool
    """The gates passed: that of the SavedModel, that of at least one TFLite variant in `tflite.push`, and that of the
    stylizer where there is one."""
    failure: str
    """Why the run stopped early; "" if it did not."""
    reasons: list[str]
    """Why the run did not pass: the gates' reasons, and the failure."""
    gates: dict[str, Gate | None]
    """Verdicts by the Evaluator's node; null: not reached."""
    warnings: list[str]
    """What the user should know about the data."""
    pushed: Pushed
    tflite_push: dict[str, TFLiteChoice]
    """By variant, in the order of preference."""
    metrics: dict[str, float | None]
    """Of the SavedModel on the test split: `accuracy`, `top_k_accuracy`, `loss`, `example_count`."""
    slices: list[Slice]
    by_class: dict[int, dict[str, float | None]]
    """`precision` and `recall` by class id."""
    confusion: list[tuple[int, int, int]]
    """[actual class, predicted class, images] for each pair that occurs; -1: no class was predicted."""
    calibration: list[tuple[float, float, float]]
    """[mean probability, share that came true, number of probabilities] for each bin of predicted probability."""
    tflite: dict[str, TFLiteMeasurement]
    """By variant; empty if TFLiteExporter was not reached."""
    gallery: Gallery | None
    """Null: the run renders none, or did not reach it."""
    stylizer: Stylizer | None = None
    """Missing where `stylizer.enabled` is off; null: StylizerTrainer was not reached."""
    transform: StoredBytes | None
    feature_cache: FeatureCache | None
    training: Training | NoTraining
    tuner: list[Trial]
    """Best first; empty without a Tuner."""
    data: dict[str, Count]
    """Examples by split."""
    quarantine: Quarantine
    ingest: dict[str, Any]
    """The ingest's report, as in `data/ingest_report.json`; empty if the records were given."""
    nodes_s: dict[str, float]
    """Seconds by node, in the order of the run."""
    nodes: dict[str, State]
    """States by node."""
    versions: dict[str, str]
    """Versions of libraries."""
    config: dict[str, Any]
    """The whole configuration, defaults included; see the reference of the configuration."""


def build_schema() -> dict[str, Any]:
    """Returns the JSON Schema of `run.json`."""
    return RunResult.model_json_schema()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(build_schema(), indent=2) + "\n")
