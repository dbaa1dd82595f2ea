"""What `build` and `set_trainable` promise for every backbone, and where weights come from."""

import contextlib
import hashlib
import socket
import typing

import numpy as np
import pytest

from tests.deferred import deferred_imports
from trainer import backbones
from trainer.backbones import WeightsError, build, set_trainable
from trainer.settings import Trainer

with deferred_imports():
    import keras
    from keras.src.applications import efficientnet as keras_efficientnet
    from keras.src.backend import config as keras_config

pytestmark = pytest.mark.slow

# Channels of the last feature map and number of stages (Tan and Le 2019, 2021; keras.applications' documentation).
NETWORKS = {
    "efficientnet_lite0": (1280, 7),
    "efficientnet_lite1": (1280, 7),
    "efficientnet_lite2": (1280, 7),
    "efficientnet_b0": (1280, 7),
    "efficientnet_b1": (1280, 7),
    "efficientnet_b2": (1408, 7),
    "efficientnet_b3": (1536, 7),
    "efficientnet_b4": (1792, 7),
    "efficientnet_b5": (2048, 7),
    "efficientnet_b6": (2304, 7),
    "efficientnet_b7": (2560, 7),
    "efficientnet_v2_b0": (1280, 6),
    "efficientnet_v2_b1": (1280, 6),
    "efficientnet_v2_b2": (1408, 6),
    "efficientnet_v2_b3": (1536, 6),
    "efficientnet_v2_s": (1280, 6),
    "efficientnet_v2_m": (1280, 7),
    "efficientnet_v2_l": (1280, 7),
}
QUICK = ("efficientnet_lite0", "efficientnet_lite2", "efficientnet_b0", "efficientnet_v2_b0")
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)


def test_the_names_are_those_of_the_configuration():
    configurable = typing.get_args(Trainer.model_fields["backbone"].annotation)
    assert set(backbones.NAMES) == set(configurable) == set(NETWORKS)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS])
def test_every_backbone_builds_and_its_blocks_share_out_the_layers(name):
    channels, stages = NETWORKS[name]
    # The initial values of a hundred million weights take seconds, and nothing here looks at them.
    scope = contextlib.nullcontext() if name in QUICK else keras.StatelessScope(initialize_variables=False)
    with scope:
        backbone = build(name, 64, weights="none")
    assert backbone.model.input_shape == (None, 64, 64, 3)
    assert backbone.model.output_shape == (None, 2, 2, channels)
    assert backbone.pooled_channels == channels
    assert len(backbone.blocks) == stages + 2 == backbones.NETWORKS[name].block_count
    shared_out = [layer for block in backbone.blocks for layer in block]
    assert len(shared_out) == len(set(shared_out))
    assert {layer.name for layer in backbone.model.layers if layer.weights} <= set(shared_out)
    assert "stem_conv" in backbone.blocks[0]
    assert "top_conv" in backbone.blocks[-1]
    assert f"block{stages}a_project_conv" in backbone.blocks[-2]
    assert {type(layer).__module__.partition(".")[0] for layer in backbone.model.layers} == {"keras"}


def test_a_saved_backbone_loads_without_custom_objects(tmp_path):
    model = build("efficientnet_lite0", 32, "none", mean=[90, 100, 110], variance=[3000, 3500, 4000]).model
    model.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(PIXELS, training=False), model(PIXELS, training=False), atol=1e-5)


def compute_normalized(model: "keras.Model") -> np.ndarray:
    """What the stem's convolution sees of PIXELS; zero padding cut off."""
    stem = model.get_layer("stem_conv")
    return np.asarray(keras.Model(model.input, stem.input)(PIXELS, training=False))[:, :32, :32]


def test_statistics_are_for_random_lite_weights_alone():
    mean, variance = [90.0, 100.0, 110.0], [900.0, 1600.0, 2500.0]
    random = build("efficientnet_lite0", 32, "none", mean=mean, variance=variance)
    np.testing.assert_allclose(compute_normalized(random.model), (PIXELS - mean) / [30, 40, 50], atol=1e-5)
    pretrained = build("efficientnet_lite0", 32, "imagenet", mean=mean, variance=variance)
    np.testing.assert_allclose(compute_normalized(pretrained.model), (PIXELS - 127) / 128, atol=1e-6)
    v2 = build("efficientnet_v2_b0", 32, "none", mean=mean, variance=variance)
    np.testing.assert_allclose(
        compute_normalized(v2.model), (PIXELS / 255 - IMAGENET_MEAN) / IMAGENET_STDDEV, atol=1e-5
    )


