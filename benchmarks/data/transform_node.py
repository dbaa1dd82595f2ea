"""One run of a Transform node's executor, in a process of its own, so that its peak of memory is its own, too.

.venv/bin/python -m benchmarks.transform_node ours|float EXAMPLES OUTPUT SIZE
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

from tfx.components.transform import executor as tfx_transform
from tfx.types import artifact_utils, standard_artifacts

from benchmarks.processes import ROOT
from components.transform import executor
from pipeline.beam import pipeline_options
from pipeline.config import config
from pipeline.pipeline import PREPROCESSING_FN

WAYS: dict[str, tuple[type[tfx_transform.Executor], str]] = {
    "ours": (executor.Executor, PREPROCESSING_FN),
    "float": (tfx_transform.Executor, "benchmarks.data.float_pixels.preprocessing_fn"),
}


def run(way: str, examples: Path, output: Path, size: int) -> dict[str, float]:
    """Transforms as a local run does.

    Args:
      way: one of `WAYS`.
      examples: holds `Split-train/*.gz` and `schema/schema.pbtxt`.
      output: a folder that does not exist.
      size: of the transformed images in pixels.

    Returns:
      `seconds` of the executor, `bytes` of the transformed examples, and `peak_bytes` of this process's memory.
    """
    executor_class, preprocessing_fn = WAYS[way]
    context = executor_class.Context(
        beam_pipeline_args=list(pipeline_options.IN_MEMORY), tmp_dir=str(output / "tmp"), unique_id="1"
    )
    given = _build_artifact(standard_artifacts.Examples, examples)
    given.split_names = artifact_utils.encode_split_names(["train"])
    settings = config.load(ROOT / "configs" / "photos.yaml", [f"image.size={size}", "augmentation.copies=0"])
    sections = settings.model_dump(mode="json")
    custom_config = {
        "image_key": settings.data.image_key,
        "label_key": settings.data.label_key,
        **sections["image"],
        "augmentation": sections["augmentation"],
    }
    inputs = {"examples": [given], "schema": [_build_artifact(standard_artifacts.Schema, examples / "schema")]}
    outputs = {
        "transform_graph": [_build_artifact(standard_artifacts.TransformGraph, output / "graph")],
        "transformed_examples": [_build_artifact(standard_artifacts.Examples, output / "examples")],
    }
    properties = {
        "preprocessing_fn": preprocessing_fn,
        "custom_config": json.dumps(custom_config),
        "disable_statistics": 1,
    }
    began = time.perf_counter()
    executor_class(context).Do(inputs, outputs, properties)
    return {
        "seconds": time.perf_counter() - began,
        "bytes": sum(file.stat().st_size for file in (output / "examples").rglob("*.gz")),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _build_artifact(kind: type, folder: Path) -> Any:
    artifact = kind()
    artifact.uri = str(folder)
    return artifact


def main() -> None:
    """Reads the command line; the figures are the last line on standard output, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=tuple(WAYS))
    parser.add_argument("examples", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("size", type=int)
    options = parser.parse_args()
    print(json.dumps(run(options.way, options.examples, options.output, options.size)))


if __name__ == "__main__":
    main()
