"""Keras' own EfficientNets (B0-B7 and V2), which normalize pixels of 0..255 inside."""

import warnings

import keras
import numpy as np

from atelier.files import leftovers
from trainer.backbones.weights_file import WeightsError, read_checked

_KERAS_DROP_CONNECT = 0.2  # what keras.applications builds in, without an argument to change it
_IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])


def build(name: str, size: int, weights: str, weights_sha256: str, drop_connect: float) -> keras.Model:
    """Builds one of keras.applications' EfficientNets without its head; arguments as in `trainer.backbones.build`.

    Raises:
      WeightsError: the ImageNet weights could not be downloaded, or the file is not this network's.
    """
    # efficientnet_b0 is EfficientNetB0 there, efficientnet_v2_s is EfficientNetV2S.
    network = getattr(keras.applications, "EfficientNet" + name.removeprefix("efficientnet_").replace("_", "").upper())
    shape = (size, size, 3)
    if weights == "imagenet":
        try:
            model = network(include_top=False, input_shape=shape, weights="imagenet")
        except Exception as error:  # Keras raises no narrower one when a download fails
            raise WeightsError(
                f"{name}: Keras could not fetch its ImageNet weights ({error}); fetch that file where there is a "
                "network and name it as trainer.weights with its trainer.weights_sha256"
            ) from error
    elif weights == "none":
        model = network(include_top=False, input_shape=shape, weights=None)
    else:
        model = network(include_top=False, input_shape=shape, weights=None)
        load_file(model, weights, weights_sha256, name)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate *= drop_connect / _KERAS_DROP_CONNECT
    return model


def load_file(model: keras.Model, path: str, sha256: str, name: str) -> None:
    """Loads a weights file into a network of keras.applications without its classification head.

    Args:
      model: the network that receives the weights.
      path: a `.weights.h5` or `.h5` file, wherever TensorFlow's file system reaches.
      sha256: its hash in hexadecimal.
      name: the network's, for errors.

    Raises:
      WeightsError: the file cannot be read, has another hash, or is another network's.
    """
    if not path.endswith(".h5"):
        raise WeightsError(f"{path}: {name} takes its weights from a .weights.h5 or .h5 file")
    content = read_checked(path, sha256)
    with leftovers.create_scratch("weights") as folder, warnings.catch_warnings():
        # Keras 3.15 warns of its own bookkeeping for every layer that it then finds under another path.
        warnings.filterwarnings("ignore", message="Skipping nested container at '_operations_by_depth")
        # The ending tells Keras which of its two formats it is.
        copy = folder / ("checked.weights.h5" if path.endswith(".weights.h5") else "checked.h5")
        copy.write_bytes(content)
        try:
            model.load_weights(copy)
        except Exception as error:  # h5py and Keras raise ValueError, KeyError, OSError and more
            raise WeightsError(
                f"{path}: not a weights file of {name} without its classification head: {_take_first_line(error)}"
            ) from error
    _correct_normalization(model)


def _correct_normalization(model: keras.Model) -> None:
    """Gives B0-B7 the variance that their ImageNet file lacks.

    The file has the standard deviation in its place (tensorflow/tensorflow issue 49930). For its own download Keras
    makes up for it with one more Rescaling layer; a file loaded by hand would be normalized wrongly without a word.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, count = layer.get_weights()
            if np.allclose(variance, _IMAGENET_STDDEV, atol=1e-4):
                layer.set_weights([mean, variance**2, count])
            layer.finalize_state()


def _take_first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
