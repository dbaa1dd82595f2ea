"""One preprocessing everywhere: an image of any kind gets the same probabilities from every artifact.

Where decoders differ: everything of ours decodes by TensorFlow with the accurate integer DCT and smooth upsampling,
which give the very pixels that Pillow (libjpeg-turbo) gives; a CMYK JPEG is off by at most one gray level, as are
colors that were converted from a profile. A client
that sends pixels and decodes JPEG by other means (TensorFlow's default, a browser, a phone) may be off by some levels
at any pixel: `test_fast_jpeg_decoding` bounds what that does. PNG, BMP and GIF are the same everywhere.
"""

import subprocess
import sys

import numpy as np
import pytest

from tests.deferred import deferred_imports
from tests.trainer import image_kinds
from tests.trainer.image_kinds import IMAGES, INEXACT, compute_expected
from tests.trainer.tiny_classes import GOLDEN, SIZE

with deferred_imports():
    import keras
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from tests.trainer import tiny_data
    from trainer import features
    from trainer.images import ops

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def pixels(transformed):
    """[N, size, size, 3] uint8: what Transform stored, in the order of `GOLDEN`."""
    return transformed.read_pixels("golden")


@pytest.fixture(scope="module")
def keras_file(exported):
    return exported.directory.parent / "model.keras"


@pytest.fixture(scope="module")
def probabilities(pixels, keras_file):
    """Through Transform's output and the `.keras` file: what all others are held against."""
    return keras.models.load_model(keras_file, compile=False).predict(pixels.astype(np.float32), verbose=0)


@pytest.fixture(scope="module")
def requests():
    return [tiny_data.make_request(IMAGES[kind]) for kind in GOLDEN]


def close(got, want):
    np.testing.assert_allclose(got, want, atol=TOLERANCE, rtol=0)


def test_the_images_tell_something(probabilities):
    """Else equal probabilities would prove nothing."""
    assert len(GOLDEN) >= 10
    assert {
        "jpeg_tall",
        "jpeg_orientation_6",
        "png_gray",
        "png_alpha",
        "jpeg_cmyk",
        "png_palette",
        "png_16_bit",
    } <= set(GOLDEN)
    assert probabilities.std(axis=0).max() > 0.1
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    # Whoever ignored EXIF would give both the same.
    upright, turned = (probabilities[GOLDEN.index(f"jpeg_orientation_{value}")] for value in (1, 6))
    assert abs(upright - turned).max() > 10 * TOLERANCE


def test_trained_model(classifier, pixels, probabilities):
    close(classifier.predict(pixels.astype(np.float32), verbose=0), probabilities)


def test_serving_default_with_the_image_alone(exported, requests, probabilities):
    close(exported.serve("serving_default", examples=requests)["probabilities"], probabilities)


def test_serving_default_with_whole_records(exported, transformed, probabilities):
    close(exported.serve("serving_default", examples=transformed.raw["golden"])["probabilities"], probabilities)


def test_serving_bytes(exported, probabilities):
    encoded = [IMAGES[kind] for kind in GOLDEN]
    close(exported.serve("serving_bytes", image_bytes=encoded)["probabilities"], probabilities)


def test_serving_bytes_one_by_one(exported, probabilities):
    for kind, want in zip(GOLDEN, probabilities, strict=True):
        close(exported.serve("serving_bytes", image_bytes=[IMAGES[kind]])["probabilities"], [want])


def test_serving_pixels(exported, pixels, probabilities):
    close(exported.serve("serving_pixels", pixels=pixels)["probabilities"], probabilities)


def test_float_tflite(float_tflite, pixels, probabilities):
    interpreter = Interpreter(model_content=float_tflite)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["dtype"] == np.uint8
    assert taken["shape"].tolist() == [1, SIZE, SIZE, 3]
    for image, want in zip(pixels, probabilities, strict=True):
        interpreter.set_tensor(taken["index"], image[np.newaxis])
        interpreter.invoke()
        close(interpreter.get_tensor(given["index"]), [want])