def test_keras_drop_connect_follows_the_argument():
    def read_rates(drop_connect: float) -> dict[str, float]:
        model = build("efficientnet_b0", 32, "none", drop_connect=drop_connect).model
        return {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}

    # 16 blocks as in Lite0; the last with a shortcut is number 14.
    assert read_rates(0.16)["block6d_drop"] == pytest.approx(0.14)
    assert read_rates(0.16)["block2b_drop"] == pytest.approx(0.02)
    assert set(read_rates(0.0).values()) == {0.0}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "efficientnet_light0"}, "unknown backbone efficientnet_light0; did you mean efficientnet_lite0"),
        ({"name": "EfficientNetV2S"}, "unknown backbone"),
        ({"size": 31}, "at least 32 pixels"),
        ({"drop_connect": 1.0}, "drop_connect is 1.0"),
        ({"mean": [1, 2, 3]}, "mean and variance go together"),
        ({"mean": [1, 2], "variance": [1, 2, 3]}, "expected three values"),
        ({"mean": [0.4, 0.4, float("nan")], "variance": [1, 1, 1]}, "expected three values"),
        ({"mean": [1, 2, 3], "variance": [1, 1, -1]}, "expected three values"),
    ],
)
def test_bad_arguments_are_named(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        build(**{"name": "efficientnet_lite0", "size": 64, "weights": "none", **arguments})


def test_set_trainable_thaws_convolutions_from_a_block_on():
    backbone = build("efficientnet_lite0", 32, "none")

    def list_trainable(fine_tune_at):
        set_trainable(backbone, fine_tune_at)
        return [variable.path for variable in backbone.model.trainable_variables]

    assert list_trainable(None) == []
    # By the architecture's table: one stem, 2 in the block without expansion, 3 in the other 15, one head.
    assert len(list_trainable(0)) == 1 + 2 + 15 * 3 + 1
    paths = list_trainable(4)
    assert len(paths) == (3 + 3 + 4 + 1) * 3 + 1
    assert all(
        path.endswith("kernel") and path.startswith(("block4", "block5", "block6", "block7", "top_")) for path in paths
    )
    assert list_trainable(8) == ["top_conv/kernel"]
    assert list_trainable(None) == []
    for number in (9, -1):
        with pytest.raises(ValueError, match=f"fine_tune_at is {number}: efficientnet_lite0 has the blocks 0 to 8"):
            set_trainable(backbone, number)


def test_a_training_step_changes_the_thawed_kernels_and_nothing_else():
    keras.utils.set_random_seed(1)
    backbone = build("efficientnet_lite0", 32, "none")
    set_trainable(backbone, 6)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
    model = keras.Model(backbone.model.input, keras.layers.Dense(2)(pooled))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.MeanSquaredError(), jit_compile=False)
    before = {v.path: v.numpy().copy() for v in backbone.model.weights}
    model.train_on_batch(PIXELS, np.ones((2, 2), np.float32))
    changed = {v.path for v in backbone.model.weights if not np.array_equal(before[v.path], v.numpy())}
    assert changed == {v.path for v in backbone.model.trainable_variables}
    assert "block6a_dwconv/kernel" in changed
    assert not any("moving" in path for path in changed)


def test_batch_normalization_of_keras_networks_stays_in_inference_mode():
    backbone = build("efficientnet_b0", 32, "none")
    set_trainable(backbone, 0)
    statistics = [v for v in backbone.model.weights if "moving" in v.path]
    before = [v.numpy().copy() for v in statistics]
    inference = backbone.model(PIXELS, training=False)
    np.testing.assert_array_equal(backbone.model(PIXELS, training=True), inference)
    assert len(before) == 2 * 49  # B0's 49 convolutions outside of squeeze-and-excitation
    assert all(np.array_equal(old, v.numpy()) for old, v in zip(before, statistics, strict=True))
    # Thawed by hand they do use the batch's statistics: the equality above is no accident.
    for layer in backbone.model.layers:
        layer.trainable = True
    assert not np.array_equal(backbone.model(PIXELS, training=True), inference)


