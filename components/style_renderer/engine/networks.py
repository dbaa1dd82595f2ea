"""Feature networks: images in, the activations of named layers out. Nothing deeper than the deepest is computed."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from components.style_renderer.engine.settings import Settings
from trainer.backbones import WeightsError, efficientnet_lite, keras_applications, lite_weights

_CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Red, green, blue: what VGG's weights were trained with, as their authors published them for Caffe."""
_VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclass(frozen=True)
class Recipe:
    """What a network is used for unless the settings say otherwise; weights apply to pixels of 0..255."""

    content_layers: tuple[str, ...]
    style_layers: Mapping[str, float]
    """By layer, its weight in the mean over layers."""
    content_weight: float
    style_weight: float
    tv_weight: float
    frequency_slope: float
    """Of the optimizer's unknowns; see `optimizers.run_lbfgs`."""


RECIPES = {
    # Conv1 of each block as in section 2.2 of the paper, whose style weight of 1e4 belongs to pixels of 0..255.
    "vgg19": Recipe(
        content_layers=("block5_conv2",),
        style_layers=dict.fromkeys((f"block{n}_conv1" for n in range(1, 6)), 1.0),
        content_weight=1.0,
        style_weight=1e4,
        tv_weight=0.0,
        # Random weights, 64 px, 25 iterations: 0.027 of the first loss at 0, 0.029 at 0.3, 0.050 at 0.6.
        frequency_slope=0.25,
    ),
    # Chosen by looking. A layer's weight is one over the mean square of its Gram matrix on paintings (much
    # the same for all that were tried): with equal weights the first layers would decide alone.
    "efficientnet_lite0": Recipe(
        content_layers=("block3b_expand_activation", "block4b_expand_activation"),
        style_layers={
            "stem_activation": 1 / 31,
            "block1a_activation": 1 / 56,
            "block2a_expand_activation": 1 / 27,
            "block2b_expand_activation": 1 / 9.6,
            "block3a_expand_activation": 1 / 9.7,
            "block3b_expand_activation": 1 / 4.0,
            "block4b_expand_activation": 1 / 1.4,
            "block5a_expand_activation": 1 / 3.3,
        },
        content_weight=1.0,
        style_weight=30.0,
        tv_weight=6e-4,
        # 256 px, 200 iterations: a loss of 1.48 at 0, 1.41 at 0.25, 1.34 at 0.6, 1.35 at 0.75, 1.48 at 1.
        frequency_slope=0.6,
    ),
}


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A network cut after the deepest layer that is used."""

    model: keras.Model
    """[N, H, W, 3] float32 RGB, 0..255, to a mapping of layer name to [N, h, w, C] float32."""
    strides: Mapping[str, int]
    """By layer: pixels of the image between two of its positions."""
    channels: Mapping[str, int]
    """By layer."""
    radius: int
    """How many pixels away, at most, a pixel may be that a feature still sees."""
    floats_per_pixel: float
    """Activations that a pass through the network makes, by pixel of the image."""

    @property
    def stride(self) -> int:
        """Of the coarsest layer: sides that are multiples of it meet no rounding on their way down."""
        return max(self.strides.values())

    def __call__(self, image: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """Features of images [N, H, W, 3] of 0..255, as float32 whatever the network computes in."""
        return {name: ops.cast(features, "float32") for name, features in self.model(image, training=False).items()}


def choose_recipe(settings: Settings) -> Recipe:
    """The network's recipe with what the settings change of it."""
    own = RECIPES[settings.network]
    return Recipe(
        content_layers=settings.content_layers or own.content_layers,
        style_layers=settings.style_layers or own.style_layers,
        content_weight=own.content_weight if settings.content_weight is None else settings.content_weight,
        style_weight=own.style_weight if settings.style_weight is None else settings.style_weight,
        tv_weight=own.tv_weight if settings.tv_weight is None else settings.tv_weight,
        frequency_slope=own.frequency_slope,
    )


def build(settings: Settings, precision: str = "float32") -> FeatureNetwork:
    """The network of the settings, cut to the layers that they use.

    Args:
      settings: its fields network, weights, weights_sha256, pooling and layers.
      precision: float32 or bfloat16, in which the features are computed.

    Raises:
      ValueError: a layer is not in the network.
      WeightsError: the weights cannot be had; the message says how to supply them.
    """
    used = choose_recipe(settings)
    layers = tuple(dict.fromkeys((*used.content_layers, *used.style_layers)))
    return _build(settings.network, settings.weights, settings.weights_sha256, settings.pooling, layers, precision)


