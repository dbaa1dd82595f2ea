"""The notebook: stored without outputs, and executed on a small setting."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/notebooks/photos.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def test_it_is_stored_without_outputs(notebook):
    assert [cell.id for cell in code_cells(notebook) if cell.outputs or cell.execution_count] == []


@pytest.mark.slow
def test_it_trains_and_asks_the_server(notebook, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("ATELIER_NOTEBOOK_OUTPUT", str(tmp_path / "photos"))
    monkeypatch.setenv(
        "ATELIER_NOTEBOOK_SETTINGS",
        "image.size=64 trainer.head_epochs=3 trainer.mixed_precision=float32 evaluator.min_accuracy=0.3 "
        "tflite.push=float tflite.calibration_images=1",
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, timeout=1100, resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = "\n".join(printed(cell) for cell in code_cells(notebook))
    assert "exit code 0: pushed" in text
    assert "288 test images, 12 classes" in text
    evaluated = re.search(r"(?m)^accuracy (0\.\d{3}) on 288 test images$", text)
    assert evaluated
    assert f" of 288 right: {evaluated[1]}\n" in text
    assert "stopped with exit code 0" in text
    assert any(output.output_type == "display_data" for cell in code_cells(notebook) for output in cell.outputs)
