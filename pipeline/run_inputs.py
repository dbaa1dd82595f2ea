"""What a run tells the DAG beside its configuration: places, parameters and facts about the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atelier.layout import PUSHED_TFLITE

if TYPE_CHECKING:
    from tfx.orchestration.data_types import RuntimeParameter


@dataclass(frozen=True)
class Places:
    """The folders that a run writes to: paths, or URLs in a bucket."""

    pipeline_root: str
    """The artifacts."""
    serving_directory: str
    """The SavedModel is pushed here, as `<version>/`."""
    tflite_directory: str
    """The TFLite file is pushed here, as `<version>/`."""
    style_store: str
    """Rendered images are kept here from run to run."""
    stylizer_directory: str
    """The stylizer's SavedModel is pushed here, as `<version>/`."""
    reference_store: str
    """The optimizer's images that the stylizer is compared with are kept here from run to run."""
    state_directory: str
    """A killed training leaves its state here; "": none is kept."""

    @classmethod
    def from_root(cls, root: str, *, keep_training_state: bool) -> "Places":
        """Returns the folders of a run whose output folder is `root`.

        Args:
          root: a path, or a URL in a bucket.
          keep_training_state: whether the next run sees the same disk, which a cluster does not promise.
        """
        root = root.rstrip("/")
        return cls(
            pipeline_root=f"{root}/pipeline_root",
            serving_directory=f"{root}/serving_model",
            tflite_directory=f"{root}/{PUSHED_TFLITE}",
            style_store=f"{root}/renders",
            stylizer_directory=f"{root}/stylizer",
            reference_store=f"{root}/stylizer_references",
            state_directory=f"{root}/training_state" if keep_training_state else "",
        )


@dataclass(frozen=True)
class RunParameters:
    """What can differ from run to run; where a compiled pipeline is started, each may be a parameter of that run."""

    data_root: "str | RuntimeParameter"
    """Folder of the TFRecords, which the cache knows by its path and its files' number, bytes and seconds."""
    schema_file: "str | RuntimeParameter"
    """The data's schema; "" infers one from the data. The cache knows it by its path."""
    min_accuracy: "float | RuntimeParameter"
    """What the Evaluator asks for."""
    max_accuracy_drop: "float | RuntimeParameter"
    """How far below the baseline the Evaluator lets the candidate be."""
    train_args: "RuntimeParameter | None" = None
    """A `TrainArgs` as JSON, whose `num_steps` limits each phase of training; None: no limit."""


@dataclass(frozen=True)
class DataFacts:
    """What is known about the data before the run."""

    splits: Mapping[str, str]
    """File pattern below `data_root` by split; one entry alone is split by a hash."""
    text_labels: bool
    """Labels are strings, not ids."""
    class_count: int | None
    """None: it is not known."""
    class_names: Sequence[str] = ()
    """By class id; empty: they are not known, and the schema and the data tell them."""
    store_size: int | None = None
    """Longer side in pixels to which the images of the records were scaled down; None: they were not."""
    fingerprint: str = ""
    """Identifies the data in the pushed model's provenance."""


@dataclass(frozen=True)
class ContentImages:
    """What the keys of the configuration that name content images have come to.

    Each is `photos`, `split:NAME`, or a folder, which the cache knows by its path.
    """

    gallery: str = ""
    """`style.contents`; "" where there is no gallery."""
    stylizer: str = ""
    """`stylizer.contents`; "" where there is no stylizer."""
    held_out: str = ""
    """`stylizer.held_out`."""


@dataclass(frozen=True)
class VertexJobs:
    """What makes nodes training jobs of Vertex AI, in the terms of TFX's extension for it; None: they are none."""

    training: Mapping[str, object] | None = None
    tuning: Mapping[str, object] | None = None
    """The Tuner then searches on `tuner.parallel_trials` machines at once."""
