"""Features of the frozen backbone, computed once and kept on disk, so that the head's epochs cost next to nothing."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


class FeatureCache(keras.utils.PyDataset):
    """Batches of (features [N, channels] float32, one-hot label [N, classes] float32) from a memory-mapped file.

    The file is as large as it must be (4 bytes a channel and image) and memory stays flat.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, class_count: int, batch_size: int, seed: int | None
    ) -> None:
        """Wraps what `compute` gave; `seed` shuffles, differently in every epoch, None keeps the order."""
        super().__init__()
        self._features, self._labels = features, labels
        self._class_count, self._batch_size = class_count, batch_size
        self._random = None if seed is None else np.random.default_rng(seed)
        self._order = np.arange(len(labels))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._labels) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        # Sorted, so that a batch reads the file forwards; the order within a batch has no effect.
        rows = np.sort(self._order[index * self._batch_size : (index + 1) * self._batch_size])
        return np.asarray(self._features[rows]), np.eye(self._class_count, dtype=np.float32)[self._labels[rows]]

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        if self._random is not None:
            self._random.shuffle(self._order)


def freeze_weights(extractor: keras.Model) -> Callable[[tf.Tensor], np.ndarray]:
    """Returns a function that computes what `extractor` (pixels -> [N, channels]) does with its present weights.

    Weights that cannot change let TensorFlow fold batch normalization into the convolutions: 0.7 of the time.
    It runs on one device: under `tf.distribute`, Keras' `predict_on_batch` hands every device the whole batch.
    """
    weights = [
        [np.asarray(one) for one in some] for some in (extractor.trainable_variables, extractor.non_trainable_variables)
    ]

    @tf.function(input_signature=[tf.TensorSpec(extractor.input_shape, tf.float32)])
    def extract(pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(extractor.stateless_call(*weights, pixels, training=False)[0], tf.float32)

    return lambda pixels: extract(pixels).numpy()


def compute(
    extract: Callable[[tf.Tensor], np.ndarray], batches: tf.data.Dataset, directory: Path, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Runs `extract` over `batches` once, or opens what an earlier call has left in `directory`.

    Args:
      extract: pixels -> [N, channels] float32; see `freeze_weights`.
      batches: (pixels, label [N] int64), in a fixed order.
      directory: where `<name>.npy` and `<name>_labels.npy` are kept.
      name: of the split.

    Returns:
      Features [examples, channels] float32, memory-mapped, and labels [examples] int64.

    Raises:
      ValueError: `batches` is empty.
    """
    features_file, labels_file = directory / f"{name}.npy", directory / f"{name}_labels.npy"
    if not labels_file.exists():
        _write(extract, batches, features_file, labels_file)
    return np.load(features_file, mmap_mode="r"), np.load(labels_file)


def _write(
    extract: Callable[[tf.Tensor], np.ndarray], batches: tf.data.Dataset, features_file: Path, labels_file: Path
) -> None:
    features_file.parent.mkdir(parents=True, exist_ok=True)
    raw_file = features_file.with_suffix(".raw")
    labels = []
    with raw_file.open("wb") as raw:
        for pixels, label in batches:
            features = extract(pixels)
            features.tofile(raw)
            labels.append(label.numpy())
    if not labels:
        raise ValueError(f"{features_file.stem}: the split holds no examples")
    all_labels = np.concatenate(labels)
    # The number of rows is known only now: the .npy header goes before the rows that are there already.
    rows = np.memmap(raw_file, np.float32, "r").reshape(len(all_labels), -1)
    np.save(features_file, rows)
    raw_file.unlink()
    np.save(labels_file, all_labels)  # last: its presence says that both are whole
