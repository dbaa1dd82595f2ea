"""Feature networks against the models that they are made of, what they leave out, and weights that cannot be had."""

import hashlib
import socket
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from components.style_renderer.engine.settings import LAYERS, Settings
from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    import tensorflow as tf
    from keras.src.applications import vgg19 as keras_vgg19
    from keras.src.backend import config as keras_config

    from components.style_renderer.engine import networks
    from tests.components.style_renderer import double_precision, soft_noise
    from trainer.backbones import WeightsError, efficientnet_lite, keras_applications, lite_weights

VGG_LAYERS: dict[str, Any] = {
    "content_layers": ("block5_conv2",),
    "style_layers": {f"block{n}_conv1": 1.0 for n in range(1, 6)},
}
LITE_LAYERS: dict[str, Any] = {
    "content_layers": ("block4b_expand_activation",),
    "style_layers": {"stem_activation": 1.0, "block2b_expand_activation": 2.0, "block5a_expand_activation": 1.0},
}


def build_vgg19(**changes):
    return networks.build(Settings(**{"network": "vgg19", "weights": "random"} | VGG_LAYERS | changes))


def build_lite0(**changes):
    return networks.build(Settings(**LITE_LAYERS | changes))


def assert_close(found, expected):
    """Within 1e-4 of the largest: float32 rounds a sum of some thousand products to about 1e-6 of it, a layer."""
    expected = np.asarray(expected)
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def pixels():
    return np.concatenate([soft_noise.make_batch(seed, 64, 96) for seed in (1, 2)])


@pytest.fixture(scope="module")
def keras_vgg():
    """Keras' own VGG19 with the weights that `random` stands for."""
    model = keras.applications.VGG19(include_top=False, weights=None)
    networks._draw_weights(model)
    random = np.random.default_rng(3)
    for layer in model.layers:
        if layer.weights:  # biases too, which are zero when drawn
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.normal(0, 5, bias.shape)])
    return model


@pytest.fixture(scope="module")
def vgg_file(keras_vgg, tmp_path_factory):
    """Its weights in both of Keras' formats: the folder, and the SHA-256 by name."""
    folder = tmp_path_factory.mktemp("vgg19")
    keras_vgg.save(folder / "vgg.h5")
    keras_vgg.save_weights(folder / "vgg.weights.h5")
    return folder


def hash_file(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["imagenet", "random"])
def test_folding_the_normalization_leaves_lite0_what_it_is(weights, pixels):
    own = efficientnet_lite.build("efficientnet_lite0", size=64)
    if weights == "imagenet":
        lite_weights.load(own, "efficientnet_lite0", "imagenet")
    else:
        networks._draw_weights(own)
    network = build_lite0(weights=weights)
    assert not [layer for layer in network.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    original = keras.Model(own.input, {name: own.get_layer(name).output for name in network.strides})
    expected = original(pixels[:, :, :64], training=False)
    found = network(tf.constant(pixels[:, :, :64]))
    assert sorted(found) == sorted(expected)
    for name in found:
        assert_close(found[name], expected[name])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["vgg.h5", "vgg.weights.h5"])
def test_vgg19_equals_keras_with_its_preprocessing(keras_vgg, vgg_file, file, pixels):
    network = build_vgg19(weights=str(vgg_file / file), weights_sha256=hash_file(vgg_file / file))
    original = keras.Model(keras_vgg.input, {name: keras_vgg.get_layer(name).output for name in network.strides})
    expected = original(keras.applications.vgg19.preprocess_input(pixels.copy()))
    found = network(tf.constant(pixels))
    for name in found:
        assert_close(found[name], expected[name])


@pytest.mark.slow
def test_average_pooling_is_the_mean_of_four(pixels):
    layers = {"content_layers": ("block1_conv2",), "style_layers": {"block1_pool": 1.0}}
    averaged, largest = (build_vgg19(pooling=pooling, **layers)(tf.constant(pixels)) for pooling in ("average", "max"))
    np.testing.assert_array_equal(averaged["block1_conv2"], largest["block1_conv2"])
    below = largest["block1_conv2"].numpy()
    quarters = below.reshape(2, 32, 2, 48, 2, 64)
    assert_close(averaged["block1_pool"], quarters.mean(axis=(2, 4)))
    np.testing.assert_array_equal(largest["block1_pool"], quarters.max(axis=(2, 4)))


@pytest.mark.slow
def test_nothing_deeper_than_the_deepest_layer_is_there():
    names = [layer.name for layer in build_vgg19().model.layers]
    assert names[-1] == "block5_conv2"
    assert not {"block5_conv3", "block5_conv4", "block5_pool"} & set(names)
    names = [layer.name for layer in build_lite0().model.layers]
    assert names[-1] == "block5a_expand_activation"
    assert not [name for name in names if name.startswith(("block5a_dw", "block5b", "block6", "block7", "top"))]


