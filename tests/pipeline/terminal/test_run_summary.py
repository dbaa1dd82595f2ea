"""The last lines of a run on the terminal."""

from pathlib import Path

import pytest

from pipeline.terminal.run_summary import format_summary


def test_the_summary_names_verdicts_figures_and_paths():
    measured = {"accuracy": 0.875, "bytes": 2_500_000, "latency_ms_p50": 4.04, "latency_ms_p99": 6.06}
    result = {
        "metrics": {"accuracy": 0.9, "example_count": 40.0},
        "tflite": {"int8": measured},
        "gates": {"Evaluator": {"blessed": True}, "Evaluator.tflite": {"blessed": False}, "Other": None},
        "pushed": {"saved_model": "serving_model/17", "tflite": None},
        "tflite_push": {
            "int8": {"pushed": False, "reason": "its gate rejected it: agreement 0.8 is below 0.95"},
            "float": {"pushed": True, "reason": "the first"},
        },
        "config": {"tflite": {"push": ["int8", "float"]}},
        "gallery": {"page": "gallery/gallery.html", "pictures": 18},
    }
    lines = format_summary(result, Path("out/report.html"), Path("out")).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "accuracy 0.9000 on 40 test images",
        "tflite int8 0.8750, 2.50 MB, 4.0 ms (p99 6.1)",
        "gate Evaluator: passed",
        "gate Evaluator.tflite: REJECTED",
        "gate Other: not reached",
        "saved_model out/serving_model/17",
        "tflite not pushed",
        "not pushed tflite int8: its gate rejected it: agreement 0.8 is below 0.95",
        "gallery out/gallery/gallery.html: 18 images",
        "report out/report.html",
        "studio run `atelier studio` to restyle your own images and steer the renderer",
    ]


def test_a_run_that_failed_early_has_a_summary_too():
    result = {
        "metrics": {},
        "tflite": {},
        "gates": {"Evaluator": None},
        "pushed": {"saved_model": None},
        "tflite_push": {},
        "gallery": None,
    }
    text = format_summary(result, Path("r.html"), Path("out"))
    assert "Evaluator: not reached" in text
    assert "not pushed" in text


def test_a_run_that_pushed_for_browsers_ends_with_how_to_open_the_page():
    result: dict[str, object] = {"metrics": {}, "tflite": {}, "gates": {}, "tflite_push": {}, "gallery": None}
    pushed = {"saved_model": "serving_model/17", "tflite": "tflite/17"}
    text = format_summary(result | {"pushed": pushed}, Path("my run/report.html"), Path("my run"))
    assert text.splitlines()[-1].startswith("browser      run `atelier web --models 'my run'`")
    assert "atelier web" not in format_summary(result | {"pushed": {"tflite": None}}, Path("r.html"), Path("out"))


@pytest.mark.parametrize(
    ("typed", "named"),
    [(".venv/bin/atelier", ".venv/bin/atelier"), ("/usr/bin/atelier", "atelier"), ("x.py", "atelier")],
)
def test_the_page_is_opened_by_the_program_as_it_was_typed(monkeypatch, typed, named):
    monkeypatch.setattr("sys.argv", [typed])
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    result: dict[str, object] = {"metrics": {}, "tflite": {}, "gates": {}, "tflite_push": {}, "gallery": None}
    text = format_summary(result | {"pushed": {"tflite": "tflite/1"}}, Path("r.html"), Path("out"))
    assert f"run `{named} web --models out`" in text.splitlines()[-1]
