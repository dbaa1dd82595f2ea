"""The script that a user would write for the same task with Keras alone, after Keras' own tutorials.

Images come from `image_dataset_from_directory`, are kept decoded in memory (`cache`) and prefetched; augmentation
layers stand before the backbone; `fit` does the rest.
"""

from pathlib import Path

import keras
import tensorflow as tf

from trainer.backbones import Backbone

DROPOUT = 0.2
LABEL_SMOOTHING = 0.1


def read_images(folder: Path, size: int, batch_size: int, batches: int | None, *, training: bool) -> tf.data.Dataset:
    """Batches of (pixels [N, size, size, 3] float32 in 0..255, one-hot label), decoded once.

    Args:
      folder: with a subfolder for each class.
      size: side in pixels; images are cropped to their aspect, as in the pipeline.
      batch_size: images per batch.
      batches: of an epoch; None: all there are.
      training: shuffles them, differently in every epoch.
    """
    dataset = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        batch_size=batch_size,
        image_size=(size, size),
        shuffle=True,
        seed=0,
        crop_to_aspect_ratio=True,
        verbose=False,
    )
    dataset = (dataset if batches is None else dataset.take(batches)).cache()
    return (dataset.shuffle(1000) if training else dataset).prefetch(tf.data.AUTOTUNE)


def build_model(backbone: Backbone, size: int, classes: int) -> keras.Model:
    """[N, size, size, 3] float32 RGB 0..255 -> [N, classes] probabilities; it shares `backbone`'s variables."""
    image = keras.Input((size, size, 3))
    x = keras.layers.RandomFlip("horizontal")(image)
    x = keras.layers.RandomRotation(0.1)(x)
    x = keras.layers.RandomZoom(0.1)(x)
    x = backbone.model(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(DROPOUT)(x)
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax", dtype="float32")(x))


def compile_model(model: keras.Model, learning_rate: float, steps_per_execution: int = 1) -> None:
    """Adam and label smoothing, as the Trainer has them; for either side."""
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        steps_per_execution=steps_per_execution,
    )
