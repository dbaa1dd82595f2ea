"""Whether a stylizer may be pushed: what was measured against what is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.stylizer_evaluator.measure import StyleLosses
from components.stylizer_evaluator.settings import GateSettings


def find_faults(
    losses: Sequence[StyleLosses],
    ssim: float,
    size: int,
    latency_ms: float,
    tflite: Mapping[str, Mapping[str, Any]],
    settings: GateSettings,
) -> list[str]:
    """Returns one sentence for each threshold that is missed; none: the stylizer is blessed.

    Args:
      losses: of each style that was measured.
      ssim: the lowest of an image at a strength of 0 with itself.
      size: bytes of the model.
      latency_ms: of one image.
      tflite: what `measure.measure_tflite` found of each file, by its name. `float16` must give what the SavedModel
        gives; `dynamic` is measured only.
      settings: the thresholds. What is not a number misses each.
    """
    faults = []
    for name, ratios, most in (
        ("style", {each.style: each.style_ratio for each in losses}, settings.max_style_loss),
        ("content", {each.style: each.content_ratio for each in losses}, settings.max_content_loss),
    ):
        faults += [
            f"{name} loss {ratio:.2f} times the optimizer's is above {most:g} (style {style})"
            for style, ratio in ratios.items()
            if not ratio <= most
        ]
    if not ssim >= settings.min_ssim:
        faults.append(f"SSIM {ssim:.4f} at a strength of 0 is below {settings.min_ssim:g}")
    if size > settings.max_megabytes * 1e6:
        faults.append(f"size {size / 1e6:.2f} MB is above {settings.max_megabytes:g} MB")
    if not latency_ms <= settings.max_latency_ms:
        faults.append(f"latency {latency_ms:.0f} ms is above {settings.max_latency_ms:g} ms")
    for name, found in tflite.items():
        if found["fault"]:
            faults.append(f"{name} {found['fault']}")
        elif name.endswith("-float16.tflite") and not found["difference"] <= settings.max_tflite_difference:
            faults.append(
                f"{name} is {found['difference']:.2f} gray levels from the SavedModel, above "
                f"{settings.max_tflite_difference:g}"
            )
    return faults
