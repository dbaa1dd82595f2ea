"""The same network and total loss in float64 and NumPy, to check float32 against."""

import keras
import numpy as np
import tensorflow as tf


def network(model):
    """A copy of a Keras network that computes in float64."""

    def doubled(layer):
        return type(layer).from_config(layer.get_config() | {"dtype": "float64"})

    copy = keras.models.clone_model(model, clone_function=doubled)
    copy.autocast = False  # to float32, Keras' default for a model as a whole
    copy.set_weights([weight.astype(np.float64) for weight in model.get_weights()])
    return copy


def features(model, image):
    """Of a network made here: NumPy float64 by layer, without the axis of the batch."""
    return {name: found.numpy()[0] for name, found in model(tf.constant(image, tf.float64)).items()}


def gram(found):
    positions = found.reshape(-1, found.shape[-1])
    return positions.T @ positions / len(positions)


def terms(model, objective, image, content, style):
    """Content, style and variation loss of `image`, composed in NumPy from float64 features; all [1, H, W, 3]."""
    here, there, painted = (features(model, picture) for picture in (image, content, style))
    content_loss = np.mean([np.square(here[name] - there[name]).mean() for name in objective.content_layers])
    style_loss = np.average(
        [np.square(gram(here[name]) - gram(painted[name])).mean() for name in objective.style_layers],
        weights=objective.layer_weights,
    )
    pixels = image.astype(np.float64)[0]
    variation = (np.square(np.diff(pixels, axis=0)).sum() + np.square(np.diff(pixels, axis=1)).sum()) / pixels.size
    return np.array([content_loss, style_loss, variation])
