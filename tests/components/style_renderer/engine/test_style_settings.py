"""Settings that contradict themselves are refused, and other sizes keep the way from coarse to fine."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from components.style_renderer.engine.settings import Scale, Settings

SCALES = (Scale(size=100, iterations=40), Scale(size=200, iterations=30, tv_weight=0.5), Scale(size=400, iterations=20))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scales": ()}, "at least 1 item"),
        ({"scales": SCALES[::-1]}, r"scales have the sizes \[400, 200, 100\]: each must be larger"),
        ({"scales": (SCALES[0], SCALES[0])}, "each must be larger than the one before"),
        ({"scales": ({"size": 31, "iterations": 1},)}, "greater than or equal to 32"),
        ({"scales": ({"size": 64, "iterations": 0},)}, "greater than or equal to 1"),
        ({"weights": "mine.h5"}, "weights names the file mine.h5: give its weights_sha256 too"),
        ({"weights": "mine.h5", "weights_sha256": "12"}, "should match pattern"),
        ({"style_layers": {"block1_conv1": 0.0}}, "gives every layer the weight 0"),
        ({"style_layers": {"block1_conv1": -1.0}}, "greater than or equal to 0"),
        ({"style_weight": float("inf")}, "finite number"),
        ({"content_weight": float("nan")}, "finite number|greater than or equal to 0"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rate": float("inf")}, "finite number"),
        ({"strength": 1.01}, "less than or equal to 1"),
        ({"strength": float("nan")}, "finite number"),
        ({"style_scale": 0}, "greater than 0"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"memory_mb": 100}, "greater than or equal to 512"),
        ({"network": "resnet"}, "efficientnet_lite0.*vgg19"),
        ({"colours": "match"}, "Extra inputs are not permitted"),
        ({"seed": True}, "valid integer"),
        ({"memory_mb": "4096"}, "valid integer"),
        ({"strength": True}, "valid number"),
        ({"style_weight": 1e39}, "less than or equal to 3"),
        ({"learning_rate": 256}, "less than or equal to 255"),
        ({"content_weight": 0, "style_weight": 0}, "content_weight and style_weight are both 0"),
        (
            {"content_layers": ("block3b_expand_activaton",)},
            "no layer of efficientnet_lite0 or vgg19; did you mean block3b_expand_activation?",
        ),
        ({"network": "vgg19", "style_layers": {"stem_activation": 1}}, "stem_activation: no layer of vgg19"),
        ({"weights": "mine.txt", "weights_sha256": "0" * 64}, "a file that ends in .pth or .weights.h5 or .h5"),
        ({"weights": "mine.h5", "weights_sha256": "0" * 64, "network": "efficientnet_lite0"}, "ends in .pth"),
        ({"weights": ""}, "weights names the file"),
    ],
)
def test_what_makes_no_sense_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Settings(**values)


def test_what_makes_sense_is_taken():
    layers = {"block1_conv1": 0.0, "block2_conv1": 1.0}
    taken = Settings(weights="mine.h5", weights_sha256="0" * 64, style_layers=layers, scales=SCALES, strength=0)
    assert taken.strength == 0
    assert taken.style_layers == layers
    with pytest.raises(ValidationError, match="frozen"):
        taken.strength = 1


def list_scales(settings):
    return [(scale.size, scale.iterations, scale.tv_weight) for scale in settings.scales]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (400, [(100, 40, None), (200, 30, 0.5), (400, 20, None)]),
        (300, [(100, 40, None), (200, 30, 0.5), (300, 20, None)]),
        (200, [(100, 40, None), (200, 30, 0.5)]),
        (150, [(100, 40, None), (150, 30, 0.5)]),
        (50, [(50, 40, None)]),
        (1000, [(100, 40, None), (200, 30, 0.5), (400, 20, None), (800, 10, None), (1000, 5, None)]),
    ],
)
def test_another_size_keeps_the_scales_below_it(size, expected):
    assert list_scales(Settings(scales=SCALES, seed=3).with_size(size)) == expected
    assert Settings(scales=SCALES, seed=3).with_size(size).seed == 3


def test_iterations_do_not_fall_to_nothing():
    assert list_scales(Settings(scales=(Scale(size=32, iterations=2),)).with_size(256))[-1] == (256, 1, None)


@pytest.mark.parametrize("size", [8, 40_000])
def test_another_size_is_checked_too(size):
    with pytest.raises(ValidationError, match="size"):
        Settings().with_size(size)


def test_reading_settings_needs_no_tensorflow():
    code = "import sys, components.style_renderer.engine.settings; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