def hash_file(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def b0_file(tmp_path_factory):
    """A B0 with random weights and, as in the published file, standard deviations for the input's variance."""
    model = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    layer.set_weights([IMAGENET_MEAN, IMAGENET_STDDEV, np.array(0)])
    folder = tmp_path_factory.mktemp("b0")
    model.save(folder / "b0.h5")
    model.save_weights(folder / "b0.weights.h5")
    return folder


def test_a_weights_file_gives_what_the_download_gives(b0_file, tmp_path, monkeypatch):
    # The same weights where Keras keeps its downloads, under the hash that it expects.
    cached = tmp_path / "models" / "efficientnetb0_notop.h5"
    cached.parent.mkdir()
    cached.write_bytes((b0_file / "b0.h5").read_bytes())
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setitem(keras_efficientnet.WEIGHTS_HASHES, "b0", ("", hash_file(cached)))
    expected = np.asarray(build("efficientnet_b0", 32).model(PIXELS, training=False))
    assert expected.std() > 0
    for file in ("b0.h5", "b0.weights.h5"):
        path = b0_file / file
        model = build("efficientnet_b0", 32, str(path), hash_file(path)).model
        np.testing.assert_allclose(
            compute_normalized(model), (PIXELS / 255 - IMAGENET_MEAN) / IMAGENET_STDDEV, atol=1e-5
        )
        np.testing.assert_allclose(model(PIXELS, training=False), expected, atol=1e-4 * np.abs(expected).max())


def test_a_failing_download_is_one_sentence_with_the_remedy(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    # The seam: where keras.applications looks, and where it would find an earlier download.
    monkeypatch.setattr(keras_efficientnet, "BASE_WEIGHTS_PATH", f"http://127.0.0.1:{port}/")
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        build("efficientnet_b0", 32)
    message = str(caught.value)
    assert "\n" not in message
    assert f"127.0.0.1:{port}/efficientnetb0_notop.h5" in message
    assert "trainer.weights" in message
    assert "trainer.weights_sha256" in message


def test_a_wrong_hash_is_refused_before_the_file_is_parsed(tmp_path):
    for name, file in (("efficientnet_lite0", "w.pth"), ("efficientnet_b0", "w.weights.h5")):
        path = tmp_path / file
        path.write_bytes(b"no weights at all")
        with pytest.raises(WeightsError) as caught:
            build(name, 32, str(path), "0" * 64)
        assert hash_file(path) in str(caught.value)
        assert "0" * 64 in str(caught.value)
        with pytest.raises(WeightsError, match=r"weights_sha256"):
            build(name, 32, str(path))
        with pytest.raises(WeightsError, match=r"not a (PyTorch checkpoint|weights file)"):
            build(name, 32, str(path), hash_file(path))


@pytest.mark.parametrize(("name", "file"), [("efficientnet_b1", "b0.weights.h5"), ("efficientnet_v2_b0", "b0.h5")])
def test_the_file_of_another_network_is_refused(b0_file, name, file):
    path = b0_file / file
    with pytest.raises(WeightsError, match=f"{file}: not a weights file of {name}"):
        build(name, 32, str(path), hash_file(path))


def test_files_of_the_wrong_kind_or_absent(tmp_path):
    with pytest.raises(WeightsError, match=r"efficientnet_lite0 takes its weights from a \.pth file"):
        build("efficientnet_lite0", 32, "b0.h5", "0" * 64)
    with pytest.raises(WeightsError, match=r"efficientnet_b0 takes its weights from a \.weights\.h5 or \.h5 file"):
        build("efficientnet_b0", 32, "lite0.pth", "0" * 64)
    with pytest.raises(WeightsError, match=r"absent\.pth: the weights file cannot be read"):
        build("efficientnet_lite0", 32, str(tmp_path / "absent.pth"), "0" * 64)


def test_a_lite_checkpoint_by_its_path_equals_the_package(tmp_path):
    from trainer.backbones import lite_weights

    path, digest = lite_weights._locate_packaged(lite_weights._PACKAGES["efficientnet_lite0"])
    named = build("efficientnet_lite0", 32, path, digest.upper()).model
    packaged = build("efficientnet_lite0", 32).model
    np.testing.assert_array_equal(named(PIXELS, training=False), packaged(PIXELS, training=False))
