"""A data set small enough for every test, and Transform's work on it without a pipeline."""

import functools
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import metadata_io
from tfx.components.trainer import fn_args_utils
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, json_utils
from tfx_bsl.public import tfxio

from atelier import tfrecord
from pipeline.beam import pipeline_options
from pipeline.records import records
from tests.trainer.image_kinds import IMAGES
from tests.trainer.tiny_classes import CLASSES, EVAL_COUNTS, GOLDEN, SIZE, TRAIN_COUNTS
from trainer import features, preprocessing
from trainer.images import lossless


@dataclass(frozen=True)
class Transformed:
    """What Transform leaves on disk, and what it was made from."""

    root: Path
    raw: Mapping[str, Sequence[bytes]]
    """Serialized raw tf.Examples by split."""
    output: tft.TFTransformOutput
    schema_file: Path

    def list_files(self, split: str) -> list[str]:
        return [str(self.root / "examples" / f"Split-{split}" / "*")]

    def read_rows(self, split: str) -> list[tf.train.Example]:
        """Transformed examples in the order of the file."""
        (file,) = (self.root / "examples" / f"Split-{split}").iterdir()
        return [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file), "GZIP")]

    def read_pixels(self, split: str) -> np.ndarray:
        """[N, size, size, 3] uint8, in the order of the file."""
        encoded = [read_value(row, features.IMAGE) for row in self.read_rows(split)]
        return np.stack([lossless.decode(one, SIZE).numpy() for one in encoded])

    def read_labels(self, split: str) -> list[int]:
        return [read_value(row, features.LABEL) for row in self.read_rows(split)]

    def build_artifacts(self) -> dict[str, list[Any]]:
        """What TFX's Trainer and Tuner are given."""
        examples = standard_artifacts.Examples()
        examples.uri = str(self.root / "examples")
        examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        graph, schema = standard_artifacts.TransformGraph(), standard_artifacts.Schema()
        graph.uri, schema.uri = str(self.root / "graph"), str(self.schema_file.parent)
        return {"examples": [examples], "transform_graph": [graph], "schema": [schema]}

    def build_fn_args(self, **custom_config: object) -> fn_args_utils.FnArgs:
        """As TFX's Trainer makes them, from artifacts."""
        return fn_args_utils.get_common_fn_args(
            self.build_artifacts(),
            {"train_args": "{}", "eval_args": "{}", "custom_config": json_utils.dumps(custom_config)},
        )


def read_value(example: tf.train.Example, name: str) -> Any:
    """The one value of a feature."""
    feature = example.features.feature[name]
    (one,) = (feature.bytes_list.value or feature.int64_list.value) or feature.float_list.value
    return one


def make_raw_example(encoded: bytes, label: int, *, image_key: str = "image/encoded") -> bytes:
    """A record as ingest writes it."""
    return tfrecord.serialize_example(
        {
            image_key: encoded,
            "image/class/label": label,
            "image/class/text": CLASSES[label],
            "image/format": "png",
            "image/filename": "made up",
            "image/height": 1,
            "image/width": 1,
        }
    )


def make_request(encoded: bytes, image_key: str = "image/encoded") -> bytes:
    """What a client sends."""
    return tfrecord.serialize_example({image_key: encoded})


def draw_image(label: int, number: int) -> bytes:
    """A PNG or JPEG of 30 to 69 pixels a side whose channel `label` is the lightest."""
    random = np.random.default_rng([label, number])
    height, width = random.integers(30, 70, 2)
    pixels = random.integers(0, 150, (height, width, 3))
    pixels[..., label] += 90
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG" if number % 2 else "JPEG")
    return stream.getvalue()


def draw_images(counts: Sequence[int], first: int) -> Iterator[tuple[bytes, int]]:
    """As many of each class as `counts` says, the classes mixed."""
    found = [(draw_image(label, first + n), label) for label, count in enumerate(counts) for n in range(count)]
    for at in np.random.default_rng(first).permutation(len(found)):
        yield found[at]


def make_splits() -> dict[str, list[bytes]]:
    """Raw examples by split; `golden` holds one image of every kind, in the order of `GOLDEN`."""
    return {
        "train": [make_raw_example(*one) for one in draw_images(TRAIN_COUNTS, 0)],
        "eval": [make_raw_example(*one) for one in draw_images(EVAL_COUNTS, 1000)],
        "golden": [make_raw_example(IMAGES[kind], at % len(CLASSES)) for at, kind in enumerate(GOLDEN)],
    }


def transform(
    root: Path,
    raw: Mapping[str, Sequence[bytes]],
    schema: str | None = None,
    *,
    label_key: str = "image/class/label",
    image_key: str = "image/encoded",
    resize: str = "crop",
    class_names: Sequence[str] = (),
) -> Transformed:
    """Analyzes `train` and transforms every split, as the component does, in one shard a split and in order."""
    schema_file = root / "schema" / "schema.pbtxt"
    schema_file.parent.mkdir(parents=True)
    schema_file.write_text(schema or records.build_schema(CLASSES), encoding="utf-8")
    settings = {"image_key": image_key, "label_key": label_key, "size": SIZE, "resize": resize}
    settings["class_names"] = list(class_names)
    preprocessing_fn = functools.partial(preprocessing.preprocessing_fn, custom_config=settings)
    source = tfxio.TFExampleBeamRecord("memory", ["tests"], parse_schema(schema_file))
    tensors = source.TensorAdapterConfig()
    options = PipelineOptions(list(pipeline_options.IN_MEMORY))
    with beam.Pipeline(options=options) as pipeline, tft_beam.Context(temp_dir=str(root / "tmp")):
        # All splits in one go: Beam's own work, not that on so few images, is what takes the time.
        train, everything = (
            pipeline | name >> beam.Create(examples, reshuffle=False) | f"Decode {name}" >> source.BeamSource()
            for name, examples in (("train", raw["train"]), ("all", [one for split in raw.values() for one in split]))
        )
        transform_fn = (train, tensors) | tft_beam.AnalyzeDataset(preprocessing_fn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(root / "graph"))
        _ = (
            ((everything, tensors), transform_fn)
            | tft_beam.TransformDataset(output_record_batches=True)
            | tft_beam.EncodeTransformedDataset()
            | beam.combiners.ToList()
            | beam.Map(_write, root / "examples", {name: len(examples) for name, examples in raw.items()})
        )
    raw_metadata = root / "graph" / tft.TFTransformOutput.RAW_METADATA_DIR
    metadata_io.write_metadata(tft.DatasetMetadata(parse_schema(schema_file)), str(raw_metadata))
    return Transformed(root, raw, tft.TFTransformOutput(str(root / "graph")), schema_file)


def parse_schema(file: Path) -> schema_pb2.Schema:
    return io_utils.parse_pbtxt_file(str(file), schema_pb2.Schema())


def _write(examples: Iterable[bytes], folder: Path, counts: Mapping[str, int]) -> None:
    rows = iter(examples)
    for split, count in counts.items():
        file = folder / f"Split-{split}" / "transformed_examples-00000-of-00001.gz"
        file.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
            for example in itertools.islice(rows, count):
                writer.write(example)