@pytest.mark.slow
def test_an_unknown_layer_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"content_layers names block5_conv5: no layer of vgg19; did you mean block5_"):
        build_vgg19(content_layers=("block5_conv5",))
    with pytest.raises(ValueError, match=r"efficientnet_lite0 has no layer block1_conv1; there are .*stem_activation"):
        build_lite0(style_layers={"block1_conv1": 1.0})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg19", "efficientnet_lite0"])
def test_the_layers_that_settings_know_are_those_of_the_network(name):
    whole = networks._build_vgg19("random", "", "max") if name == "vgg19" else networks._build_lite0("random", "")
    assert LAYERS[name] == {layer.name for layer in whole.layers[1:]}


@pytest.mark.slow
def test_sizes_and_channels_are_told_as_they_are(pixels):
    for network in (build_lite0(), build_vgg19()):
        found = network(tf.constant(pixels))
        for name, features in found.items():
            assert features.shape[1:3] == (64 // network.strides[name], 96 // network.strides[name])
            assert features.shape[3] == network.channels[name]
            assert features.dtype == tf.float32
        assert network.stride == 16


@pytest.mark.slow
def test_activations_are_counted_by_pixel():
    # block1: pixels, normalized pixels and two convolutions; then a pool and a convolution at a quarter.
    found = build_vgg19(content_layers=("block1_conv2",), style_layers={"block2_conv1": 1.0})
    assert found.floats_per_pixel == pytest.approx(3 + 3 + 64 + 64 + 64 / 4 + 128 / 4)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["efficientnet_lite0", "vgg19"])
