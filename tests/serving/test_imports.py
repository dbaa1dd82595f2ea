"""Which packages each room of `serving/` may import, whether at the top of a module or within a function."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"atelier", "compat", "components", "kubeflow", "pipeline", "serving", "trainer"}


def imported(folder):
    """Names of our packages, and of TensorFlow and TFX, that the modules of a folder import."""
    found = set()
    for file in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found |= {".".join(name.split(".")[: 2 if name.startswith("serving.") else 1]) for name in names}
    return {name for name in found if name.split(".")[0] in OURS | {"tensorflow", "tensorflow_serving", "tfx"}}


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("serving/client", {"atelier", "serving.client"}),
        ("serving/server", {"atelier", "compat", "serving.server", "tensorflow", "tensorflow_serving"}),
        ("serving/deploy", {"atelier"}),
        ("serving/ab", {"atelier", "serving.ab", "serving.client", "serving.registry"}),
        (
            "serving/monitor",
            {"atelier", *(f"serving.{room}" for room in ("ab", "client", "monitor", "registry", "server"))},
        ),
        ("serving/registry", {"atelier", "serving.client", "serving.registry", "serving.server", "tensorflow_serving"}),
        ("serving/web", {"atelier", "serving.web"}),
        ("serving", {"atelier", "serving.client"}),
    ],
)
def test_serving_stands_on_the_ground_floor(folder, allowed):
    assert imported(folder) <= allowed
    assert "atelier" in imported(folder)


def test_a_tflite_file_is_asked_without_tensorflow():
    """What `atelier predict --tflite` imports, in a fresh process."""
    modules = ["pipeline.cli", "pipeline.commands.predict", "serving.tflite_model"]
    code = f"import {', '.join(modules)}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert {"ai_edge_litert", "PIL", "click"} <= loaded
    assert not loaded & {"tensorflow", "tensorflow_serving", "tfx", "apache_beam", "keras", "trainer", "components"}
