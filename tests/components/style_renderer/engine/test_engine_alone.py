"""The engine is usable alone: it knows neither Beam, TFX, the store of files, nor the rooms beside it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from components.style_renderer import engine

FOREIGN = (
    "apache_beam",
    "tfx",
    "fsspec",
    "atelier.storage",
    "components.style_catalog",
    "components.style_renderer.batch",
    "components.style_renderer.gallery",
    "pipeline",
)

FOREIGN_DOTTED = tuple(f"{name}." for name in FOREIGN)


def list_imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_of_the_engine_names_what_is_foreign_to_it():
    files = sorted(Path(engine.__file__).parent.glob("*.py"))
    assert len(files) > 5
    found = [
        (file.name, name) for file in files for name in list_imports(file) if f"{name}.".startswith(FOREIGN_DOTTED)
    ]
    assert found == []


PROGRAM = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None  # importing it is an error
import numpy as np
from components.style_renderer.engine.render import render
from components.style_renderer.engine.settings import Scale, Settings
noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
settings = Settings(weights="random", scales=(Scale(size=32, iterations=2),))
print(render(noise, [(noise[::-1], 1.0)], settings).image.shape)
"""


@pytest.mark.slow
def test_an_image_is_rendered_where_nothing_foreign_can_be_imported():
    done = subprocess.run([sys.executable, "-c", PROGRAM, *FOREIGN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "(32, 32, 3)"
