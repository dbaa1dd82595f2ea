"""Which number format is taken, and that it is the faster one."""

import pytest

from components.style_renderer import networks, precision
from components.style_renderer.settings import Settings


@pytest.fixture
def machine(monkeypatch):
    """One with or without the instructions, on which this format turns out to be the fastest."""

    def set_up(has_bfloat16, fastest):
        measured = []

        def measure(network):
            measured.append(network)
            return fastest

        monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: has_bfloat16)
        monkeypatch.setattr(precision, "_fastest", measure)
        return measured

    return set_up


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(machine, asked):
    measured = machine(True, "float32")
    assert precision.resolve(Settings(precision=asked)) == asked
    assert not measured


@pytest.mark.parametrize("fastest", ["float32", "bfloat16"])
def test_auto_takes_what_is_fastest_for_the_network(machine, fastest):
    measured = machine(True, fastest)
    assert precision.resolve(Settings(network="vgg19")) == fastest
    assert measured == ["vgg19"]


def test_a_processor_without_the_instructions_is_not_measured(machine):
    measured = machine(False, "bfloat16")
    assert precision.resolve(Settings()) == "float32"
    assert not measured


@pytest.mark.parametrize(("gain", "expected"), [(1.3, "bfloat16"), (1.1, "float32"), (0.5, "float32")])
def test_bfloat16_must_gain_a_fifth(monkeypatch, gain, expected):
    clock = [0.0]
    seconds = {"float32": gain, "bfloat16": 1.0}
    built = []

    def build(settings, number_format):
        assert settings.weights == "random"
        built.append(number_format)
        return lambda image: {"layer": image * 2}

    def perf_counter():  # at the beginning and at the end of each round
        clock[0] += seconds[built[-1]]
        return clock[0]

    monkeypatch.setattr(networks, "build", build)
    monkeypatch.setattr("time.perf_counter", perf_counter)
    assert precision._fastest.__wrapped__("efficientnet_lite0") == expected
    assert built == ["float32", "bfloat16"]


def test_this_machine_is_measured():
    assert precision._fastest("efficientnet_lite0") in ("float32", "bfloat16")