def test_a_feature_sees_as_far_as_the_radius_says(name, axis):
    network = build_lite0() if name == "efficientnet_lite0" else build_vgg19()
    deepest = network.model.layers[-1].name
    long, middle = 288, 144  # the middle is a multiple of the stride
    image = soft_noise.make_image(4, *((long, 32) if axis == 0 else (32, long))).astype(np.float64)[np.newaxis]
    exact = double_precision.build_network(network.model)  # float64, in which what is not seen has a gradient of just 0
    x = tf.constant(image)
    with tf.GradientTape() as tape:
        tape.watch(x)
        position = tf.gather(exact(x)[deepest], middle // network.strides[deepest], axis=1 + axis)
        seen = tf.reduce_sum(tf.square(position))
    slope = np.abs(tape.gradient(seen, x).numpy()[0]).max(axis=(1 - axis, 2))
    reach = np.abs(np.flatnonzero(slope) - middle).max()
    assert network.radius - 2 <= reach <= network.radius


@pytest.mark.slow
@pytest.mark.parametrize("build", [build_lite0, build_vgg19])
def test_pixels_further_away_change_nothing(build):
    network = build()
    near = soft_noise.make_batch(5, 32, 288)
    far = soft_noise.make_batch(6, 32, 288)
    distance = np.abs(np.arange(288) - 144)
    outside = np.where((distance > network.radius)[:, np.newaxis], far, near)
    inside = np.where((distance > network.radius // 2)[:, np.newaxis], far, near)
    expected, same, other = (network(tf.constant(image)) for image in (near, outside, inside))
    for name, stride in network.strides.items():
        at = 144 // stride
        assert_close(same[name][:, :, at], expected[name][:, :, at])
    assert not np.allclose(other[name][:, :, at], expected[name][:, :, at], rtol=1e-2)


@pytest.mark.slow
def test_random_weights_are_the_same_each_time(pixels):
    for build in (build_vgg19, build_lite0):
        first = build(weights="random")
        networks._build.cache_clear()
        again = build(weights="random")
        assert again is not first
        for one, other in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        assert build(weights="random") is again


@pytest.mark.slow
def test_bfloat16_is_near_and_leaves_float32(pixels):
    for name, layers in (("vgg19", VGG_LAYERS), ("efficientnet_lite0", LITE_LAYERS)):
        settings = Settings(network=name, weights="random" if name == "vgg19" else "imagenet", **layers)
        exact, rounded = (networks.build(settings, precision)(tf.constant(pixels)) for precision in _PRECISIONS)
        for layer, expected in exact.items():
            assert rounded[layer].dtype == tf.float32
            error = np.linalg.norm(rounded[layer] - expected) / np.linalg.norm(expected)
            # bfloat16 keeps 8 bits: each layer adds some 2 ** -9 to the error of those before.
            assert 1e-4 < error < 0.1


_PRECISIONS = ("float32", "bfloat16")


def assert_says_the_remedy(message):
    assert message.startswith("vgg19: ")
    assert "\n" not in message
    assert keras_vgg19.WEIGHTS_PATH_NO_TOP.rsplit("/", 1)[1] in message
    assert "weights_sha256" in message
    assert "efficientnet_lite0" in message


@pytest.fixture
def no_download(monkeypatch, tmp_path):
    """Keras finds neither an earlier download nor anyone listening where it looks for the file."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    file = keras_vgg19.WEIGHTS_PATH_NO_TOP.rsplit("/", 1)[1]
    monkeypatch.setattr(keras_vgg19, "WEIGHTS_PATH_NO_TOP", f"http://127.0.0.1:{port}/{file}")
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path))


def test_missing_weights_are_an_error_with_the_remedy_and_no_other_network(no_download):
    before = networks._build.cache_info().currsize
    with pytest.raises(WeightsError) as caught:
        build_vgg19(weights="imagenet")
    assert_says_the_remedy(str(caught.value))
    assert networks._build.cache_info().currsize == before


@pytest.mark.slow
def test_weights_that_keras_has_are_used(keras_vgg, vgg_file, no_download, tmp_path, monkeypatch, pixels):
    cached = tmp_path / "models" / keras_vgg19.WEIGHTS_PATH_NO_TOP.rsplit("/", 1)[1]
    cached.parent.mkdir()
    cached.write_bytes((vgg_file / "vgg.h5").read_bytes())
    get_file = keras_vgg19.file_utils.get_file  # which checks the MD5 of the real file
    monkeypatch.setattr(
        keras_vgg19.file_utils, "get_file", lambda *given, **named: get_file(*given, **named | {"file_hash": None})
    )
    found = build_vgg19(weights="imagenet")(tf.constant(pixels))
    by_path = build_vgg19(weights=str(vgg_file / "vgg.h5"), weights_sha256=hash_file(vgg_file / "vgg.h5"))(
        tf.constant(pixels)
    )
    np.testing.assert_array_equal(found["block5_conv2"], by_path["block5_conv2"])
    networks._build.cache_clear()  # `imagenet` must not mean these weights for other tests


@pytest.mark.slow
def test_files_with_another_hash_or_of_another_network_are_refused(vgg_file, tmp_path):
    path = vgg_file / "vgg.h5"
    with pytest.raises(WeightsError, match=r"its SHA-256 is .*, expected 0000"):
        build_vgg19(weights=str(path), weights_sha256="0" * 64)
    with pytest.raises(ValidationError, match=r"weights is 'lite0\.pth': .* ends in \.weights\.h5 or \.h5"):
        build_vgg19(weights="lite0.pth", weights_sha256="0" * 64)
    other = tmp_path / "vgg16.h5"
    keras.applications.VGG16(include_top=False, weights=None).save(other)
    with pytest.raises(WeightsError, match=r"vgg16\.h5: not a weights file of vgg19"):
        build_vgg19(weights=str(other), weights_sha256=hash_file(other))
    with pytest.raises(WeightsError, match=r"efficientnet_lite0 takes its weights from a \.pth file"):
        build_lite0(weights=str(path), weights_sha256=hash_file(path))


def test_a_file_needs_its_hash():
    with pytest.raises(WeightsError, match=r"vgg\.h5: .*weights_sha256"):
        keras_applications.load_file(keras.Sequential(), "vgg.h5", "", "vgg19")


def test_settings_change_the_recipe_where_they_say_something():
    own = networks.choose_recipe(Settings(network="vgg19"))
    assert own == networks.RECIPES["vgg19"]
    changed = networks.choose_recipe(Settings(network="vgg19", style_weight=0.0, style_layers={"block1_conv1": 2.0}))
    assert (changed.style_weight, dict(changed.style_layers)) == (0.0, {"block1_conv1": 2.0})
    assert (changed.content_weight, changed.content_layers) == (own.content_weight, own.content_layers)
    assert networks.choose_recipe(Settings(tv_weight=0.25, content_weight=3.0)).tv_weight == 0.25


@pytest.mark.slow
def test_every_recipe_names_layers_that_its_network_has():
    for name in networks.RECIPES:
        network = networks.build(Settings(network=name, weights="random"))
        recipe = networks.RECIPES[name]
        assert set(network.strides) == {*recipe.content_layers, *recipe.style_layers}


def test_vgg19_is_used_as_the_paper_says():
    recipe = networks.RECIPES["vgg19"]
    assert recipe.content_layers == ("block5_conv2",)
    assert dict(recipe.style_layers) == dict.fromkeys((f"block{n}_conv1" for n in range(1, 6)), 1.0)
    assert recipe.style_weight / recipe.content_weight == 1e4
