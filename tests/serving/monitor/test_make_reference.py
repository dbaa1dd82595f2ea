"""A reference that is made of records, by a model worked out by hand, through the command line."""

import io

import numpy as np
import pytest
from PIL import Image

from atelier import tfrecord
from pipeline.cli import main
from serving.monitor import reference as references
from serving.registry.pushed_versions import get_version
from tests.deferred import deferred_imports
from tests.serving.malformed import make_image

with deferred_imports():
    from serving.monitor import make_reference
    from tests.serving import tiny_model


@pytest.mark.slow
def test_a_reference_of_records_from_the_command_line(tmp_path, capsys):
    (tmp_path / "serving_model").mkdir()
    tiny_model.write(tmp_path / "serving_model", 7, store_size=512)
    values = [0, 51, 102, 153, 204, 255, 204]
    with (tmp_path / "records.tfrecord").open("wb") as stream:
        for value in values:
            tfrecord.write(stream, tfrecord.serialize_example({"image/encoded": make_image(value)}))
        tfrecord.write(stream, tfrecord.serialize_example({"image/encoded": b"no image"}))
    (tmp_path / "test").mkdir()
    (tmp_path / "records.tfrecord").rename(tmp_path / "test/records.tfrecord")
    words = ["models", "reference", "7", "--models", str(tmp_path / "serving_model")]
    assert main(words) == 1
    assert "--records" in capsys.readouterr().err
    assert main([*words, "--records", str(tmp_path / "test")]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path}/monitor/reference-7.npz: 7 images" in told
    found = references.load(references.locate(tmp_path, 7))
    assert found is not None
    assert dict(zip(found.classes.tolist(), found.class_counts.tolist(), strict=True)) == {"bright": 4, "dark": 3}
    np.testing.assert_allclose(found.numbers[:, 0], np.array(values) / 255, atol=0.01)
    np.testing.assert_allclose(found.numbers[:, 1:3], 0, atol=0.01)  # of one color
    side = Image.open(io.BytesIO(make_image(0))).size
    np.testing.assert_allclose(found.numbers[:, 3], np.log2(side[0] * side[1]), atol=1e-3)
    assert found.features.shape == (7, 3)
    np.testing.assert_allclose(found.features, np.repeat(np.array(values)[:, np.newaxis] / 255, 3, axis=1), atol=0.01)


@pytest.mark.slow
def test_features_are_drawn_from_all_records_which_may_be_sorted_by_class(tmp_path, monkeypatch):
    monkeypatch.setattr(make_reference, "MAX_FEATURES", 20)
    (tmp_path / "models").mkdir()
    tiny_model.write(tmp_path / "models", 7)
    (tmp_path / "records").mkdir()
    with (tmp_path / "records/test.tfrecord").open("wb") as stream:
        for value in [0] * 50 + [255] * 50:
            tfrecord.write(stream, tfrecord.serialize_example({"image/encoded": make_image(value)}))
    found = make_reference.make_reference(get_version(tmp_path / "models", 7), tmp_path / "records", "image/encoded")
    assert (found.images, len(found.features)) == (100, 20)
    assert 5 <= (found.features[:, 0] > 0.5).sum() <= 15
