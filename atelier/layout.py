"""Names that several packages share: of splits, of the features of a record, of files, and the limits of an image."""

from collections.abc import Mapping

TRAIN, EVAL, TEST = "train", "eval", "test"
SPLITS = (TRAIN, EVAL, TEST)

SPLIT_ALIASES: Mapping[str, tuple[str, ...]] = {
    TRAIN: ("train", "training"),
    EVAL: ("eval", "validation", "valid", "val", "dev"),
    TEST: ("test", "testing"),
}
"""Names of folders and files that mean a split, the most usual one first."""
SPLIT_BY_ALIAS = {alias: split for split, aliases in SPLIT_ALIASES.items() for alias in aliases}

# Features of the records that `atelier ingest` writes, which are the defaults for records of other origin.
ENCODED_IMAGE = "image/encoded"
CLASS_ID = "image/class/label"
CLASS_NAME = "image/class/text"
IMAGE_FORMAT = "image/format"
IMAGE_FILE = "image/filename"
IMAGE_HEIGHT = "image/height"
IMAGE_WIDTH = "image/width"

# Files of a data set.
LABELS_FILE = "labels.txt"
"""The names of the classes in the order of their ids; see `atelier.labels`. It lies beside every model, too."""
SCHEMA_FILE = "schema.pbtxt"
INGEST_REPORT_FILE = "ingest_report.json"
QUARANTINE_FOLDER = "quarantine"
QUARANTINE_FILE = "quarantine.jsonl"
"""For people: a rejected file a line."""
QUARANTINE_RECORDS_FILE = "quarantine.tfrecord"
"""What was rejected, with its bytes where they are few."""

# Files of a run.
RUN_FILE = "run.json"
PUSHED_TFLITE = "tflite"
"""The folder of a run's output that holds the versions of the pushed TFLite model."""

# Files of a model.
SERVING_FOLDER = "Format-Serving"
"""TFX's name for the folder of a model artifact that holds what is served."""
ASSETS_EXTRA = "assets.extra"
"""TensorFlow Serving's name for the folder of a SavedModel that holds files which are no part of its graph."""
PREPROCESSING_FILE = "preprocessing.json"
"""In `assets.extra/`: how an image becomes what the model sees; see `atelier.preprocessing`."""
STYLIZATION_FILE = "stylization.json"
"""In a stylizer's `assets.extra/`: its styles and limits; see `atelier.stylization`."""
PROVENANCE_FILE = "provenance.json"
"""In a SavedModel's `assets.extra/`: what the model was made from."""
WARMUP_FILE = "tf_serving_warmup_requests"
"""TF Serving's name for requests in `assets.extra/` that it replays before a version takes traffic."""
TFLITE_FILE = "model.tflite"
CARD_FILE = "card.json"
"""Beside a TFLite file: what goes in, what comes out, and how well the model did."""

STYLIZER = "stylizer"
"""Name of a stylizer in a model server, and of the folder that it is pushed to."""
STYLIZE_SIZE = 1024
"""Longer side in pixels to which larger images are scaled down before they are restyled."""

MAX_PIXELS = 100_000_000
"""Width x height that the header of an image may promise where no other limit is given."""


def compute_max_file_bytes(max_pixels: int) -> int:
    """Returns the largest size of a file whose image has `max_pixels`: 16-bit RGBA, uncompressed, and 1 MiB beside."""
    return 8 * max_pixels + 2**20