def test_transform_features_is_transform(exported, requests, transformed):
    got = exported.serve("transform_features", examples=requests)
    stored = {feature: [row.features.feature[feature] for row in transformed.read_rows("golden")] for feature in got}
    assert set(got) == {features.IMAGE, features.LABEL, features.PIXEL_MEAN, features.PIXEL_VARIANCE}
    assert got[features.IMAGE].tolist() == [one.bytes_list.value[0] for one in stored[features.IMAGE]]
    for name in (features.PIXEL_MEAN, features.PIXEL_VARIANCE):
        np.testing.assert_array_equal(got[name], [one.float_list.value for one in stored[name]])


def test_transform_features_takes_labels_where_there_are_any(exported, transformed):
    got = exported.serve("transform_features", examples=transformed.raw["golden"])
    assert got[features.LABEL].tolist() == transformed.read_labels("golden")


# Outside of this process and its packages


FRESH = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("components", "pipeline", "tests", "trainer", "tensorflow_transform", "tfx"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
directory, keras_file, inputs, outputs = sys.argv[1:]
import numpy as np
import tensorflow as tf
import keras

given = np.load(inputs)
encoded = [one.tobytes() for one in np.split(given["bytes"], given["ends"][:-1])]
loaded = tf.saved_model.load(directory).signatures
np.savez(
    outputs,
    serving_bytes=loaded["serving_bytes"](tf.constant(encoded))["probabilities"],
    serving_pixels=loaded["serving_pixels"](tf.constant(given["pixels"]))["probabilities"],
    keras=keras.models.load_model(keras_file, compile=False).predict(given["pixels"].astype("float32"), verbose=0),
)
"""


def test_a_fresh_process_without_our_packages(exported, keras_file, pixels, probabilities, tmp_path):
    encoded = [IMAGES[kind] for kind in GOLDEN]
    joined, ends = np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([len(one) for one in encoded])
    np.savez(tmp_path / "inputs.npz", bytes=joined, ends=ends, pixels=pixels)
    arguments = [exported.directory, keras_file, tmp_path / "inputs.npz", tmp_path / "outputs.npz"]
    command = [sys.executable, "-I", "-c", FRESH, *map(str, arguments)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = np.load(tmp_path / "outputs.npz")
    assert sorted(outputs) == ["keras", "serving_bytes", "serving_pixels"]
    for name in outputs:
        close(outputs[name], probabilities)


# Pixels that a client decodes by itself


def test_pillow_decodes_to_the_same_pixels(exported, pixels, probabilities):
    """A client may decode by Pillow, resize as we do, and send pixels."""
    decoded = np.stack([ops.resize(tf.constant(compute_expected(IMAGES[kind])), SIZE, "crop") for kind in GOLDEN])
    difference = abs(decoded.astype(int) - pixels).max(axis=(1, 2, 3))
    assert {kind for kind, levels in zip(GOLDEN, difference, strict=True) if levels} <= set(INEXACT)
    assert difference.max() <= image_kinds.TOLERANCE
    got = exported.serve("serving_pixels", pixels=decoded)["probabilities"]
    same = [kind not in INEXACT for kind in GOLDEN]
    close(got[same], probabilities[same])
    # One level in 255 at some pixels.
    assert abs(got - probabilities).max() < 0.02


def test_fast_jpeg_decoding(exported, probabilities):
    """The default of `tf.io.decode_jpeg` is a faster, coarser DCT and plain upsampling: a few levels off."""
    kinds = [kind for kind in GOLDEN if kind in ("jpeg", "jpeg_444", "jpeg_progressive", "jpeg_large")]
    fast = [tf.io.decode_jpeg(IMAGES[kind], channels=3, fancy_upscaling=False) for kind in kinds]
    exact = [compute_expected(IMAGES[kind]) for kind in kinds]
    levels = [abs(one.numpy().astype(int) - other) for one, other in zip(fast, exact, strict=True)]
    assert 0 < np.mean([one.mean() for one in levels]) < 4
    sent = np.stack([ops.resize(one, SIZE, "crop") for one in fast])
    got = exported.serve("serving_pixels", pixels=sent)["probabilities"]
    assert abs(got - probabilities[[GOLDEN.index(kind) for kind in kinds]]).max() < 0.1
