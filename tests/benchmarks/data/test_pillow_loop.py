"""What ingest is measured beside does the same work: its records are ours."""

import pytest
from PIL import Image

from atelier import tfrecord
from benchmarks.data import pillow_loop, sample_images
from pipeline.beam import pipeline_options
from pipeline.config import config
from pipeline.ingest import ingest


def read_records(folder):
    found: list[bytes] = []
    for file in folder.glob("*/images-*.tfrecord"):
        with file.open("rb") as stream:
            found += tfrecord.read(stream)
    return sorted(found)


@pytest.mark.slow
def test_records_are_those_of_ingest(tmp_path):
    source = tmp_path / "images"
    sample_images.write_images(source, 60, [(400, 300), (640, 480), (2400, 1800)])
    photo = Image.open(source / "class_0" / "00000.jpg")
    turned = Image.Exif()
    turned[274] = 6
    photo.save(source / "class_0" / "turned.jpg", exif=turned)
    photo.convert("L").save(source / "class_1" / "gray.jpg")
    photo.save(source / "class_2" / "image.png")
    photo.save(source / "class_3" / "image.bmp")
    photo.save(source / "class_4" / "image.webp")

    ingest.ingest(str(source), tmp_path / "ours", config.Ingest(), pipeline_options.IN_MEMORY)
    pillow_loop.write(source, tmp_path / "loop")

    ours, loop = read_records(tmp_path / "ours"), read_records(tmp_path / "loop")
    assert len(ours) == 65
    assert loop == ours
    assert (tmp_path / "loop/labels.txt").read_text() == (tmp_path / "ours/labels.txt").read_text()
