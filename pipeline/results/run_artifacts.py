"""What the other nodes left in their artifacts: training, trials, TFLite measurements, gallery, places and counts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.types import artifact_utils

from atelier.layout import TRAIN
from components.tflite_exporter.executor import MEASUREMENTS_FILE
from pipeline.config.config import Config
from pipeline.results.nodes import Node
from pipeline.results.run_json import FINISHED
from trainer import tuned
from trainer.train import TRAINING_FILE


def read_training(trainer: Node | None) -> dict[str, Any]:
    """Returns what the Trainer wrote of its training; empty without it."""
    if trainer is None or "model_run" not in trainer.outputs:
        return {}
    file = Path(trainer.outputs["model_run"].uri) / TRAINING_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def read_trials(tuner: Node | None) -> list[dict[str, Any]]:
    """Returns the finished trials, best first: the Trainer took the values of the first one."""
    if tuner is None or "tuner_results" not in tuner.outputs or tuner.state not in FINISHED:
        return []
    file = Path(tuner.outputs["tuner_results"].uri) / "tuner_results.json"  # TFX's name for it
    return [
        {
            "trial": trial["trial_id"],
            "accuracy": trial["score"],
            "epochs": trial.get(tuned.EPOCHS),
            "values": {
                key: value for key, value in tuned.drop_bookkeeping(trial).items() if key not in ("trial_id", "score")
            },
        }
        for trial in json.loads(file.read_text(encoding="utf-8"))
    ]


def read_measurements(exporter: Node | None) -> dict[str, Any]:
    """Returns size, accuracy and latency of each TFLite variant; empty without TFLiteExporter."""
    if exporter is None or "tflite" not in exporter.outputs:
        return {}
    file = Path(exporter.outputs["tflite"].uri) / MEASUREMENTS_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def read_gallery(renderer: Node | None) -> dict[str, Any] | None:
    """Returns the gallery's page and counts; None where the run has no gallery."""
    if renderer is None or renderer.state not in FINISHED:
        return None
    artifact = renderer.outputs["gallery"]
    counts = {name: artifact.get_int_custom_property(name) for name in ("pictures", "rendered", "dead_letters")}
    return {"page": "gallery/gallery.html", **counts}


def read_pushed_path(pusher: Node | None, output: Path) -> str | None:
    """Returns the path of what this run's Pusher pushed, now or before the cache; it is relative to `output`."""
    if pusher is None or "pushed_model" not in pusher.outputs:
        return None
    destination = pusher.outputs["pushed_model"].get_string_custom_property("pushed_destination")
    return str(Path(destination).relative_to(output)) if destination else None


def measure_stored_bytes(nodes: Mapping[str, Node], config: Config) -> dict[str, float] | None:
    """Returns bytes on disk of a transformed image, and of its float32 pixels; None without Transform."""
    transform = nodes.get("Transform")
    counts = count_examples(nodes.get("StatisticsGen"))
    if transform is None or "transformed_examples" not in transform.outputs or not counts:
        return None
    files = Path(transform.outputs["transformed_examples"].uri).rglob("*.gz")
    images = sum(counts.values()) + counts[TRAIN] * config.augmentation.copies
    stored = sum(file.stat().st_size for file in files) / images
    return {"bytes_per_image": round(stored, 1), "float32_bytes_per_image": config.image.size**2 * 3 * 4}


def count_examples(statistics_gen: Node | None) -> dict[str, int]:
    """Returns raw examples by split."""
    if statistics_gen is None or "statistics" not in statistics_gen.outputs:
        return {}
    import tensorflow_data_validation as tfdv

    statistics = statistics_gen.outputs["statistics"]
    counts = {}
    for split in artifact_utils.decode_split_names(statistics.split_names):
        file = Path(artifact_utils.get_split_uri([statistics], split)) / "FeatureStats.pb"
        counts[split] = int(tfdv.load_stats_binary(str(file)).datasets[0].num_examples)
    return counts
