import base64
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.report import evidence, showcase

NAMES = ["black", "gray", "white"]


def make_predictions(rows, side=2):
    """(label, probabilities) each, with an image whose gray is its index."""
    return showcase.Predictions(
        pixels=np.stack([np.full((side, side, 3), index, np.uint8) for index in range(len(rows))]),
        labels=np.array([label for label, _ in rows]),
        probabilities=np.array([probabilities for _, probabilities in rows], np.float32),
    )


def read_gray(image):
    content = base64.b64decode(image.source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)))[0, 0, 0]


def test_the_most_confident_mistakes_come_first():
    chosen = showcase.choose(
        make_predictions(
            [
                (0, [0.9, 0.1, 0.0]),
                (0, [0.2, 0.5, 0.3]),
                (1, [0.1, 0.0, 0.9]),
                (2, [0.3, 0.3, 0.4]),
                (2, [0.0, 0.6, 0.4]),
            ]
        ),
        NAMES,
    )
    assert (chosen.seen, chosen.cut, chosen.wrong_count) == (5, False, 3)
    assert [read_gray(image) for image in chosen.wrong] == [2, 4, 1]
    assert [read_gray(image) for image in chosen.right] == [3, 0]
    assert [(image.actual, image.predicted) for image in chosen.wrong] == [
        ("gray", "white"),
        ("white", "gray"),
        ("black", "gray"),
    ]


def test_the_actual_class_is_shown_beyond_the_first_three():
    (image,) = showcase.choose(make_predictions([(4, [0.1, 0.4, 0.2, 0.25, 0.05])]), []).wrong
    assert [(guess.name, guess.right) for guess in image.guesses] == [
        ("1", False),
        ("3", False),
        ("2", False),
        ("4", True),
    ]
    assert [guess.probability for guess in image.guesses] == pytest.approx([0.4, 0.25, 0.2, 0.05])


def test_the_choice_is_bounded_and_spread():
    rows = [(0, [0.5 + i / 1000, 0.4]) for i in range(101)] + [(1, [0.5 + i / 1000, 0.4]) for i in range(101)]
    chosen = showcase.choose(make_predictions(rows), NAMES)
    assert len(chosen.wrong) == 24
    # Ranks 0 to 100 in 11 equal steps of 9.1, rounded.
    assert [read_gray(image) for image in chosen.right] == [0, 9, 18, 27, 36, 45, 55, 64, 73, 82, 91, 100]


def test_all_right_or_all_wrong():
    assert showcase.choose(make_predictions([(0, [0.9, 0.1])]), NAMES).wrong == []
    assert showcase.choose(make_predictions([(1, [0.9, 0.1])]), NAMES).right == []


def test_tiny_images_are_kept_to_the_bit_and_large_ones_shrunk():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    (tiny,) = showcase.choose(showcase.Predictions(pixels, np.array([0]), np.array([[1.0]])), NAMES).right
    assert tiny.tiny
    assert tiny.source.startswith("data:image/png;base64,")
    content = base64.b64decode(tiny.source.partition(",")[2])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels[0])

    large = np.full((1, 600, 300, 3), 200, np.uint8)
    (shown,) = showcase.choose(showcase.Predictions(large, np.array([0]), np.array([[1.0]])), NAMES).right
    assert not shown.tiny
    image = Image.open(io.BytesIO(base64.b64decode(shown.source.partition(",")[2])))
    assert (image.format, image.size) == ("JPEG", (96, 192))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """A model that tells how bright an image is, and four test images, as the pipeline writes them."""
    import tensorflow as tf

    from trainer import features
    from trainer.images import lossless

    class Brightness(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.uint8, name="pixels")])
        def serving_pixels(self, pixels):
            brightness = tf.reduce_mean(tf.cast(pixels, tf.float32), axis=(1, 2, 3))[:, None] / 255
            return {"probabilities": tf.nn.softmax(-10 * tf.abs(brightness - tf.constant([[0.0, 0.5, 1.0]])))}

    folder = tmp_path_factory.mktemp("artifacts")
    serving = folder / "model" / "Format-Serving"
    model = Brightness()
    tf.saved_model.save(model, str(serving), signatures={"serving_pixels": model.serving_pixels})
    (serving / "assets.extra").mkdir()
    (serving / "assets.extra" / "labels.txt").write_text("black\ngr\u2028ey\nwhite\n", encoding="utf-8")
    split = folder / "examples" / "Split-test"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "records.gz"), "GZIP") as writer:
        for level, label in ((0, 0), (255, 2), (130, 1), (250, 0)):
            encoded = lossless.encode(tf.fill((4, 4, 3), tf.constant(level, tf.uint8))).numpy()
            feature = {
                features.IMAGE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
                features.LABEL: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return folder


def test_predictions_of_a_saved_model(artifacts):
    found = showcase.predict(artifacts / "model" / "Format-Serving", artifacts / "examples" / "Split-test")
    assert found is not None
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 255, 130, 250]
    assert found.pixels.shape == (4, 4, 4, 3)
    assert found.labels.tolist() == [0, 2, 1, 0]
    # By hand for the first: softmax of (0, -5, -10).
    expected = np.exp([0.0, -5.0, -10.0])
    np.testing.assert_allclose(found.probabilities[0], expected / expected.sum(), rtol=1e-5)
    assert found.probabilities.argmax(axis=1).tolist() == [0, 2, 1, 2]


def test_no_predictions_without_records(artifacts, tmp_path):
    assert showcase.predict(artifacts / "model" / "Format-Serving", tmp_path) is None


def test_the_report_finds_model_and_images_among_the_nodes(artifacts):
    nodes: dict[str, Any] = {
        "Trainer": SimpleNamespace(state="cached", outputs={"model": SimpleNamespace(uri=str(artifacts / "model"))}),
        "Transform": SimpleNamespace(
            state="complete", outputs={"transformed_examples": SimpleNamespace(uri=str(artifacts / "examples"))}
        ),
    }
    result: dict[str, Any] = {"quarantine": {"count": 0, "reasons": {}}}
    found = evidence.gather_evidence(result, nodes, artifacts)
    assert found.class_names == ["black", "gr\u2028ey", "white"]
    assert not found.text_labels
    files = (artifacts / "model" / "Format-Serving").rglob("*")
    assert found.saved_model_bytes == sum(file.stat().st_size for file in files if file.is_file())
    assert found.images is not None
    assert [(p.actual, p.predicted) for p in found.images.wrong] == [("black", "white")]
    assert len(found.images.right) == 3

    del nodes["Transform"]
    assert evidence.gather_evidence(result, nodes, artifacts).images is None
    nodes["Trainer"].state = "failed"
    assert evidence.gather_evidence(result, nodes, artifacts) == evidence.Evidence()
