"""What a stylizer is trained on: crops of photographs, each with a style and a strength."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from PIL import Image

from components.stylizer.settings import TrainingSettings


class Crops(keras.utils.PyDataset):
    """Batches by the number of the step alone, so that a training that goes on sees what it would have seen."""

    def __init__(
        self,
        photographs: Sequence[Image.Image],
        styles: range,
        settings: TrainingSettings,
        first_step: int = 0,
        *,
        large: bool = False,
    ) -> None:
        """Holds the photographs in memory.

        Args:
          photographs: mode RGB, of any size.
          styles: rows of the styles to train; its end is how many there are.
          settings: of the training.
          first_step: with which it begins.
          large: whether the crops have `large_size`.
        """
        super().__init__(workers=settings.workers, max_queue_size=4 * settings.workers)
        self._photographs, self._styles, self._settings = photographs, styles, settings
        self._first_step = first_step
        self._size = settings.large_size if large else settings.image_size

    def __len__(self) -> int:
        return self._settings.steps_per_round

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray]]:
        return (self.build_batch(self._first_step + index),)

    def on_epoch_end(self) -> None:
        """The next round goes on behind this one."""
        self._first_step += len(self)

    def build_batch(self, step: int) -> dict[str, np.ndarray]:
        """The inputs of the network: `image` [N, S, S, 3] uint8, `style` [N, styles], `strength` [N]."""
        settings = self._settings
        random = np.random.default_rng((settings.seed, step))
        chosen = random.integers(len(self._photographs), size=settings.batch_size)
        return {
            "image": np.stack([_crop(self._photographs[number], self._size, settings, random) for number in chosen]),
            "style": np.stack([_draw_style(self._styles, settings, random) for _ in chosen]),
            "strength": np.array([_draw_strength(settings, random) for _ in chosen], np.float32),
        }


def _crop(photograph: Image.Image, size: int, settings: TrainingSettings, random: Any) -> np.ndarray:
    smallest, largest = np.log([settings.smallest_crop, settings.largest_crop])
    side = min(float(np.exp(random.uniform(smallest, largest))), *photograph.size)
    left, top = (random.uniform(0, length - side) for length in photograph.size)
    scaled = photograph.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    if random.random() < settings.vivid:
        scaled = _make_vivid(scaled, random.uniform(), random.uniform(1, 3))
    pixels = np.asarray(scaled)
    return pixels[:, ::-1] if random.random() < 0.5 else pixels


def _make_vivid(image: Image.Image, turn: float, saturation: float) -> Image.Image:
    """Turns the hue by so many full circles, and multiplies the saturation."""
    hue, dull, value = image.convert("HSV").split()
    hue = hue.point([round(256 * turn + level) % 256 for level in range(256)])
    vivid = dull.point([min(255, round(saturation * level)) for level in range(256)])
    return Image.merge("HSV", (hue, vivid, value)).convert("RGB")


def _draw_style(styles: range, settings: TrainingSettings, random: Any) -> np.ndarray:
    weights = np.zeros(styles.stop, np.float32)
    first, second = random.integers(styles.start, styles.stop, size=2)
    share = random.uniform() if random.random() < settings.blends else 1.0
    weights[first] += share
    weights[second] += 1 - share
    return weights


def _draw_strength(settings: TrainingSettings, random: Any) -> float:
    return 1.0 if random.random() < settings.full_strength else random.uniform()
