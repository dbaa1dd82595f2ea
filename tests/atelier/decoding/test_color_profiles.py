"""Conversion to sRGB, against matrices and curves worked out in NumPy (`icc`)."""

import io
from concurrent import futures

import numpy as np
import pytest
from PIL import Image, ImageCms

from atelier.decoding import color_profiles
from atelier.decoding.color_profiles import Effect
from tests.atelier import icc

RAMP = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def converted(pixels, profile, mode="RGB"):
    image, effect = color_profiles.convert(Image.fromarray(np.asarray(pixels, np.uint8), mode), profile)
    return np.asarray(image).astype(int), effect


@pytest.mark.parametrize("space", ["p3", "adobe"])
@pytest.mark.parametrize("curve", ["table", "gamma", "parametric"])
def test_matrix_profiles(space, curve):
    gamma = icc.gamma_curve(2.2), lambda values: values ** (round(2.2 * 256) / 256)
    table = None, icc.srgb_curve
    parametric = icc.parametric_curve(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), icc.srgb_curve
    tag, values = {"gamma": gamma, "table": table, "parametric": parametric}[curve]
    got, effect = converted(RAMP, icc.matrix_profile(space, tag))
    assert effect is Effect.CONVERTED
    assert np.abs(got - icc.to_srgb(RAMP, space, values)).max() <= 1.5


def test_the_green_that_every_viewer_of_a_display_p3_file_shows():
    got, _ = converted([[[97, 197, 81]]], icc.matrix_profile("p3"))
    assert np.abs(got - (40, 200, 60)).max() <= 1


@pytest.mark.parametrize(
    "profile", [icc.matrix_profile("srgb"), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]
)
def test_an_srgb_profile_changes_nothing(profile):
    image = Image.fromarray(RAMP)
    assert color_profiles.convert(image, profile) == (image, Effect.NONE)
    gray = image.convert("L")
    assert color_profiles.convert(gray, profile) == (gray, Effect.NONE)


@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_gray_profiles(gamma):
    ramp = np.arange(256, dtype=np.uint8)[np.newaxis]
    got, effect = converted(ramp, icc.gray_profile(gamma), "L")
    assert effect is Effect.CONVERTED
    assert np.abs(got - icc.stored_srgb((ramp / 255.0) ** (round(gamma * 256) / 256))[..., np.newaxis]).max() <= 1.5


def test_a_gray_image_with_an_rgb_profile_has_equal_channels():
    got, effect = converted([[0, 100, 255]], icc.matrix_profile("adobe", icc.gamma_curve(1.8)), "L")
    expected = icc.stored_srgb((np.array([0, 100, 255]) / 255) ** (round(1.8 * 256) / 256))
    assert effect is Effect.CONVERTED
    assert np.abs(got[0] - expected[:, np.newaxis]).max() <= 1.5


def overprint(c, m, y, k):
    """(L, a, b): paper is white, black ink dark gray, cyan a light blue."""
    return (12, 0, 0) if k else (100 - 25 * c - 20 * m - 5 * y, -30 * c + 60 * m - 5 * y, -40 * c + 70 * y)


def test_cmyk_by_its_profile_with_black_point_compensation():
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [0, 255, 255, 0]]], np.uint8)
    got, effect = converted(inks, icc.cmyk_profile(overprint), "CMYK")
    assert effect is Effect.CONVERTED
    # CIE Lab to XYZ, scaled so that the darkest ink is 0.
    lightness, a, b = np.array([overprint(*(ink // 255).tolist()) for ink in inks[0]], float).T
    middle = (lightness + 16) / 116
    f = np.stack([middle + a / 500, middle, middle - b / 200], axis=-1)
    relative = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    relative = (relative - relative[1]) / (1 - relative[1])
    linear = (relative * (0.9642, 1.0, 0.8249)) @ np.linalg.inv(icc.TO_D50["srgb"]).T
    assert np.abs(got[0] - icc.stored_srgb(linear)).max() <= 3
    assert got[0, :2].tolist() == [[255] * 3, [0] * 3]


P3 = icc.matrix_profile()


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        pytest.param("RGB", b"", id="nothing"),
        pytest.param("RGB", b"x", id="one byte"),
        pytest.param("RGB", bytes(1000), id="zeros"),
        pytest.param("RGB", P3[:140], id="cut in the table"),
        pytest.param("RGB", P3[:-900], id="cut in a curve"),
        pytest.param("RGB", icc.profile(), id="no tag for color"),
        pytest.param("RGB", icc.profile(kind=b"link"), id="device link"),
        pytest.param("RGB", icc.profile(space=b"Lab "), id="Lab"),
        pytest.param("RGB", icc.gray_profile(1.8), id="gray profile of an RGB image"),
        pytest.param("RGB", icc.cmyk_profile(overprint), id="CMYK profile of an RGB image"),
        pytest.param("L", icc.cmyk_profile(overprint), id="CMYK profile of a gray image"),
        pytest.param("CMYK", P3, id="RGB profile of a CMYK image"),
    ],
)
def test_broken_and_unsuitable_profiles_are_ignored(mode, profile):
    image = Image.new(mode, (3, 2), 77)
    assert color_profiles.convert(image, profile) == (image, Effect.IGNORED)


def test_random_damage_never_raises():
    random = np.random.default_rng(4)
    image = Image.fromarray(RAMP)
    for _ in range(150):
        damaged = bytearray(P3)
        for position in random.integers(0, 400, 4):
            damaged[position] = random.integers(256)
        color_profiles.convert(image, bytes(damaged))


def test_threads_share_a_conversion():
    image = Image.fromarray(np.tile(RAMP, (20, 20, 1)))
    want = np.asarray(color_profiles.convert(image, P3)[0])
    with futures.ThreadPoolExecutor(4) as pool:
        for result, _ in pool.map(lambda _: color_profiles.convert(image, P3), range(20)):
            assert np.array_equal(np.asarray(result), want)


def test_display_p3_of_ours_is_that_of_the_matrix():
    got, effect = converted(RAMP, color_profiles.build_display_p3())
    assert effect is Effect.CONVERTED
    assert np.abs(got - icc.to_srgb(RAMP)).max() <= 1.5
    ImageCms.ImageCmsProfile(io.BytesIO(color_profiles.build_display_p3()))


def test_which_profiles_need_no_table():
    assert all(color_profiles.is_matrix(one) for one in (P3, icc.gray_profile(2.2), color_profiles.build_display_p3()))
    assert not any(color_profiles.is_matrix(one) for one in (icc.cmyk_profile(overprint), b""))
    assert not color_profiles.is_matrix(icc.profile(A2B0=b""))
