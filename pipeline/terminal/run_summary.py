"""The lines that end a run on the terminal."""

import math
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.report import tables


def format_summary(result: Mapping[str, Any], report: Path, output: Path) -> str:
    """Returns the last lines on the terminal: verdicts, the main figures, and where things are."""
    lines = []
    metrics, tflite = result["metrics"], result["tflite"]
    if "accuracy" in metrics:
        lines.append(f"accuracy     {metrics['accuracy']:.4f} on {int(metrics['example_count'])} test images")
    for variant, measured in tflite.items():
        lines.append(
            f"{'tflite ' + variant:15}{measured['accuracy']:.4f}, {measured['bytes'] / 1e6:.2f} MB, "
            f"{measured['latency_ms_p50']:.1f} ms (p99 {measured['latency_ms_p99']:.1f})"
        )
    for name, gate in result["gates"].items():
        verdict = "not reached" if gate is None else "passed" if gate["blessed"] else "REJECTED"
        lines.append(f"gate         {name}: {verdict}")
    for name, path in result["pushed"].items():
        lines.append(f"{name:13}{output / path if path else 'not pushed'}")
    for variant, reason in tables.list_not_preferred(result):
        lines.append(f"not pushed   tflite {variant}: {reason}")
    if (stylized := result.get("stylizer")) and (measured := stylized["evaluation"]):
        style, content = (
            max(each[key] or math.inf for each in measured["styles"]) for key in ("style_ratio", "content_ratio")
        )
        lines.append(
            f"stylizer     style loss at most {style:.1f} and content loss {content:.2f} times the optimizer's, "
            f"{measured['bytes'] / 1e6:.2f} MB, {measured['latency_ms']:.0f} ms"
        )
    if gallery := result["gallery"]:
        lines.append(f"gallery      {output / gallery['page']}: {gallery['pictures']} images")
    lines.append(f"report       {report}")
    if result["gallery"]:
        lines.append(f"studio       run `{_name_program()} studio` to restyle your own images and steer the renderer")
    if result["pushed"].get("tflite") or result["pushed"].get("stylizer"):
        command = f"{_name_program()} web --models {shlex.quote(str(output))}"
        lines.append(f"browser      run `{command}` to classify and restyle your own images in a page")
    return "\n".join(lines)


def _name_program() -> str:
    """Returns what the shell runs as `atelier`: the path, as it was typed, where the shell does not find the name."""
    typed = sys.argv[0]
    is_typed = Path(typed).name == "atelier" and typed != shutil.which("atelier")
    return shlex.quote(typed) if is_typed else "atelier"
