"""A reference that is made of records, by a model worked out by hand, through the command line."""

import io

import numpy as np
import pytest
from PIL import Image

from atelier import tfrecord
from pipeline.cli import main
from serving.monitor import reference as references
from tests.deferred import deferred_imports
from tests.serving.malformed import picture

with deferred_imports():
    from tests.serving import tiny_model


@pytest.mark.slow
def test_a_reference_of_records_from_the_command_line(tmp_path, capsys):
    (tmp_path / "serving_model").mkdir()
    tiny_model.write(tmp_path / "serving_model", 7, store_size=512)
    values = [0, 51, 102, 153, 204, 255, 204]
    with (tmp_path / "records.tfrecord").open("wb") as stream:
        for value in values:
            tfrecord.write(stream, tfrecord.serialize_example({"image/encoded": picture(value)}))
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
    side = Image.open(io.BytesIO(picture(0))).size
    np.testing.assert_allclose(found.numbers[:, 3], np.log2(side[0] * side[1]), atol=1e-3)
    assert found.features.shape == (7, 3)
    np.testing.assert_allclose(found.features, np.repeat(np.array(values)[:, np.newaxis] / 255, 3, axis=1), atol=0.01)
