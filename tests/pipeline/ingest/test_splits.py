import hashlib
import io
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atelier import images
from pipeline.ingest import splits
from pipeline.ingest.splits import Row


def compute_digest(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def make_row(path, pixels, label="a", split=""):
    return Row(path, label, split, compute_digest(pixels), "00" * 72, "png", 0, 0, 1)


def place(rows, given=(), eval_fraction=0.1, test_fraction=0.2):
    by_split, found = splits.assign(rows, given, eval_fraction, test_fraction)
    return {r.path: split for split, members in by_split.items() for r in members}, found


def test_the_digest_decides_by_its_first_64_bits():
    low, high = "0" * 64, "f" * 64
    assert splits.choose_split(low, 0.1, 0.2) == "test"
    assert splits.choose_split(high, 0.1, 0.2) == "train"
    # 0.2 * 2**64 is 0x3333..., and 0.3 * 2**64 is 0x4ccc...
    assert splits.choose_split("3333" + "0" * 60, 0.1, 0.2) == "test"
    assert splits.choose_split("3334" + "0" * 60, 0.1, 0.2) == "eval"
    assert splits.choose_split("4ccc" + "0" * 60, 0.1, 0.2) == "eval"
    assert splits.choose_split("4ccd" + "0" * 60, 0.1, 0.2) == "train"


def test_every_class_gives_each_split_its_share():
    rows = [make_row(f"{label}/{n}", f"{label}{n}", label) for label in "ab" for n in range(2000)]
    by_split, _ = splits.assign(rows, (), 0.1, 0.2)
    for label in "ab":
        for split, share in (("train", 0.7), ("eval", 0.1), ("test", 0.2)):
            count = sum(r.label == label for r in by_split[split])
            assert abs(count - 2000 * share) < 4 * (2000 * share * (1 - share)) ** 0.5


def test_adding_files_moves_none_of_the_others():
    few, _ = place([make_row(f"{n}", n) for n in range(50)])
    more, _ = place([make_row(f"{n}", n) for n in range(500)])
    assert few == {path: more[path] for path in few}
    assert set(few.values()) == {"train", "eval", "test"}


def test_copies_stay_together_whatever_their_names_and_classes():
    rows = [make_row(f"{copy}/{n}", n, label=copy) for copy in "xyz" for n in range(40)]
    placed, found = place(rows)
    assert all(placed[f"x/{n}"] == placed[f"y/{n}"] == placed[f"z/{n}"] for n in range(40))
    assert found["duplicates"]["pictures"] == 80
    assert found["conflicting_labels"]["pictures"] == 40
    assert len(found["conflicting_labels"]["examples"]) == splits.EXAMPLES
    assert ["x/3", "y/3", "z/3"] in place([make_row(f"{c}/3", 3, c) for c in "xyz"])[1]["conflicting_labels"][
        "examples"
    ]
    same_class = place([make_row("1", 1), make_row("2", 1)])[1]
    assert same_class["conflicting_labels"]["pictures"] == 0
    assert same_class["duplicates"] == {"pictures": 1, "examples": [["1", "2"]]}


def test_given_splits_are_kept_and_a_missing_one_is_carved_out_of_train():
    rows = [make_row(f"t{n}", f"t{n}", split="train") for n in range(200)]
    rows += [make_row(f"v{n}", f"v{n}", split="eval") for n in range(50)]
    placed, found = place(rows, given=("train", "eval"))
    assert all(placed[f"v{n}"] == "eval" for n in range(50))
    carved = [n for n in range(200) if placed[f"t{n}"] == "test"]
    assert carved == [n for n in range(200) if splits.choose_split(compute_digest(f"t{n}"), 0.0, 0.2) == "test"]
    assert {placed[f"t{n}"] for n in range(200)} == {"train", "test"}
    assert found["leakage"]["dropped"] == 0
    rows = [make_row(f"{s}{n}", f"{s}{n}", split=s) for s in ("train", "eval", "test") for n in range(50)]
    placed, _ = place(rows, given=("train", "eval", "test"))
    assert all(path.startswith(split) for path, split in placed.items())


def test_an_image_in_two_given_splits_stays_in_the_one_that_measures():
    rows = [
        make_row("train/1", 1, split="train"),
        make_row("test/1", 1, split="test"),
        make_row("train/2", 2, split="train"),
        make_row("val/2", 2, split="eval"),
        make_row("train/3", 3, split="train"),
    ]
    placed, found = place(rows, given=("train", "eval", "test"))
    assert placed == {"test/1": "test", "val/2": "eval", "train/3": "train"}
    assert found["leakage"]["dropped"] == 2
    assert {"dropped": "train/1", "from": "train", "kept": "test/1", "in": "test"} in found["leakage"]["examples"]
    assert {"dropped": "train/2", "from": "train", "kept": "val/2", "in": "eval"} in found["leakage"]["examples"]


def make_thumbnail(image, pillow_format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return np.frombuffer(images.normalize(stream.getvalue(), 512, 10**6).thumbnail, np.uint8).reshape(8, 9)


@pytest.fixture(scope="module")
def photographs():
    photo = Image.open(Path(sysconfig.get_path("purelib")) / "skimage" / "data" / "coffee.png")
    boxes = [(x, y, x + 150, y + 150) for x in range(0, 450, 75) for y in range(0, 250, 50)]
    return [photo.crop(box) for box in boxes]


def test_recoded_and_scaled_images_are_near_duplicates_and_others_are_not(photographs):
    originals = [make_thumbnail(image) for image in photographs]
    changed = [make_thumbnail(image, "JPEG", quality=40) for image in photographs]
    changed += [make_thumbnail(image.resize((75, 75))) for image in photographs]
    count = len(originals)
    found = splits.find_near_pairs(np.stack(originals + changed), np.array([0] * count + [2] * 2 * count))
    assert all(j % count == i for i, j in found)
    assert len(found) >= 0.9 * 2 * count
    assert splits.find_near_pairs(np.stack(originals + changed), np.zeros(3 * count, int)) == []


def test_a_crowd_of_like_images_costs_linear_time_only():
    crowd = np.zeros((4000, 8, 9), np.uint8)
    found = splits.find_near_pairs(crowd, np.arange(4000) % 2)
    assert 2000 <= len(found) <= 4000 * 32


def test_near_duplicates_are_counted_and_named():
    spread = np.linspace(0, 255, 72, dtype=np.uint8).tobytes()
    rows = [make_row("t", 1, split="train"), make_row("v", 2, split="eval"), make_row("w", 3, split="test")]
    for r, values in zip(rows, (spread, spread[::-1], spread), strict=True):
        r.thumbnail = values.hex()
    _, found = place(rows, given=("train", "eval", "test"))
    assert found["near_duplicates"] == {
        "pictures": 1,
        "by_split": {"test": 1},
        "examples": [{"paths": ["t", "w"], "splits": ["train", "test"]}],
    }


def test_nothing_at_all_is_no_error():
    by_split, found = splits.assign([], (), 0.1, 0.2)
    assert by_split == {"train": [], "eval": [], "test": []}
    assert found["near_duplicates"]["pictures"] == 0
