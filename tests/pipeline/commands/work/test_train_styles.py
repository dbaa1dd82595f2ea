"""`atelier styles train`, in this process."""

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from tests.deferred import deferred_imports

with deferred_imports():
    from components.stylizer import network, stylizer


@pytest.fixture
def folders(tmp_path):
    """A stylizer, a folder with a style and one with a photograph."""
    stylizer.Stylizer(network.build(1, channels=(3, 4, 5), blocks=1), ("red",)).save(tmp_path / "tiny.npz")
    for name in ("styles", "photos"):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(len(name)).integers(0, 256, (80, 90, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "night sky.png")
    return tmp_path


def train(folders, *arguments):
    given = ("styles", "train", folders / "styles", "--content", folders / "photos", "--output", folders / "new.npz")
    return cli.main([str(each) for each in (*given, *arguments)])


@pytest.mark.slow
def test_a_style_of_a_folder_is_learned(folders, capfd):
    assert train(folders, "--model", folders / "tiny.npz", "--minutes", "0.05") == 0
    assert "new.npz: night-sky" in capfd.readouterr().out
    assert stylizer.load(folders / "new.npz").styles == ("red", "night-sky")


def test_the_output_is_looked_at_before_the_training(folders, capfd, monkeypatch):
    monkeypatch.setattr("components.stylizer.training.adding.add_styles", lambda stylizer, *_: stylizer)
    arguments = ("--model", folders / "tiny.npz")
    assert train(folders, *arguments, "--output", folders / "new/folder/mine.npz") == 0
    assert stylizer.load(folders / "new/folder/mine.npz").styles == ("red",)
    monkeypatch.setattr("components.stylizer.training.adding.add_styles", None)
    for output, facts in [
        (folders, [f"{folders}: it is a folder", "stylizer.npz"]),
        (folders / "tiny.npz/mine.npz", ["mine.npz: cannot be written", "--output"]),
    ]:
        assert train(folders, *arguments, "--output", output) == 1
        err = capfd.readouterr().err
        assert all(fact in err for fact in facts), err


def test_what_is_wrong_is_told(folders, capfd):
    for arguments, facts in [
        (("--model", folders / "none.npz"), ["none.npz", "cannot be read"]),
        (("--style", "day"), ["no style day", "night-sky"]),
        (("--content", folders / "none"), ["none: no such folder"]),
    ]:
        assert train(folders, *arguments) == 1
        err = capfd.readouterr().err
        assert all(fact in err for fact in facts), err
    assert train(folders, "--minutes", "0") == 2
    assert not (folders / "new.npz").exists()
