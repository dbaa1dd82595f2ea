"""Stylizer files: what comes back, what is refused, and the base network that comes with the project."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.deferred import deferred_imports

with deferred_imports():
    from atelier.stylization import StylizerError
    from components.style_catalog import builtin
    from components.stylizer import base, network, stylizer
    from components.stylizer.stylizer import Stylizer


@pytest.fixture(scope="module")
def tiny():
    known = {"red": stylizer.identify(np.full((64, 64, 3), (255, 0, 0), np.uint8), 512)}
    return Stylizer(network.build(2, channels=(3, 4, 5), blocks=2), ("red", "blue"), known)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (21, 30, 3), np.uint8)


@pytest.mark.slow
def test_a_saved_stylizer_comes_back(tiny, image, tmp_path):
    tiny.save(tmp_path / "s.npz")
    again = stylizer.load(tmp_path / "s.npz")
    assert again.styles == ("red", "blue")
    assert again.images == tiny.images
    found, expected = (each.stylize(image, {"blue": 2, "red": 1}, 0.5) for each in (again, tiny))
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - expected).max() <= 1  # its weights are float16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.npz"]


def test_weights_are_divided_by_their_sum(tiny):
    np.testing.assert_allclose(tiny.build_row({"blue": 3, "red": 1}), [0.25, 0.75])


@pytest.mark.parametrize(
    ("weights", "facts"),
    [
        ({"bleu": 1}, ["bleu", "did you mean blue"]),
        ({"zzz": 1}, ["zzz", "red, blue"]),
        ({"red": -1, "blue": 2}, ["-1", "none below"]),
        ({"red": 0}, ["above 0"]),
        ({}, ["above 0"]),
        ({"red": float("nan")}, ["nan"]),
    ],
)
def test_wrong_styles_are_named(tiny, image, weights, facts):
    with pytest.raises(StylizerError) as error:
        tiny.stylize(image, weights)
    assert all(fact in str(error.value) for fact in facts)


def test_a_style_is_known_by_its_image_not_by_its_id_alone(tiny):
    red, blue = (np.full((64, 64, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    tiny.check_style("red", red)
    for style, pixels, facts in (
        ("red", blue, "red from another image"),
        ("red", red[:, :32], "red from another image"),
        ("blue", blue, "blue from another image"),  # an old file does not say from which
        ("green", red, "does not know the style green"),
    ):
        with pytest.raises(StylizerError, match=facts) as error:
            tiny.check_style(style, pixels)
        assert "atelier styles train" in str(error.value)


def test_a_built_in_style_is_known_as_it_is_drawn_here(tiny, monkeypatch):
    """Another version of NumPy may draw it a little differently from what the base has learned."""
    with np.load(base.BASE) as arrays:
        learned = json.loads(str(arrays["header"]))["images"]["gravel"]
    image = np.asarray(Image.open(io.BytesIO(builtin.read_image("gravel"))).convert("RGB")) ^ 1
    own = Stylizer(tiny.model, ("gravel", "blue"), {"gravel": learned})
    with pytest.raises(StylizerError, match="gravel from another image"):
        own.check_style("gravel", image)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    monkeypatch.setattr(builtin, "read_image", lambda _: stream.getvalue())
    own.check_style("gravel", image)
    with pytest.raises(StylizerError, match="gravel from another image"):
        Stylizer(tiny.model, ("gravel", "blue"), {"gravel": "0" * 64}).check_style("gravel", image)


def test_wrong_images_and_strengths_are_named(tiny, image):
    with pytest.raises(StylizerError, match=r"float64 of shape \(21, 30, 3\)"):
        tiny.stylize(image / 255, {"red": 1})
    with pytest.raises(StylizerError, match=r"\(21, 30\)"):
        tiny.stylize(image[..., 0], {"red": 1})
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(StylizerError, match="strength"):
            tiny.stylize(image, {"red": 1}, strength)


def test_files_that_hold_no_stylizer_are_refused(tiny, tmp_path):
    file = tmp_path / "s.npz"
    with pytest.raises(StylizerError, match=r"s\.npz: the stylizer cannot be read"):
        stylizer.load(file)
    tiny.save(file)
    with pytest.raises(StylizerError, match=r"its SHA-256 is [0-9a-f]{64}, expected 00"):
        stylizer.load(file, "00" * 32)
    content = file.read_bytes()
    with zipfile.ZipFile(file) as members:
        largest = max(members.infolist(), key=lambda member: member.compress_size)
    at = largest.header_offset + 30 + len(largest.filename) + largest.compress_size // 2  # among its data
    flipped = content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]
    for damaged in (content[:-100], flipped, b"no zip"):
        file.write_bytes(damaged)
        with pytest.raises(StylizerError, match="the file is not a stylizer, or it is damaged"):
            stylizer.load(file)
    np.savez(file, header=np.array([{}], object))  # a pickle
    with pytest.raises(StylizerError, match="the file is not a stylizer"):
        stylizer.load(file)


def test_the_base_file_is_small_and_the_one_that_is_named():
    content = base.BASE.read_bytes()
    assert len(content) < 2**20
    assert hashlib.sha256(content).hexdigest() == base.BASE_SHA256


@pytest.mark.slow
def test_the_base_has_the_built_in_styles_and_gives_an_image_back_at_strength_0(image):
    base = stylizer.load_base()
    assert set(builtin.list_ids()) <= set(base.styles)
    for style in ("swirls", "petals"):
        base.check_style(style, np.asarray(Image.open(io.BytesIO(builtin.read_image(style))).convert("RGB")))
    assert set(base.images) == set(builtin.list_ids())
    image = np.repeat(np.repeat(image, 3, 0), 3, 1)
    np.testing.assert_array_equal(base.stylize(image, {"swirls": 1}, 0), image)
    away = [np.abs(base.stylize(image, {"swirls": 1}, k).astype(float) - image).mean() for k in (0.25, 0.5, 0.75, 1)]
    assert (np.diff([0.0, *away]) > 1).all(), away
