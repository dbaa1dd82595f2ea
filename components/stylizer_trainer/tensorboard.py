"""TensorBoard's logs of a stylizer's training: losses of each round, and sample images now and then."""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from PIL import Image

from atelier import storage
from components.stylizer.stylizer import Stylizer

_SECONDS = 60.0
"""Between two rounds of sample images."""
_SIDE = 256
_STYLES = 8
"""The last so many: new styles come last."""


class TrainingLog(keras.callbacks.Callback):
    """Writes `loss`, `content`, `style` and `tv` after each round, and each sample beside its stylized images."""

    def __init__(self, folder: str, phase: str, stylizer: Stylizer, samples: Sequence[Image.Image]) -> None:
        """Opens the log.

        Args:
          folder: of the logs, a path or URL.
          phase: its own folder in there.
          stylizer: what is trained.
          samples: mode RGB.
        """
        super().__init__()
        self.phase = phase
        self.steps = 0
        """Of the phase, those before a stop too; 0: this process had none to do."""
        self.losses: dict[str, float] = {}
        """Of the last round."""
        self._stylizer = stylizer
        self._samples = [_crop_square(sample) for sample in samples]
        self._writer = tf.summary.create_file_writer(storage.join(folder, phase))
        self._last = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes one round."""
        self.steps = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        self.losses = {name: float(value) for name, value in (logs or {}).items()}
        with self._writer.as_default():
            for name, value in self.losses.items():
                tf.summary.scalar(name, value, self.steps)
            if time.monotonic() - self._last >= _SECONDS:
                self._last = time.monotonic()
                self._write_samples()
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Writes the samples as they are in the end."""
        with self._writer.as_default():
            self._write_samples()
        self._writer.close()

    def _write_samples(self) -> None:
        for style in self._stylizer.styles[-_STYLES:]:
            rows = [np.hstack([image, self._stylizer.stylize(image, {style: 1.0})]) for image in self._samples]
            tf.summary.image(style, np.stack(rows), self.steps, max_outputs=len(rows))


def _crop_square(image: Image.Image) -> np.ndarray:
    """The middle of an image, [256, 256, 3] uint8."""
    shorter = min(image.size)
    left, top = ((length - shorter) // 2 for length in image.size)
    box = (left, top, left + shorter, top + shorter)
    return np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, box))
