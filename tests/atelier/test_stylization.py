"""What a stylizer tells its clients, and weights by style."""

import json

import pytest

from atelier.stylization import Stylization, StylizerError, parse, weigh_styles

STYLES = ("Great-Wave", "swirls", "mosaic")


def test_json_and_back():
    told = Stylization(styles=STYLES, max_pixels=100, jpeg_quality=80)
    assert json.loads(told.to_json()) == {"styles": list(STYLES), "max_pixels": 100, "jpeg_quality": 80}
    assert parse(told.to_json()) == told


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"styles": []}, "styles"),
        ({"styles": "swirls"}, "styles"),
        ({"max_pixels": 0}, "max_pixels"),
        ({"jpeg_quality": 101}, "jpeg_quality"),
        ({"speed": 1}, "speed: .*update Atelier"),
    ],
)
def test_what_is_no_description_is_named(change, fact):
    with pytest.raises(StylizerError, match=fact):
        parse(json.dumps({"styles": STYLES, "max_pixels": 1, "jpeg_quality": 1} | change))
    with pytest.raises(StylizerError, match="json"):
        parse("swirls")


def test_weights_are_put_in_order_and_their_sum_is_1():
    assert weigh_styles({"mosaic": 3, "Great-Wave": 1}, STYLES) == [0.25, 0, 0.75]


@pytest.mark.parametrize(
    ("weights", "fact"),
    [
        ({"great-wave": 1}, "no style great-wave; did you mean Great-Wave?"),
        ({"SWIRLS": 1}, "no style SWIRLS; did you mean swirls?"),
        ({"swirl": 1}, "did you mean swirls?"),
        ({"xyz": 1}, "there are Great-Wave, swirls, mosaic"),
        ({"swirls": 0}, "above 0"),
        ({"swirls": -1, "mosaic": 2}, "none below"),
        ({"swirls": float("nan")}, "above 0"),
        ({"swirls": float("inf")}, "above 0"),
        ({}, "above 0"),
    ],
)
def test_what_cannot_be_weighed_is_told(weights, fact):
    with pytest.raises(StylizerError) as error:
        weigh_styles(weights, STYLES)
    assert fact in str(error.value)
