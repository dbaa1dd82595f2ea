"""Which number format training computes in."""

import gc
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

MARGIN = 1.1
"""Another format is taken if it is this many times as fast as float32: it costs digits, and timings vary."""
_TIMED_STEPS = 5
_TIMED_SECONDS = 5.0
"""Of all formats together; one timed step of each is always taken."""

Steps = Mapping[str, Callable[[], Any]]
"""By Keras dtype policy: runs one step of the real training, to its end."""


@dataclass(frozen=True)
class Choice:
    """A Keras dtype policy, and how it was chosen."""

    policy: str
    reason: str
    step_ms: Mapping[str, float]
    """Milliseconds of one step by policy; empty: nothing was measured."""


def choose(asked: str, step_count: int, build_steps: Callable[[tuple[str, ...]], Steps], file: Path) -> Choice:
    """Turns `trainer.mixed_precision` into a Keras dtype policy; `auto` is measured on steps of the real training.

    Args:
      asked: a policy, or `auto`.
      step_count: steps of the phase that takes longest.
      build_steps: builds, for each of these policies, what runs one step of that phase.
      file: keeps the choice, so that a resumed training goes on in the format that it began with.
    """
    if file.exists():
        return Choice(**json.loads(file.read_text(encoding="utf-8")))
    choice = _choose(asked, step_count, build_steps)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(choice)), encoding="utf-8")
    partial.replace(file)
    return choice


def _choose(asked: str, step_count: int, build_steps: Callable[[tuple[str, ...]], Steps]) -> Choice:
    if asked != "auto":
        return Choice(asked, "set by trainer.mixed_precision", {})
    policies = list_policies()
    if len(policies) == 1:
        return Choice(policies[0], "this machine has no instructions for a shorter format", {})
    needed = len(policies) * (1 + _TIMED_STEPS)
    if step_count <= needed:
        return Choice("float32", f"{step_count} steps of training are not more than a measurement takes ({needed})", {})
    step_ms = measure(build_steps(policies))
    gc.collect()  # of the networks that were measured: Keras' hold themselves
    best = min(policies, key=lambda policy: step_ms[policy])
    if best != "float32" and step_ms["float32"] < MARGIN * step_ms[best]:
        return Choice("float32", f"no format is {MARGIN:g} times as fast as float32", step_ms)
    return Choice(best, "the fastest of the formats measured", step_ms)


def list_policies() -> tuple[str, ...]:
    """Returns the policies that this machine has instructions for, float32 first."""
    if tf.config.list_logical_devices("TPU"):
        return ("float32", "mixed_bfloat16")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return ("float32", "mixed_float16") if capability >= (7, 0) else ("float32",)  # 7: the first tensor cores
    return ("float32", "mixed_bfloat16") if _cpu_has_bfloat16() else ("float32",)


def measure(steps: Steps) -> dict[str, float]:
    """Measures the milliseconds of one step by policy: the fastest of a few.

    The policies take turns, so that other load on the machine meets all of them alike.
    """
    for step in steps.values():
        step()  # traces
    fastest = dict.fromkeys(steps, float("inf"))
    began = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        for policy, step in steps.items():
            start = time.perf_counter()
            step()
            fastest[policy] = min(fastest[policy], time.perf_counter() - start)
        if time.perf_counter() - began > _TIMED_SECONDS:
            break
    return {policy: round(1e3 * seconds, 2) for policy, seconds in fastest.items()}


def _cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        flags = set(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return False  # not Linux: no flags to read, and float32 is never wrong
    return bool(flags & {"amx_bf16", "avx512_bf16"})
