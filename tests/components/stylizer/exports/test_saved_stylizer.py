"""What `atelier stylize --model FOLDER` loads; a SavedModel of two lines stands for the network."""

import numpy as np
import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from atelier.stylization import Stylization
    from components.stylizer.exports.saved_stylizer import SavedStylizer

pytestmark = pytest.mark.slow


def save_shade(folder):
    """Saves what multiplies an image by the strength and by the first style's weight."""
    shade = tf.Module()
    shade.factor = tf.Variable(1.0)
    signature = {
        "pixels": tf.TensorSpec([1, None, None, 3], tf.uint8, "pixels"),
        "style_weights": tf.TensorSpec([1, 2], tf.float32, "style_weights"),
        "strength": tf.TensorSpec([1], tf.float32, "strength"),
    }

    @tf.function
    def restyle(pixels, style_weights, strength):
        shaded = tf.cast(pixels, tf.float32) * shade.factor * style_weights[0, 0] * strength
        return {"stylized": tf.cast(tf.round(shaded), tf.uint8)}

    tf.saved_model.save(shade, str(folder), signatures={"serving_pixels": restyle.get_concrete_function(**signature)})


def test_a_path_that_tensorflow_reads_as_a_pattern_is_loaded(tmp_path):
    version = tmp_path / "photos [2026]*" / "7"
    save_shade(tmp_path / "plain")
    version.parent.mkdir()
    (tmp_path / "plain").rename(version)
    (version / "assets.extra").mkdir()
    (version / "assets.extra/stylization.json").write_text(Stylization(styles=("red", "blue")).to_json())
    for path in (version, version.parent):
        stylizer = SavedStylizer(path)
        image = np.full((2, 3, 3), 100, np.uint8)
        np.testing.assert_array_equal(stylizer.stylize(image, {"red": 3, "blue": 1}, 0.4), np.full((2, 3, 3), 30))
