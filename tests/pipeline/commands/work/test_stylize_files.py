"""`atelier stylize`, in this process, with a tiny network and with the base network."""

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from tests.deferred import deferred_imports

with deferred_imports():
    from components.stylizer import network, stylizer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("model") / "tiny.npz"
    stylizer.Stylizer(network.build(2, channels=(3, 4, 5), blocks=1), ("red", "blue")).save(file)
    return file


@pytest.fixture
def photos(tmp_path):
    """Two images, one of them in a subfolder, and a hidden file."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    colors = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(colors).save(tmp_path / "photos" / "a.png")
    Image.new("RGB", (90, 30), "navy").save(tmp_path / "photos" / "more" / "b.jpg")
    (tmp_path / "photos" / ".hidden").write_text("no image")
    return tmp_path / "photos"


@pytest.fixture
def atelier(capfd):
    """Runs the command; gives the exit code and standard error."""

    def run(*arguments):
        code = cli.main(["stylize", *map(str, arguments)])
        return code, capfd.readouterr().err

    return run


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_folder_keeps_its_shape_and_a_second_run_does_not_restyle_the_first(atelier, photos, model):
    out = photos / "out"
    for _ in range(2):
        assert atelier(photos, "--model", model, "--style", "red", "--output", out)[0] == 0
        assert written(out) == ["a.jpg", "more/b.jpg"]
    assert Image.open(out / "a.jpg").size == (60, 40)


def test_strength_0_gives_the_image_back_and_large_images_are_scaled_down(atelier, photos, model, tmp_path):
    arguments = ("--model", model, "--style", "red:1", "--style", "blue:3", "--output", tmp_path / "out")
    assert atelier(photos / "a.png", *arguments, "--strength", 0)[0] == 0
    found, expected = (np.asarray(Image.open(file), int) for file in (tmp_path / "out/a.jpg", photos / "a.png"))
    assert np.abs(found - expected).mean() < 5  # JPEG of noise
    assert atelier(photos / "more" / "b.jpg", *arguments, "--size", 45)[0] == 0
    assert Image.open(tmp_path / "out" / "b.jpg").size == (45, 15)


@pytest.mark.slow
def test_a_damaged_image_is_named_and_the_others_are_restyled(atelier, photos, model, tmp_path):
    (photos / "bad.jpg").write_bytes(b"no image")
    arguments = ("--model", model, "--style", "red", "--output", tmp_path / "out")
    code, err = atelier(photos, photos / "none.jpg", *arguments)
    assert code == 1
    assert "bad.jpg: " in err
    assert "none.jpg: " in err
    assert written(tmp_path / "out") == ["a.jpg", "more/b.jpg"]


def test_what_cannot_be_done_is_told_before_anything_is_written(atelier, photos, model, tmp_path):
    out = tmp_path / "out"
    (photos / "a.bmp").write_bytes((photos / "a.png").read_bytes())
    (tmp_path / "empty").mkdir()
    cases = [
        ((photos / "a.png", "--model", model, "--style", "rod"), ["no style rod", "did you mean red"]),
        ((photos / "a.png", "--model", model, "--style", "red:0"), ["above 0"]),
        ((photos / "a.png", "--model", photos / "a.png", "--style", "red"), ["a.png", "not a stylizer"]),
        ((photos / "a.png", "--model", tmp_path / "none", "--style", "red"), ["none", "cannot be read"]),
        ((photos, "--model", model, "--style", "red"), ["a.bmp", "a.png", "would both become"]),
        ((tmp_path / "empty", "--model", model, "--style", "red"), ["empty", "no files"]),
    ]
    for arguments, facts in cases:
        code, err = atelier(*arguments, "--output", out)
        assert code == 1
        assert all(fact in err for fact in facts), err
    code, err = atelier(photos / "more" / "b.jpg", "--model", model, "--style", "red", "--output", photos / "more")
    assert code == 1
    assert "b.jpg: it would be overwritten" in err
    assert not out.exists()


def test_images_beside_the_images_are_not_overwritten(atelier, photos, model):
    (photos / "a.jpg").write_bytes(b"an original")
    code, err = atelier(photos / "a.png", "--model", model, "--style", "red", "--output", photos)
    assert code == 1
    assert "a.jpg: it lies beside a.png" in err
    assert (photos / "a.jpg").read_bytes() == b"an original"
    code, err = atelier(photos, "--model", model, "--style", "red", "--output", photos)
    assert code == 1
    assert "photos: its images would be overwritten" in err
    assert "photos/stylized" in err


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--strength", "1.5"], ["--strength", "1.5"]),
        (["--style", "blue", "--style", "blue:2"], ["twice"]),
        (["--style", "blue:nan"], ["nan"]),
        (["--style", ":2"], ["ID:WEIGHT"]),
    ],
)
def test_wrong_usage(atelier, photos, model, tmp_path, arguments, facts):
    code, err = atelier(photos, "--model", model, "--style", "red", "--output", tmp_path / "out", *arguments)
    assert code == 2
    assert all(fact in err for fact in facts), err


@pytest.mark.slow
def test_the_base_network_is_there(atelier, photos, tmp_path):
    assert atelier(photos / "a.png", "--style", "swirls", "--output", tmp_path / "out")[0] == 0
    assert written(tmp_path / "out") == ["a.jpg"]
