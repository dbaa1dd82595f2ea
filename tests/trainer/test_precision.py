"""Each branch of `auto`, on machines that are made up."""

import pytest
import tensorflow as tf

from trainer import precision


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with these devices, this line in its cpuinfo, and this gain from bfloat16."""

    def set_up(tpus=0, capability=None, gpus=1, flags="", gain=0.0):
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["TPU"] * tpus if kind == "TPU" else [])
        devices = ["GPU"] * gpus if capability else []
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices if kind == "GPU" else [])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: capability)
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu sse {flags} avx512f\n")
        monkeypatch.setattr(precision.cpu_has_bfloat16, "__defaults__", (cpuinfo,))

        def measure():
            measured.append(gain)
            return gain

        measured: list[float] = []
        monkeypatch.setattr(precision, "_bfloat16_gain", measure)
        return measured

    return set_up


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_what_is_asked_for_is_taken(machine, policy):
    measured = machine(tpus=1, capability={"compute_capability": (8, 0)}, flags="amx_bf16", gain=9)
    assert precision.resolve(policy) == policy
    assert not measured


def test_a_tpu_computes_in_bfloat16(machine):
    machine(tpus=8, capability={"compute_capability": (8, 0)})
    assert precision.resolve("auto") == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("details", "policy"),
    [
        ({"compute_capability": (9, 0)}, "mixed_float16"),
        ({"compute_capability": (7, 0)}, "mixed_float16"),
        ({"compute_capability": (6, 1)}, "float32"),
        ({"device_name": "of another maker"}, "float32"),
    ],
)
def test_a_gpu_computes_in_float16_if_it_has_tensor_cores(machine, details, policy):
    measured = machine(capability=details, flags="amx_bf16", gain=9)
    assert precision.resolve("auto") == policy
    assert not measured


@pytest.mark.parametrize(
    ("flags", "gain", "policy"),
    [
        ("amx_bf16 amx_tile", 3.0, "mixed_bfloat16"),
        ("avx512_bf16", 1.11, "mixed_bfloat16"),
        ("amx_bf16", 1.1, "float32"),
        ("avx512_bf16", 0.4, "float32"),
    ],
)
def test_a_cpu_computes_in_bfloat16_if_it_gains(machine, flags, gain, policy):
    measured = machine(flags=flags, gain=gain)
    assert precision.resolve("auto") == policy
    assert measured == [gain]


@pytest.mark.parametrize("flags", ["", "amx_bf16x", "avx512_bf16_emulated amx-bf16"])
def test_a_cpu_without_the_instructions_is_not_even_measured(machine, flags):
    measured = machine(flags=flags, gain=9)
    assert precision.resolve("auto") == "float32"
    assert not measured


def test_no_cpuinfo_means_float32(machine, monkeypatch, tmp_path):
    machine(flags="amx_bf16", gain=9)
    monkeypatch.setattr(precision.cpu_has_bfloat16, "__defaults__", (tmp_path / "none",))
    assert precision.resolve("auto") == "float32"


def test_this_machine_is_measured_and_gets_what_it_gains_from(monkeypatch):
    measure, gains = precision._bfloat16_gain, []

    def remember():
        gains.append(measure())
        return gains[0]

    monkeypatch.setattr(precision, "_bfloat16_gain", remember)
    policy = precision.resolve("auto")
    if gains:
        assert policy == ("mixed_bfloat16" if gains[0] > 1.1 else "float32")
    else:  # it has a GPU, or none of the instructions
        assert policy in ("float32", "mixed_float16")
