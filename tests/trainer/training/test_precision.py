"""Which formats a machine is tried with, and which one `auto` takes."""

import functools
import time

import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from trainer.training import precision

MANY = 1000
"""Steps of training: more than a measurement takes."""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with these devices, and this line in its cpuinfo."""

    def set_up(tpus=0, capability=None, gpus=1, flags=""):
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["TPU"] * tpus if kind == "TPU" else [])
        devices = ["GPU"] * gpus if capability else []
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices if kind == "GPU" else [])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: capability)
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu sse {flags} avx512f\n")
        monkeypatch.setattr(precision._cpu_has_bfloat16, "__defaults__", (cpuinfo,))

    return set_up


@pytest.fixture
def measured(monkeypatch):
    """Makes every measurement come out as told."""

    def come_out(**step_ms):
        monkeypatch.setattr(precision, "list_policies", lambda: tuple(step_ms))
        monkeypatch.setattr(precision, "measure", lambda steps: {policy: step_ms[policy] for policy in steps})

    return come_out


def choose(folder, asked="auto", steps=MANY, built=None):
    def build(policies):
        if built is not None:
            built.append(policies)
        return dict.fromkeys(policies, lambda: None)

    return precision.choose(asked, steps, build, folder / "state" / "precision.json")


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ({"tpus": 8}, ("float32", "mixed_bfloat16")),
        ({"capability": {"compute_capability": (9, 0)}, "flags": "amx_bf16"}, ("float32", "mixed_float16")),
        ({"capability": {"compute_capability": (7, 0)}}, ("float32", "mixed_float16")),
        ({"capability": {"compute_capability": (6, 1)}, "flags": "amx_bf16"}, ("float32",)),
        ({"capability": {"device_name": "of another maker"}}, ("float32",)),
        ({"flags": "amx_bf16 amx_tile"}, ("float32", "mixed_bfloat16")),
        ({"flags": "avx512_bf16"}, ("float32", "mixed_bfloat16")),
        ({"flags": ""}, ("float32",)),
        ({"flags": "amx_bf16x avx512_bf16_emulated amx-bf16"}, ("float32",)),
    ],
)
def test_a_machine_is_tried_with_what_it_has_instructions_for(machine, devices, expected):
    machine(**devices)
    assert precision.list_policies() == expected


def test_no_cpuinfo_means_float32(machine, monkeypatch, tmp_path):
    machine(flags="amx_bf16")
    monkeypatch.setattr(precision._cpu_has_bfloat16, "__defaults__", (tmp_path / "none",))
    assert precision.list_policies() == ("float32",)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_what_is_asked_for_is_taken_and_not_measured(measured, tmp_path, policy):
    measured(float32=1, mixed_bfloat16=9)
    built: list[tuple[str, ...]] = []
    choice = choose(tmp_path, policy, built=built)
    assert (choice.policy, dict(choice.step_ms), built) == (policy, {}, [])
    assert "trainer.mixed_precision" in choice.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "ms", "policy"),
    [
        ("mixed_bfloat16", 437.0, "float32"),  # as an EPYC with avx512_bf16 fine-tunes Lite0
        ("mixed_bfloat16", 91.0, "float32"),  # 1.099 times as fast
        ("mixed_bfloat16", 90.9, "mixed_bfloat16"),  # 1.1001 times
        ("mixed_float16", 30.0, "mixed_float16"),
        ("mixed_float16", 130.0, "float32"),  # a GPU is measured as well
    ],
)
def test_the_faster_format_is_taken_with_a_margin_for_float32(measured, tmp_path, other, ms, policy):
    measured(float32=100.0, **{other: ms})
    choice = choose(tmp_path)
    assert choice.policy == policy
    assert choice.step_ms == {"float32": 100.0, other: ms}
    assert choice.reason


def test_one_format_alone_is_not_measured(measured, tmp_path):
    measured(float32=1)
    built: list[tuple[str, ...]] = []
    choice = choose(tmp_path, built=built)
    assert (choice.policy, choice.step_ms, built) == ("float32", {}, [])


@pytest.mark.slow
def test_a_training_that_is_no_longer_than_a_measurement_is_not_measured(measured, tmp_path):
    measured(float32=9, mixed_bfloat16=1)
    built: list[tuple[str, ...]] = []
    choice = choose(tmp_path / "short", steps=12, built=built)
    assert (choice.policy, choice.step_ms, built) == ("float32", {}, [])
    assert "12 steps" in choice.reason
    assert choose(tmp_path / "long", steps=13).policy == "mixed_bfloat16"


@pytest.mark.slow
def test_a_resumed_training_keeps_its_format(measured, tmp_path):
    measured(float32=9, mixed_bfloat16=1)
    first = choose(tmp_path)
    measured(float32=1, mixed_bfloat16=9)
    built: list[tuple[str, ...]] = []
    assert choose(tmp_path, built=built) == first
    assert built == []
    assert choose(tmp_path / "another").policy == "float32"


@pytest.mark.slow
def test_steps_are_timed_in_turn_after_one_that_traces():
    ran = []

    def step(name, seconds):
        def run():
            ran.append(name)
            time.sleep(0.5 if ran.count(name) == 1 else seconds)

        return run

    found = precision.measure({"float32": step("float32", 0.002), "mixed_bfloat16": step("mixed_bfloat16", 0.02)})
    assert ran == ["float32", "mixed_bfloat16"] * 6
    assert 2 <= found["float32"] < found["mixed_bfloat16"] < 500
    assert found["mixed_bfloat16"] >= 20


def test_slow_steps_are_timed_once(monkeypatch):
    monkeypatch.setattr(precision, "_TIMED_SECONDS", 0.0)
    ran: list[str] = []
    precision.measure({name: functools.partial(ran.append, name) for name in ("float32", "mixed_bfloat16")})
    assert ran == ["float32", "mixed_bfloat16"] * 2
