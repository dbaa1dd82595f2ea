"""What a stylizer is trained by: the losses, the feature network and the style targets of the optimizing renderer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from components.style_renderer.engine import losses, networks
from components.style_renderer.engine.networks import FeatureNetwork
from components.style_renderer.engine.settings import Settings
from components.stylizer.settings import TrainingSettings
from components.stylizer.training import targets

Reached = tuple[float, float]
"""The content and the style loss that the optimizer reaches in a style, at 512 pixels."""
TYPICAL: Reached = (0.8, 0.0055)
"""The geometric mean of the base network's 21 styles, for styles of which it is not known."""
_LINEAR = 30.0
"""Times what the optimizer reaches: up to about there, the loss of style is linear."""


class Objective(keras.Model):
    """The network with what it is trained by: inputs as the network's, a loss of its own."""

    def __init__(
        self,
        network: keras.Model,
        features: FeatureNetwork,
        recipe: networks.Recipe,
        grams: Sequence[np.ndarray],
        reached: Sequence[Reached],
        settings: TrainingSettings,
    ) -> None:
        """Puts the parts together.

        Args:
          network: what is trained.
          features: what judges it, with the layers of the recipe.
          recipe: the optimizer's layers and weights.
          grams: [S, C, C], by style layer, in the order of the network's styles.
          reached: by style, in the same order.
          settings: of the training.
        """
        super().__init__(name="objective")
        self.network = network
        self.feature_model = features.model
        self._features = features
        self._recipe = recipe
        # Variables instead of constants: the compiler would copy those into the program.
        self._weights = self.add_weight(shape=(3,), trainable=False, name="weights")
        self._weights.assign([settings.content_weight, settings.style_weight, settings.tv_weight * recipe.tv_weight])
        self._reached = self.add_weight(shape=(len(reached), 2), trainable=False, name="reached")
        self._reached.assign(reached)
        self._targets = []
        for number, target in enumerate(grams):
            self._targets.append(self.add_weight(shape=target.shape, trainable=False, name=f"target{number}"))
            self._targets[-1].assign(target)
        self._shown = [keras.metrics.Mean(name) for name in ("content", "style", "tv")]

    def call(self, inputs: dict[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """What the network gives."""
        return self.network(inputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The losses of each image by what the optimizer reaches in its style, as a mean over the batch.

        Styles differ: some optimizers' style losses are fifteen times others', and one weight for all would leave the
        smallest far behind. Far above what can be reached, the loss of style grows as a logarithm: a crop of plain sky
        shall not outweigh the others. Style is weighted by the strength as `Weights.with_strength` of the engine does.
        """
        content, style, tv = self.compute_terms(x["image"], x["style"], y_pred)
        for metric, values in zip(self._shown, (content, style, tv), strict=True):
            metric.update_state(values)
        pull = x["strength"] ** 3
        weights = ops.convert_to_tensor(self._weights)
        reached = ops.matmul(x["style"], ops.convert_to_tensor(self._reached))
        away = _LINEAR * ops.log1p(style / reached[:, 1] / _LINEAR)
        by_content = (weights[0] * content + pull * weights[2] * tv) / reached[:, 0]
        return ops.mean(by_content + pull * weights[1] * away)

    def compute_terms(
        self, image: keras.KerasTensor, style: keras.KerasTensor, stylized: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        """Content, style and total variation loss [N] of stylized images, unweighted.

        Args:
          image: [N, H, W, 3] of 0..255, sides that are multiples of the feature network's stride.
          style: [N, S]; the target of a blend is the blend of the targets.
          stylized: [N, H, W, 3] float32 of 0..255.
        """
        wanted = self._features(ops.cast(image, "float32"))
        found = self._features(stylized)
        content = sum(
            losses.content_loss(found[name], ops.stop_gradient(wanted[name])) for name in self._recipe.content_layers
        ) / len(self._recipe.content_layers)
        targets = [ops.tensordot(style, ops.convert_to_tensor(target), 1) for target in self._targets]
        layers = self._recipe.style_layers
        grams = [losses.gram(found[name]) for name in layers]
        return content, losses.style_loss(grams, targets, tuple(layers.values())), losses.total_variation(stylized)


def build(
    model: keras.Model,
    styles: Sequence[np.ndarray],
    reached: Sequence[Reached],
    settings: TrainingSettings,
    cache: Path | None = None,
) -> Objective:
    """The objective with the optimizer's default feature network.

    Args:
      model: the stylizer's network.
      styles: images [H, W, 3] uint8, in the order of the network's styles.
      reached: by style, in the same order.
      settings: of the training.
      cache: file for the styles' targets, whose computation takes a while where each size is compiled by itself.

    Raises:
      WeightsError: the feature network's weights cannot be had.
    """
    rendering = Settings()
    features = networks.build(rendering, "bfloat16" if settings.precision == "mixed_bfloat16" else "float32")
    recipe = networks.choose_recipe(rendering)
    return Objective(
        model, features, recipe, targets.compute(recipe, styles, settings.style_size, cache), reached, settings
    )
