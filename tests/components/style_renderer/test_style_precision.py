"""Which number format is taken."""

import pytest

from components.style_renderer import precision
from components.style_renderer.settings import Settings


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_what_is_asked_for_is_taken(monkeypatch, asked, has_bfloat16):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: has_bfloat16)
    for network in ("vgg19", "efficientnet_lite0"):
        assert precision.resolve(Settings(network=network, precision=asked)) == asked


@pytest.mark.parametrize(
    ("network", "has_bfloat16", "expected"),
    [
        ("vgg19", True, "bfloat16"),
        ("vgg19", False, "float32"),
        ("efficientnet_lite0", True, "float32"),
        ("efficientnet_lite0", False, "float32"),
    ],
)
def test_auto_takes_what_the_network_gains_by(monkeypatch, network, has_bfloat16, expected):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: has_bfloat16)
    assert precision.resolve(Settings(network=network)) == expected