@functools.lru_cache(maxsize=4)
def _build(
    name: str, weights: str, sha256: str, pooling: str, layers: tuple[str, ...], precision: str
) -> FeatureNetwork:
    whole = _build_vgg19(weights, sha256, pooling) if name == "vgg19" else _build_lite0(weights, sha256)
    known = [layer.name for layer in whole.layers[1:]]
    for layer in layers:
        if layer not in known:
            raise ValueError(f"{name} has no layer {layer}; there are {', '.join(known)}")
    cut = keras.Model(whole.input, {layer: whole.get_layer(layer).output for layer in layers})
    if precision == "bfloat16":
        cut = _cast(cut)
    cut.trainable = False
    side = 64  # any multiple of the stride of every layer
    shapes = keras.Model(cut.input, [layer.output for layer in cut.layers]).compute_output_shape((1, side, side, 3))
    return FeatureNetwork(
        model=cut,
        strides={layer: side // cut.compute_output_shape((1, side, side, 3))[layer][1] for layer in layers},
        channels={layer: whole.get_layer(layer).output.shape[-1] for layer in layers},
        radius=_compute_radius(cut),
        floats_per_pixel=sum(math.prod(shape[1:]) for shape in shapes) / side**2,
    )


def _build_lite0(weights: str, sha256: str) -> keras.Model:
    """Lite0 for images of any size, its batch normalization folded into the convolutions: a quarter faster."""
    trained = efficientnet_lite.build("efficientnet_lite0")
    if weights == "random":
        _draw_weights(trained)
    else:
        lite_weights.load(trained, "efficientnet_lite0", weights, sha256)

    def add_bias(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | ({"use_bias": True} if _is_convolution(layer) else {}))

    def skip_normalization(layer: keras.Layer, *inputs: Any, **options: Any) -> Any:
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        return inputs[0] if is_normalization else layer(*inputs, **options)

    folded = keras.models.clone_model(
        trained,
        input_tensors=keras.Input((None, None, 3), name="pixels"),
        clone_function=add_bias,
        call_function=skip_normalization,
    )
    for layer in filter(_is_convolution, trained.layers):
        normalization = trained.get_layer(layer.name.removesuffix("conv").removesuffix("_dw").removesuffix("_") + "_bn")
        gamma, beta, mean, variance = normalization.get_weights()
        scale = gamma / np.sqrt(variance + normalization.epsilon)
        (kernel,) = layer.get_weights()
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = kernel * (scale[:, np.newaxis] if depthwise else scale)
        folded.get_layer(layer.name).set_weights([kernel, beta - mean * scale])
    return folded


def _build_vgg19(weights: str, sha256: str, pooling: str) -> keras.Model:
    """VGG19 (Simonyan and Zisserman 2015) with the preprocessing that its weights were trained with, inside."""
    if weights == "imagenet":
        try:
            trained = keras.applications.VGG19(include_top=False, weights="imagenet")
        except Exception as error:  # Keras raises no narrower one when a download fails
            raise WeightsError(
                f"vgg19: Keras could not fetch its ImageNet weights ({error}); fetch {_VGG19_FILE} where there is a "
                "network and name it as weights with its weights_sha256, or take the network efficientnet_lite0"
            ) from error
    else:
        trained = keras.applications.VGG19(include_top=False, weights=None)
        if weights == "random":
            _draw_weights(trained)
        else:
            keras_applications.load_file(trained, weights, sha256, "vgg19")
    pixels = keras.Input((None, None, 3), name="pixels")
    x = keras.layers.Normalization(mean=_CAFFE_MEAN, variance=(1.0, 1.0, 1.0), dtype="float32", name="caffe")(pixels)
    for layer in trained.layers[1:]:
        if pooling == "average" and isinstance(layer, keras.layers.MaxPooling2D):
            x = keras.layers.AveragePooling2D(2, name=layer.name)(x)
        else:
            x = type(layer).from_config(layer.get_config())(x)
    network = keras.Model(pixels, x)
    kernel, *others = trained.get_weights()
    network.set_weights([kernel[:, :, ::-1], *others])  # BGR to RGB
    return network


def _draw_weights(model: keras.Model) -> None:
    """He et al. 2015, from a fixed seed: the arithmetic of trained weights without them."""
    random = np.random.default_rng(0)
    for layer in filter(_is_convolution, model.layers):
        kernel, *bias = layer.get_weights()
        fan_in = math.prod(kernel.shape[:2]) * (
            1 if isinstance(layer, keras.layers.DepthwiseConv2D) else kernel.shape[2]
        )
        layer.set_weights([random.normal(0, math.sqrt(2 / fan_in), kernel.shape).astype(np.float32), *bias])


def _cast(model: keras.Model) -> keras.Model:
    """The same network computing in bfloat16; what normalizes pixels stays float32."""

    def cast(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        kept = isinstance(layer, keras.layers.InputLayer | keras.layers.Normalization | keras.layers.Rescaling)
        return type(layer).from_config(config if kept else config | {"dtype": "mixed_bfloat16"})

    copy = keras.models.clone_model(model, clone_function=cast)
    copy.set_weights(model.get_weights())
    return copy


def _is_convolution(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)


def _compute_radius(model: keras.Model) -> int:
    """Adds up how far each layer looks, in pixels of the image, for sides that are multiples of the stride.

    There, TensorFlow's `same` pads a stride of 2 more at the end than at the beginning: the two sides differ.
    """
    before, after, stride = 0, 0, 1
    for layer in model.layers:
        if _is_convolution(layer):
            (kernel, _), (step, _) = layer.kernel_size, layer.strides
            padding = max(kernel - step, 0)
        elif isinstance(layer, keras.layers.MaxPooling2D | keras.layers.AveragePooling2D):
            (kernel, _), (step, _), padding = layer.pool_size, layer.strides, 0
        else:
            continue
        before += padding // 2 * stride
        after += (kernel - 1 - padding // 2) * stride
        stride *= step
    return max(before, after)
