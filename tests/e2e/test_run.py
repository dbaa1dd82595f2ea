"""One run from a folder of images to two pushed models, and what later runs in the same folder do."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.results.run_json import RunResult
from tests.e2e.conftest import BROKEN, CONFIG, DIGITS, PER_CLASS, Run, run_pipeline

pytestmark = pytest.mark.slow

NODES = [
    "ImportExampleGen",
    "ImportSchemaGen",
    "StyleCatalog",
    "StatisticsGen",
    "ExampleValidator",
    "AnomalyGate",
    "StyleRenderer",
    "StylizerTrainer",
    "Transform",
    "StylizerEvaluator",
    "Trainer",
    "BaselineModel",
    "Pusher.stylizer",
    "Evaluator",
    "Pusher",
    "TFLiteExporter",
    "Evaluator.tflite",
    "Pusher.tflite",
]


@pytest.fixture(scope="module")
def again(first_run: Run, digits: Path) -> Run:
    """The same once more."""
    return run_pipeline(first_run.output, "--config", CONFIG, "--data", digits)


@pytest.fixture(scope="module")
def strict(again: Run, digits: Path) -> Run:
    """The same under a threshold that nothing reaches; after `again`, which must find no change."""
    return run_pipeline(again.output, "--config", CONFIG, "--data", digits, "--set", "evaluator.min_accuracy=0.9999")


@pytest.fixture(scope="module")
def worse(strict: Run, digits: Path) -> Run:
    """A candidate that has hardly learned, under a threshold that lets it pass: only the baseline can stop it."""
    untrained = ["trainer.head_epochs=1", "trainer.head_learning_rate=1e-9", "trainer.fine_tune_epochs=0"]
    overrides = [word for value in [*untrained, "evaluator.min_accuracy=0"] for word in ("--set", value)]
    return run_pipeline(strict.output, "--config", CONFIG, "--data", digits, *overrides)


def test_first_run_passes_both_gates_and_pushes(first_run: Run) -> None:
    assert first_run.code == 0, first_run.stderr
    result = first_run.result
    assert result["blessed"]
    assert result["reasons"] == []
    assert list(result["nodes"]) == NODES
    assert set(result["nodes"].values()) == {"complete"}
    assert result["metrics"]["accuracy"] >= 0.7
    assert result["metrics"]["example_count"] == result["data"]["test"]
    assert sum(result["data"].values()) == len(DIGITS) * PER_CLASS
    for name in ("saved_model", "tflite", "stylizer"):
        assert (first_run.output / result["pushed"][name]).is_dir()
        assert str(first_run.output / result["pushed"][name]) in first_run.stdout


def test_broken_images_within_the_budget_are_set_aside(first_run: Run) -> None:
    reasons = Counter(reason for _, reason in BROKEN.values())
    quarantine = first_run.result["quarantine"]
    assert (quarantine["count"], quarantine["reasons"]) == (len(BROKEN), reasons)


def test_broken_images_above_the_budget_stop_the_run_with_the_table(digits: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    run = run_pipeline(output, "--config", CONFIG, "--data", digits, "--set", "ingest.max_bad_fraction=0.02")
    assert run.code == 1
    assert f"{len(BROKEN)} of {len(DIGITS) * PER_CLASS + len(BROKEN)} files (2.0%) cannot be used" in run.stderr
    for path, (_, reason) in BROKEN.items():
        assert any(line.split() == [reason, "1", path] for line in run.stderr.splitlines()), run.stderr
    assert "Traceback" not in run.stderr
    assert not (output / "serving_model").exists()


def test_pushed_versions_are_whole(first_run: Run) -> None:
    saved_model = first_run.output / first_run.result["pushed"]["saved_model"]
    assert (saved_model / "saved_model.pb").is_file()
    assert (saved_model / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0
    names = (saved_model / "assets.extra" / "labels.txt").read_text().split()
    assert names == [f"digit_{digit}" for digit in DIGITS]
    tflite = first_run.output / first_run.result["pushed"]["tflite"]
    assert sorted(path.name for path in tflite.iterdir()) == ["card.json", "labels.txt", "model.tflite"]
    card = json.loads((tflite / "card.json").read_text())
    assert card["input"] | {"name": ""} == {
        "name": "",
        "shape": [1, 32, 32, 3],
        "dtype": "uint8",
        "scale": 1.0,
        "zero_point": 0,
    }
    assert card["output"]["dtype"] == "uint8"
    told = {"size": 32, "resize": "pad", "store_size": 48, "max_pixels": 100_000_000, "jpeg_quality": 95}
    written = json.loads((saved_model / "assets.extra" / "preprocessing.json").read_text())
    assert written == card["preprocessing"] == told


def test_run_json_holds_the_measured_figures(first_run: Run) -> None:
    result = first_run.result
    stored = result["transform"]
    assert stored["float32_bytes_per_image"] == 32 * 32 * 3 * 4
    assert 0 < stored["bytes_per_image"] <= stored["float32_bytes_per_image"] / 8
    assert result["feature_cache"]["later_epoch_s"] < result["feature_cache"]["first_epoch_s"]
    assert all(seconds > 0 for seconds in result["nodes_s"].values())
    assert set(result["tflite"]) == {"float", "dynamic", "int8"}
    assert result["tflite"]["int8"]["bytes"] <= 0.32 * result["tflite"]["float"]["bytes"]
    assert result["tflite"]["float"]["disagreement"] == 0
    assert {entry["slice"].get("image/class/label") for entry in result["slices"]} >= {"0", "1", "2"}
    curves = {name: phase["curves"] for name, phase in result["training"]["phases"].items()}
    assert [row["epoch"] for row in curves["fine_tune"]] == [0, 1]
    # Every image of the test split is in one cell of the confusion matrix, the right ones on its diagonal.
    total = sum(count for _, _, count in result["confusion"])
    right = sum(count for actual, predicted, count in result["confusion"] if actual == predicted)
    assert total == result["metrics"]["example_count"]
    assert right / total == pytest.approx(result["metrics"]["accuracy"])


def test_run_json_has_the_documented_form(first_run: Run) -> None:
    RunResult.model_validate_json((first_run.output / "run.json").read_bytes())


def test_precision_and_recall_follow_from_the_confusion_matrix(first_run: Run) -> None:
    cells = {(actual, predicted): count for actual, predicted, count in first_run.result["confusion"]}
    for number, measured in first_run.result["by_class"].items():
        label = int(number)
        right = cells.get((label, label), 0)
        actual = sum(count for (row, _), count in cells.items() if row == label)
        assert measured["recall"] == pytest.approx(right / actual)
        predicted = sum(count for (_, column), count in cells.items() if column == label)
        if predicted:
            assert measured["precision"] == pytest.approx(right / predicted)


def test_augmented_images_are_in_the_training_split_only(first_run: Run) -> None:
    examples = next((first_run.output / "pipeline_root" / "Transform" / "transformed_examples").iterdir())
    assert {path.parent.name for path in examples.rglob("augmented*")} == {"Split-train"}


def test_the_gallery_shows_each_content_in_each_style(first_run: Run) -> None:
    gallery = first_run.result["gallery"]
    assert gallery == {"page": "gallery/gallery.html", "pictures": 4, "rendered": 4, "dead_letters": 0}
    folder = (first_run.output / gallery["page"]).parent
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        with Image.open(folder / line["file"]) as image:
            assert image.size == (64, 64)
            assert np.asarray(image).std() > 10
    assert f"gallery      {first_run.output / gallery['page']}: 4 images" in first_run.stdout
    assert 'href="gallery/gallery.html"' in (first_run.output / "report.html").read_text()


def test_the_stylizer_is_trained_measured_and_pushed(first_run: Run) -> None:
    result = first_run.result
    training, evaluation = result["stylizer"]["training"], result["stylizer"]["evaluation"]
    assert (training["styles"], training["photographs"]) == (["swirls", "mosaic"], 8)
    assert [(phase["phase"], phase["steps"]) for phase in training["phases"]] == [("whole", 2)]
    assert result["gates"]["StylizerEvaluator"] == {"blessed": True, "reasons": []}
    assert [each["style"] for each in evaluation["styles"]] == ["mosaic"]
    assert evaluation["rendered"] == 1
    pushed = first_run.output / result["pushed"]["stylizer"]
    assert (pushed / "saved_model.pb").is_file()
    assert (pushed / "assets.extra" / "labels.txt").read_text().split() == ["swirls", "mosaic"]
    assert (pushed / "assets.extra" / "tflite" / "stylizer-64-float16.tflite").is_file()
    assert sum(file.stat().st_size for file in pushed.rglob("*") if file.is_file()) == evaluation["bytes"]
    page = (first_run.output / "report.html").read_text()
    assert "mosaic: rendered by the optimizer" in page
    assert not list((first_run.output / "training_state").glob("stylizer-*"))


def test_a_style_more_renders_one_column_more(again: Run, digits: Path) -> None:
    settings = ["style.styles=[swirls, mosaic, woodcut]", "stylizer.enabled=false", "evaluator.min_accuracy=0.9999"]
    added = [word for setting in settings for word in ("--set", setting)]
    run = run_pipeline(again.output, "--config", CONFIG, "--data", digits, *added)
    gallery = run.result["gallery"]
    assert (gallery["pictures"], gallery["rendered"]) == (6, 2)


def test_report_is_one_page_without_requests(first_run: Run) -> None:
    page = (first_run.output / "report.html").read_text()
    assert "digit_7" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_unchanged_rerun_comes_from_the_cache(first_run: Run, again: Run) -> None:
    assert again.code == 0, again.stderr
    assert set(again.result["nodes"].values()) == {"cached"}
    assert again.result["pushed"] == first_run.result["pushed"]
    assert again.list_versions("serving_model") == [Path(again.result["pushed"]["saved_model"]).name]


def test_threshold_that_is_missed_stops_the_push(again: Run, strict: Run) -> None:
    assert strict.code == 1
    accuracy = again.result["metrics"]["accuracy"]
    assert f"accuracy {accuracy:.4f} is below 0.9999 (all images)" in strict.stderr
    assert "Traceback" not in strict.stderr
    assert strict.result["nodes"]["Trainer"] == "cached"
    stylizer = again.result["pushed"]["stylizer"]  # which has a gate of its own
    assert strict.result["pushed"] == {"saved_model": None, "tflite": None, "stylizer": stylizer}
    assert strict.result["blessed"] is False


def test_candidate_worse_than_the_baseline_is_not_pushed(again: Run, worse: Run) -> None:
    assert worse.code == 1
    assert worse.result["nodes"]["Transform"] == "cached"
    assert worse.result["nodes"]["Trainer"] == "complete"
    drop = worse.result["metrics"]["accuracy"] - again.result["metrics"]["accuracy"]
    assert drop < -0.05
    assert f"accuracy changed by {drop:+.4f} against the baseline" in worse.stderr
    stylizer = again.result["pushed"]["stylizer"]
    assert worse.result["pushed"] == {"saved_model": None, "tflite": None, "stylizer": stylizer}


def test_rejected_runs_leave_the_pushed_versions_alone(again: Run, worse: Run) -> None:
    for folder, name in (("serving_model", "saved_model"), ("tflite", "tflite")):
        assert worse.list_versions(folder) == [Path(again.result["pushed"][name]).name]
