"""The same network and total loss in float64 and NumPy, to check float32 against."""

import keras
import numpy as np
import tensorflow as tf


def build_network(model):
    """A copy of a Keras network that computes in float64."""

    def double(layer):
        return type(layer).from_config(layer.get_config() | {"dtype": "float64"})

    # Given, since Keras makes inputs of float32 and rounds to them.
    pixels = keras.Input((None, None, 3), dtype="float64")
    copy = keras.models.clone_model(model, input_tensors=pixels, clone_function=double)
    copy.set_weights([weight.astype(np.float64) for weight in model.get_weights()])
    return copy


def compute_features(model, image):
    """Of a network made here: NumPy float64 by layer, without the axis of the batch."""
    return {name: found.numpy()[0] for name, found in model(tf.constant(image, tf.float64)).items()}


def compute_gram(found):
    positions = found.reshape(-1, found.shape[-1])
    return positions.T @ positions / len(positions)


def compute_targets(model, objective, content, style):
    """Content features and Gram matrices, by layer, of two images [1, H, W, 3]."""
    there, painted = compute_features(model, content), compute_features(model, style)
    return [there[name] for name in objective.content_layers], [
        compute_gram(painted[name]) for name in objective.style_layers
    ]


def compute_terms(model, objective, image, wanted):
    """Content, style and variation loss of `image` [1, H, W, 3], composed in NumPy from float64 features."""
    here = compute_features(model, image)
    contents, grams = wanted
    content = np.mean([np.square(here[n] - c).mean() for n, c in zip(objective.content_layers, contents, strict=True)])
    layers = [np.square(compute_gram(here[n]) - g).mean() for n, g in zip(objective.style_layers, grams, strict=True)]
    pixels = image.astype(np.float64)[0]
    variation = (np.square(np.diff(pixels, axis=0)).sum() + np.square(np.diff(pixels, axis=1)).sum()) / pixels.size
    return np.array([content, np.average(layers, weights=objective.layer_weights), variation])
