"""What several benchmarks work on: one real run of the pipeline on the set `photos` at 224 pixels."""

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer import fn_args_utils
from tfx.components.util import examples_utils, tfxio_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from benchmarks.processes import ATELIER, ROOT, run_python
from pipeline.ingest import builtin_sources
from trainer import backbones
from trainer.training import batches

SIZE = 224
"""Side of the images in pixels."""
CLASSES = 12
_SETTINGS = (
    f"image.size={SIZE}",
    # What is measured is speed: no gate may end the run.
    "evaluator.min_accuracy=0",
    "evaluator.max_accuracy_drop=1",
    "tflite.max_accuracy_drop=1",
    "tflite.max_slice_accuracy_drop=1",
    "tflite.max_disagreement=1",
)


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: tempfile.TemporaryDirectory
    """Goes with this object, at the latest when Python ends."""

    @property
    def images(self) -> Path:
        """`<split>/<class>/*.jpg`: what went in."""
        return Path(self.folder.name) / "images"

    @property
    def output(self) -> Path:
        """As `atelier run --output`."""
        return Path(self.folder.name) / "output"

    @property
    def pushed(self) -> Path:
        """The pushed SavedModel: the only version in its base path."""
        (version,) = (self.output / "serving_model").iterdir()
        return version

    def find_artifact(self, node: str, name: str) -> Path:
        """The folder of a node's output."""
        (artifact,) = (self.output / "pipeline_root" / node / name).iterdir()
        return artifact

    def read_batches(self, split: str, batch_size: int, **options: Any) -> tf.data.Dataset:
        """Transformed examples as the Trainer reads them; see `trainer.training.batches.read_batches`."""
        files, accessor = self._list_files(split), self._build_accessor()
        return batches.read_batches(
            files, accessor, self._load_transform(), size=SIZE, batch_size=batch_size, **options
        )

    def build_backbone(self, name: str, weights: str) -> backbones.Backbone:
        """As the Trainer builds it, for these images."""
        mean, variance = batches.read_channel_statistics(
            self._list_files("train"), self._build_accessor(), self._load_transform()
        )
        return backbones.build(name, SIZE, weights=weights, mean=mean, variance=variance)

    def _list_files(self, split: str) -> Sequence[str]:
        return [str(self.find_artifact("Transform", "transformed_examples") / f"Split-{split}" / "*")]

    def _load_transform(self) -> tft.TFTransformOutput:
        return tft.TFTransformOutput(str(self.find_artifact("Transform", "transform_graph")))

    def _build_accessor(self) -> fn_args_utils.DataAccessor:
        examples = standard_artifacts.Examples()
        examples.uri = str(self.find_artifact("Transform", "transformed_examples"))
        examples.split_names = artifact_utils.encode_split_names(["train", "eval", "test"])
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        datasets = tfxio_utils.get_tf_dataset_factory_from_artifact([examples], [])
        return fn_args_utils.DataAccessor(datasets, None, None)


@functools.cache
def run() -> Run:
    """Writes the images and runs the pipeline on them; once in a process, however often it is called."""
    done = Run(tempfile.TemporaryDirectory(prefix="atelier-bench-"))
    builtin_sources.write_source("photos", done.images)
    settings = [word for setting in _SETTINGS for word in ("--set", setting)]
    config = ROOT / "configs" / "photos.yaml"
    run_python(*ATELIER, "run", "--config", config, "--data", done.images, "--output", done.output, *settings)
    return done
