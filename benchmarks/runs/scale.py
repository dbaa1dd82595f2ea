"""Seconds and bytes that one more image costs, node by node, on this machine: the basis of docs/explanation/scale.md.

    .venv/bin/python -m benchmarks.runs.scale

Runs the pipeline twice at 224 px, on few and on more images, and divides the differences: start-up drops out.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.data.sample_images import write_images

FEW, MORE = 600, 1800
SIDES = (640, 480)
"""Of the images, in pixels: as JPEG of some 100 kB."""
CONFIG = """
name: scale
trainer: {head_epochs: 1, fine_tune_epochs: 1, fine_tune_at: 4, mixed_precision: float32}
evaluator: {min_accuracy: 0, max_accuracy_drop: 1}
tflite: {max_accuracy_drop: 1, max_slice_accuracy_drop: 1, max_disagreement: 1}
"""


def measure(root: Path, count: int) -> dict[str, float]:
    """Seconds by node of a run on `count` images, and the bytes that it keeps."""
    folder = root / str(count)
    write_images(folder / "images", count, [SIDES])
    (root / "config.yaml").write_text(CONFIG)
    atelier = [sys.executable, "-m", "pipeline.cli"]
    began = time.perf_counter()
    ingest = ["ingest", "--source", str(folder / "images"), "--output", str(folder / "data")]
    subprocess.run([*atelier, *ingest], check=True, capture_output=True)
    seconds = {"ingest": time.perf_counter() - began}
    run = ["--config", str(root / "config.yaml"), "--data", str(folder / "data"), "--output", str(folder / "output")]
    subprocess.run([*atelier, "run", *run], check=True, capture_output=True)
    result = json.loads((folder / "output" / "run.json").read_text())
    seconds |= result["nodes_s"]
    for name, phase in result["training"]["phases"].items():
        seconds[f"Trainer, {name} epoch"] = phase["curves"][0]["seconds"]
    seconds["Trainer, features"] = result["training"]["phases"]["head"]["feature_cache"]["first_epoch_s"]
    stored = {
        "bytes of an image": sum(file.stat().st_size for file in (folder / "images").rglob("*.jpg")),
        "bytes ingested": sum(file.stat().st_size for file in (folder / "data").rglob("*.tfrecord")),
        "bytes transformed": result["transform"]["bytes_per_image"] * count,
    }
    return seconds | stored


def main() -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory() as folder:
        few, more = (measure(Path(folder), count) for count in (FEW, MORE))
    print(f"| what | {FEW} images | {MORE} images | one more |\n|---|---|---|---|")
    for name in more:
        slope = (more[name] - few[name]) / (MORE - FEW)
        if name.startswith("bytes"):
            print(f"| {name} | {few[name] / 1e6:.1f} MB | {more[name] / 1e6:.1f} MB | {slope / 1e3:.1f} kB |")
        else:
            print(f"| {name} | {few[name]:.1f} s | {more[name]:.1f} s | {slope * 1e3:.2f} ms |")


if __name__ == "__main__":
    main()
