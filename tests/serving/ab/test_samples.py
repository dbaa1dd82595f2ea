"""What is measured of an image and what is kept of it."""

import io
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from serving.ab.answer_log import AnswerLog, AnswerLogError, read_log
from serving.ab.image_statistics import ImageStatistics, measure
from serving.ab.samples import SIDE, SampleFolder, Samples, find_sample, list_samples, shrink
from tests.serving.ab.answers import answer


def encode(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8))


def test_statistics_by_hand():
    halves = np.zeros((4, 8, 3), np.uint8)
    halves[:, 4:] = 255
    found = measure(encode(Image.fromarray(halves)))
    # The Laplacian is 1 and -1 beside the edge, 0 elsewhere: a quarter of the pixels.
    assert found == ImageStatistics(brightness=0.5, contrast=0.5, sharpness=0.5, size=5, format="png")


def test_darker_flatter_blurred_and_larger_images_are_told_apart(noise):
    plain = measure(encode(noise))
    dark = measure(encode(noise.point(lambda value: 0.6 * value)))
    assert dark.brightness == pytest.approx(0.6 * plain.brightness, abs=0.01)
    assert dark.contrast == pytest.approx(0.6 * plain.contrast, abs=0.01)
    assert measure(encode(noise.filter(ImageFilter.GaussianBlur(2)))).sharpness < 0.1 * plain.sharpness
    assert measure(encode(noise.resize((256, 128)))).size == plain.size + 2
    assert measure(encode(noise, "JPEG")).format == "jpeg"


def test_a_large_jpeg_is_measured_as_its_small_version():
    ramp = np.tile(np.linspace(0, 255, 2048).astype(np.uint8), (1024, 1))
    found = measure(encode(Image.fromarray(ramp), "JPEG", quality=95))
    assert found.brightness == pytest.approx(0.5, abs=0.005)
    assert found.contrast == pytest.approx(1 / 12**0.5, abs=0.005)
    assert found.size == 21


def test_statistics_are_in_the_log_and_older_logs_are_read(tmp_path):
    log = AnswerLog(tmp_path / "log")
    statistics = ImageStatistics(0.5, 0.2, 0.1, 17.0, "jpeg")
    log.add_answer(answer(1, image=statistics))
    log.close()
    with (tmp_path / "log").open("a") as stream:
        line = (tmp_path / "log").read_text().replace('"r1"', '"r2"')
        stream.write(line[: line.index(', "image"')] + "}\n")
    answers, _ = read_log(tmp_path / "log")
    assert [each.image for each in answers] == [statistics, None]


def test_what_is_kept_is_small_and_private(noise, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    folder = SampleFolder(Samples(tmp_path / "kept", share=1))
    folder.keep("../r1", encode(noise.resize((1024, 512)), "JPEG", exif=exif))
    (file,) = (tmp_path / "kept").iterdir()
    assert file.parent == tmp_path / "kept"
    content = find_sample(tmp_path / "kept", "../r1")
    assert content is not None
    assert content == file.read_bytes()
    assert b"secret" not in content
    assert Image.open(io.BytesIO(content)).size == (SIDE, SIDE // 2)
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert find_sample(tmp_path / "kept", "r1") is None


def test_a_share_of_the_requests_is_kept(noise, tmp_path):
    folder = SampleFolder(Samples(tmp_path, share=0.1))
    for number in range(500):
        folder.keep(f"r{number}", encode(noise.resize((8, 8))))
    assert 25 <= len(list(list_samples(tmp_path))) <= 75
    SampleFolder(Samples(tmp_path / "none", share=0)).keep("r1", encode(noise))
    assert list((tmp_path / "none").iterdir()) == []


def test_the_oldest_leave(noise, tmp_path):
    small = shrink(encode(noise))
    folder = SampleFolder(Samples(tmp_path, share=1, max_bytes=3 * len(small) + 10, max_days=2))
    (tmp_path / "mine.jpg").write_bytes(b"another file")
    seen: set[Path] = set()
    for number in range(5):
        folder.keep(f"r{number}", encode(noise))
        (file,) = {file for _, _, file in list_samples(tmp_path)} - seen
        seen.add(file)
        modified = time.time() + number - 3 * 86400 * (number == 4)
        os.utime(file, (modified, modified))
    folder.sweep()  # r4 is three days old; of the others three fit
    assert [find_sample(tmp_path, f"r{number}") is not None for number in range(5)] == [False, True, True, True, False]
    assert (tmp_path / "mine.jpg").exists()


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AnswerLogError, match=r"file/kept: images cannot be kept: Not a directory"):
        SampleFolder(Samples(tmp_path / "file/kept"))
    with pytest.raises(ValueError, match="share"):
        Samples(tmp_path, share=2)
