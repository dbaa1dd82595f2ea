"""Images of a foreign domain drift in the features of the real backbone, served over gRPC; held-out images do not."""

import io
import itertools

import numpy as np
import pytest

from atelier import tfrecord
from atelier.layout import ENCODED_IMAGE
from pipeline.ingest.builtin_sources import mnist, photos
from serving.ab.samples import SampleFolder, Samples
from serving.monitor.drift_watch import DRIFTED, FEATURES, STEADY, DriftWatch
from serving.monitor.features import FeatureWindow
from serving.registry.pushed_versions import get_version
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    from serving.monitor.make_reference import make_reference
    from serving.server.local_server import LocalServer, Options
    from trainer import backbones
    from trainer.images import ops

pytestmark = pytest.mark.slow

SIZE, IMAGES = 64, 144


def write_model(base):
    """Saves EfficientNet-Lite0 with its ImageNet weights as version 1; only its features matter here."""
    network = backbones.build("efficientnet_lite0", size=SIZE).model
    module = tf.Module()
    module.variables_of_network = [weight.value for weight in network.weights]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_features(image_bytes):
        pixels = tf.cast(ops.decode_and_resize(image_bytes, SIZE, "crop"), tf.float32)
        return {"features": tf.reduce_mean(network(pixels, training=False), axis=[1, 2])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_bytes(image_bytes):
        return {"label": tf.fill(tf.shape(image_bytes), "any")}

    signatures = {"serving_features": serving_features, "serving_bytes": serving_bytes}
    tf.saved_model.save(module, str(base / "1"), signatures=signatures)


def encode(image):
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def domains():
    """Of each domain two disjoint halves: patches of 12 photographs, and digits."""
    drawn = np.random.default_rng(4)
    patches = [image for name, image in photos.cut_patches() if name.startswith("test/")]
    digits = [image for _, image in mnist.read_digits()]
    chosen = {"photos": drawn.permutation(len(patches))[: 2 * IMAGES], "digits": drawn.choice(5000, 2 * IMAGES, False)}
    images = {"photos": patches, "digits": digits}
    return {
        name: [[encode(images[name][at]) for at in half.tolist()] for half in np.split(rows, 2)]
        for name, rows in chosen.items()
    }


@pytest.fixture(scope="module")
def served(domains, tmp_path_factory):
    """The drift watch of each domain's first half, and the features of each second half."""
    base = tmp_path_factory.mktemp("foreign") / "serving_model"
    base.mkdir()
    write_model(base)
    watches, windows = {}, {}
    for name, (first, _) in domains.items():
        records = base.parent / name
        records.mkdir()
        with (records / "test.tfrecord").open("wb") as stream:
            for encoded in first:
                tfrecord.write(stream, tfrecord.serialize_example({ENCODED_IMAGE: encoded}))
        watches[name] = DriftWatch(make_reference(get_version(base, 1), records, ENCODED_IMAGE))
    text = f'model_config_list {{ config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" }} }}'
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    with LocalServer(config, Options(port=0)) as server:
        for name, (_, second) in domains.items():
            folder = base.parent / f"samples_{name}"
            kept = SampleFolder(Samples(folder, share=1))
            for number, encoded in enumerate(second):
                kept.keep(str(number), encoded)
            window = FeatureWindow(folder, server.target, "m")
            windows[name] = window.collect(1, 500)
            window.close()
    return watches, windows


@pytest.mark.parametrize(("reference", "asked"), itertools.product(("photos", "digits"), repeat=2))
def test_a_foreign_domain_is_found_and_held_out_images_are_not(served, reference, asked):
    watches, windows = served
    effect = watches[reference].judge_features(windows[asked])
    assert (effect.name, effect.requests) == (FEATURES, IMAGES)
    if reference == asked:
        assert effect.state == STEADY
        assert abs(effect.size) < 0.25 * effect.limit
    else:
        assert effect.state == DRIFTED
        assert effect.size > 5 * effect.limit
