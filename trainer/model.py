"""The classifier: a backbone, global average pooling, and one dense layer."""

from dataclasses import dataclass

import keras

from trainer.backbones import Backbone


@dataclass(frozen=True)
class Classifier:
    """Two views of the same variables, so that the head can be trained on kept features."""

    model: keras.Model
    """[N, size, size, 3] float32 RGB 0..255 -> [N, classes] float32 probabilities."""
    features: keras.Model
    """The same pixels -> [N, channels], what the head takes."""
    head: keras.Model
    """[N, channels] -> [N, classes] float32 probabilities."""


def build_classifier(backbone: Backbone, class_count: int, dropout: float) -> Classifier:
    """Puts a new head on `backbone`; under mixed precision the probabilities stay float32."""
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    drop = keras.layers.Dropout(dropout, name="head_dropout")
    dense = keras.layers.Dense(class_count, activation="softmax", dtype="float32", name="probabilities")

    pixels = backbone.model.input
    pooled = pool(backbone.model.output)
    vector = keras.Input((backbone.pooled_channels,), name="features")
    return Classifier(
        model=keras.Model(pixels, dense(drop(pooled)), name="classifier"),
        features=keras.Model(pixels, pooled, name="feature_extractor"),
        head=keras.Model(vector, dense(drop(vector)), name="head"),
    )
