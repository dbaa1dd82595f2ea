import itertools
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from pipeline.config import config
from pipeline.report import report, sections, showcase, stylizer, tables
from pipeline.report.columns import Cell, Column, Table
from pipeline.report.evidence import Evidence

VOID = {"meta", "img", "br", "link"}
SELF_CLOSED = {"path", "circle"}
NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


class Page(HTMLParser):
    """Parses a page and fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.tables: list[dict] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_startendtag(self, tag, attrs):
        assert tag in SELF_CLOSED
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[::-1]
        if "style" in inside:
            return
        self.words.append(data)
        if {"h1", "h2", "h3"} & set(inside) and data.strip():
            self.headings.append(data.strip())
        nearest = next((tag for tag in inside if tag in ("td", "th", "caption", "tr", "table")), None)
        if nearest in ("td", "th"):
            self.tables[-1]["rows"][-1][-1] += data.strip()
        elif nearest == "caption":
            self.tables[-1]["caption"] += data

    def read_rows(self, caption):
        """Rows of the tables whose captions begin so, each without its head and its empty cells."""
        tables = [table for table in self.tables if table["caption"].startswith(caption)]
        assert tables, [table["caption"] for table in self.tables]
        return [[cell for cell in row if cell] for table in tables for row in table["rows"][1:]]


def make_finished_run(**changes):
    """A run of three classes that passed."""
    settings = config.Config(
        name="animals",
        evaluator=config.Evaluator(min_accuracy=0.75, max_accuracy_drop=0.02, top_k=2),
    )
    slices = [
        ({"image/class/label": "0"}, 0.7, 10),
        ({"image/class/label": "1"}, 1.0, 4),
        ({"image/class/label": "2"}, 0.0, 1),
        ({"image/format": "png"}, 0.8, 15),
    ]
    measured = {"disagreement": 0.125, "bytes": 3982672, "latency_ms_p50": 1.047, "latency_ms_p99": 5.208}
    nodes = {"ImportExampleGen": ("cached", 0.05), "Trainer": ("complete", 154.0), "Evaluator": ("complete", 22.84)}
    return {
        "name": "animals",
        "blessed": True,
        "reasons": [],
        "gates": {"Evaluator": {"blessed": True, "reasons": []}, "Evaluator.tflite": {"blessed": True, "reasons": []}},
        "tflite_push": make_tflite_push(pushed="int8"),
        "warnings": [],
        "pushed": {"saved_model": "serving_model/17", "tflite": "tflite/18"},
        "metrics": {"accuracy": 11 / 15, "top_k_accuracy": 0.9, "loss": 0.51234, "example_count": 15.0},
        "slices": [
            {"slice": where, "metrics": {"accuracy": accuracy, "loss": 0.5, "example_count": float(count)}}
            for where, accuracy, count in slices
        ],
        "by_class": {},
        "confusion": [[0, 0, 7], [0, 1, 3], [1, 1, 4], [2, 0, 1]],
        "calibration": [[0.25, 0.5, 3.0], [0.75, 1.0, 1.0]],
        "tflite": {"float": {**measured, "accuracy": 0.7, "bytes": 13497712}, "int8": {**measured, "accuracy": 0.6}},
        "gallery": None,
        "transform": {"bytes_per_image": 15052.8, "float32_bytes_per_image": 602112},
        "feature_cache": {"first_epoch_s": 14.652, "later_epoch_s": 0.431},
        "training": {
            "precision": "float32",
            "precision_choice": {
                "reason": "no format is 1.1 times as fast as float32",
                "step_ms": {"float32": 211.34, "mixed_bfloat16": 437.0},
            },
            "seconds": 153.8,
            "phases": {
                "head": {"curves": [make_curve(0, 0.25), make_curve(1, 0.5)]},
                "fine_tune": {"curves": [make_curve(0, 0.75)]},
            },
        },
        "tuner": [],
        "data": {"train": 1200, "eval": 15, "test": 15},
        "quarantine": {"count": 0, "reasons": {}},
        "ingest": {},
        "nodes": {name: state for name, (state, _) in nodes.items()},
        "nodes_s": {name: seconds for name, (_, seconds) in nodes.items()},
        "versions": {"tfx": "1.21.0", "keras": "3.15.1"},
        "config": settings.model_dump(mode="json"),
    } | changes


def make_tflite_push(pushed, **reasons):
    return {
        variant: {"pushed": variant == pushed, "reason": reasons.get(variant, "it is not in tflite.push")}
        for variant in ("int8", "float", "dynamic")
    }


def make_curve(epoch, accuracy):
    return {
        "epoch": float(epoch),
        "accuracy": accuracy,
        "val_accuracy": accuracy + 0.125,
        "loss": 2.5,
        "val_loss": 2.0,
        "seconds": 3.21,
    }


def make_stopped_run(**changes):
    """A run that a failing node stopped before anything was trained."""
    return (
        make_finished_run(
            blessed=False,
            reasons=["AnomalyGate: the data has anomalies:\n  test: label: 11 is out of its domain"],
            gates={"Evaluator": None, "Evaluator.tflite": None},
            pushed={"saved_model": None, "tflite": None},
            metrics={},
            slices=[],
            confusion=[],
            calibration=[],
            tflite={},
            transform=None,
            feature_cache=None,
            training={},
            nodes={"ImportExampleGen": "complete", "AnomalyGate": "failed"},
            nodes_s={"ImportExampleGen": 21.0, "AnomalyGate": 0.5},
        )
        | changes
    )


def make_ingest_report(**changes):
    return {
        "source": "/images",
        "classes": ["cat", "dog"],
        "files": 1234,
        "ignored": {},
        "records": {
            "train": {"pictures": 30, "classes": {"cat": 10, "dog": 20}},
            "eval": {"pictures": 1, "classes": {"cat": 0, "dog": 1}},
            "test": {"pictures": 5, "classes": {"cat": 2, "dog": 3}},
        },
        "classes_missing": {"train": [], "eval": ["cat"], "test": []},
        "formats": {"jpeg": 1000, "png": 34},
        "duplicates": {"pictures": 0},
        "conflicting_labels": {"pictures": 0},
        "leakage": {"dropped": 0},
        "near_duplicates": {"pictures": 7},
        "bytes": {"read": 5_250_000, "stored": 2_000_000},
        "pictures_per_second": 244.1,
    } | changes


def render(result, **evidence):
    return Page(report.render(result, Evidence(**evidence), NOW))


def test_a_run_that_passed():
    page = render(make_finished_run(), class_names=["cat", "dog", "bird"], saved_model_bytes=21_456_789)
    assert page.headings[:2] == ["animals", "Gates"]
    assert (
        "Pipeline run, 23 November 2026, 14:05 UTC Passed Both gates let the model through. The SavedModel" in page.text
    )
    assert "The SavedModel is in serving_model/17 , the TFLite file in tflite/18 ." in page.text
    assert page.read_rows("The SavedModel on the test split") == [
        ["accuracy", "0.7333", "at least 0.75"],
        ["top-2 accuracy", "0.9000"],
        ["cross-entropy", "0.5123"],
        ["expected calibration error", "0.2500"],
        ["test images", "15"],
    ]
    assert page.read_rows("Accuracy and disagreement") == [
        ["SavedModel", "21.5 MB", "0.7333", "–", "–", "–", "serving_model/17"],
        ["TFLite float", "13.5 MB", "0.7000", "0.1250", "1.05 ms", "5.21 ms", "for comparison"],
        ["TFLite int8", "4.0 MB", "0.6000", "0.1250", "1.05 ms", "5.21 ms", "tflite/18"],
    ]
    assert page.read_rows("Time by node") == [
        ["ImportExampleGen", "cached", "0.1 s"],
        ["Trainer", "done", "2 min 34 s"],
        ["Evaluator", "done", "23 s"],
    ]
    assert page.read_rows("Metrics by epoch") == [
        ["head", "1", "0.2500", "0.3750", "2.5000", "2.0000", "3.2 s"],
        ["head", "2", "0.5000", "0.6250", "2.5000", "2.0000", "3.2 s"],
        ["fine-tune", "1", "0.7500", "0.8750", "2.5000", "2.0000", "3.2 s"],
    ]
    assert "2 min 34 s in float32" in page.text
    assert "no format is 1.1 times as fast as float32 (float32 211.3 ms a step, mixed_bfloat16 437.0 ms" in page.text
    assert "Transform keeps 15.1 kB an image, 0.025 of its float32 pixels" in page.text
    assert "keras 3.15.1" in page.text
    assert "min_accuracy: 0.75" in page.text
    assert "did not get to: images with their predictions." in page.text


def test_slices_come_by_feature_with_the_worst_first():
    page = render(make_finished_run(), class_names=["cat", "dog", "bird"])
    assert page.read_rows("Metrics by image/class/label") == [
        ["bird", "0.0000", "–", "0.5000", "1"],
        ["cat", "0.7000", "–", "0.5000", "10"],
        ["dog", "1.0000", "–", "0.5000", "4"],
    ]
    assert page.read_rows("Metrics by image/format") == [["png", "0.8000", "–", "0.5000", "15"]]


def test_labels_that_are_text_are_no_ids():
    page = render(make_finished_run(), class_names=["2", "1", "0"], text_labels=True)
    assert [row[0] for row in page.read_rows("Metrics by image/class/label")] == ["2", "0", "1"]


def test_classes_and_their_confusion():
    page = render(make_finished_run(), class_names=["cat", "dog", "bird"])
    assert page.read_rows("Precision and recall by class") == [
        ["bird", "–", "0.0000", "1", "cat (1)"],
        ["cat", "0.8750", "0.7000", "10", "dog (3)"],
        ["dog", "0.5714", "1.0000", "4"],
    ]
    assert page.read_rows("Actual class down") == [["cat", "7", "3"], ["dog", "4"], ["bird", "1"]]
    assert page.read_rows("Pairs of classes") == [["cat", "dog", "3", "30.0 %"], ["bird", "cat", "1", "100.0 %"]]
    titles = [attributes["title"] for tag, attributes in page.tags if tag == "td" and "title" in attributes]
    assert titles == [
        "cat, taken for cat: 7 (70.0 %)",
        "cat, taken for dog: 3 (30.0 %)",
        "dog, taken for dog: 4 (100.0 %)",
        "bird, taken for cat: 1 (100.0 %)",
    ]


def test_a_perfect_model():
    result = make_finished_run(
        confusion=[[0, 0, 5], [1, 1, 5]],
        slices=[{"slice": {"image/format": "png"}, "metrics": {"accuracy": 1.0, "example_count": 10.0}}],
    )
    page = render(result)
    assert "every test image was recognized" in page.text
    assert page.read_rows("Metrics by image/format") == [["png", "1.0000", "–", "–", "10"]]


def test_a_run_that_a_gate_refused():
    reason = "accuracy 0.7333 is below 0.9900 (all images)"
    page = render(
        make_finished_run(
            blessed=False,
            reasons=[f"Evaluator: {reason}"],
            gates={"Evaluator": {"blessed": False, "reasons": [reason]}, "Evaluator.tflite": None},
            pushed={"saved_model": None, "tflite": None},
            tflite={},
            # The exporter takes no refused model.
            nodes={"Evaluator": "complete", "TFLiteExporter": "failed"},
            nodes_s={"Evaluator": 1.0, "TFLiteExporter": 2.0},
        )
    )
    assert f"Rejected The SavedModel gate rejected the model. Nothing was pushed. Evaluator: {reason}" in page.text
    assert (
        f"SavedModel ✗ rejected {reason} requires accuracy at least 0.75 at most 0.02 below the baseline" in page.text
    )
    assert "TFLite not reached" in page.text
    assert "did not get to: images with their predictions, TFLite measurements." in page.text


def test_only_the_tflite_gate_refused():
    page = render(
        make_finished_run(
            blessed=False,
            reasons=["Evaluator.tflite: agreement 0.9000 is below 0.9500 (all images)"],
            gates={
                "Evaluator": {"blessed": True, "reasons": []},
                "Evaluator.tflite": {"blessed": False, "reasons": ["agreement 0.9000 is below 0.9500 (all images)"]},
            },
            pushed={"saved_model": "serving_model/17", "tflite": None},
            tflite_push=make_tflite_push(pushed=None),
        )
    )
    assert "Rejected The TFLite gate rejected the model." in page.text
    assert "The SavedModel was pushed to serving_model/17 ; no TFLite file was pushed." in page.text
    assert page.read_rows("Accuracy and disagreement")[-1][-1] == "not pushed"


def test_a_variant_that_its_gate_rejected_is_named_beside_the_one_that_was_pushed():
    result = make_finished_run()
    reason = "agreement 0.8100 is below 0.9500 (all images)"
    result["config"]["tflite"]["push"] = ["int8", "dynamic", "float"]
    passed = {"blessed": True, "reasons": []}
    result |= {
        "gates": {
            "Evaluator": passed,
            "Evaluator.tflite": {"blessed": False, "reasons": [reason]},
            "Evaluator.tflite.dynamic": passed,
            "Evaluator.tflite.float": passed,
        },
        "tflite_push": make_tflite_push(
            pushed="dynamic",
            int8=f"its gate rejected it: {reason}",
            float="it passed its gate, but dynamic comes first",
        ),
        "tflite": result["tflite"] | {"dynamic": result["tflite"]["float"]},
    }
    page = render(result)
    assert "Passed The gates let the SavedModel and a TFLite variant through. The" in page.text
    assert f"TFLite int8 was not pushed: its gate rejected it: {reason}." in page.text
    assert "TFLite float was not pushed: it passed its gate, but dynamic comes first." in page.text
    assert f"TFLite int8 ✗ rejected {reason}" in page.text
    assert "TFLite dynamic ✓ passed" in page.text
    where = {row[0]: row[-1] for row in page.read_rows("Accuracy and disagreement")}
    assert where == {
        "TFLite float": "not pushed",
        "TFLite int8": "not pushed",
        "TFLite dynamic": "tflite/18",
    }


def test_a_run_that_stopped_early_leads_with_the_reason():
    page = render(make_stopped_run())
    assert (
        "Failed The run stopped in AnomalyGate. Nothing was pushed. "
        "AnomalyGate: the data has anomalies: test: label: 11 is out of its domain"
    ) in page.text
    assert "run.log" in page.text
    assert [heading for heading in page.headings if heading in ("Metrics", "Classes", "Training", "Artifacts")] == []
    assert (
        "did not get to: training curves, metrics, images with their predictions, TFLite measurements."
    ) in page.text
    assert page.read_rows("Time by node") == [["ImportExampleGen", "done", "21 s"], ["AnomalyGate", "failed", "0.5 s"]]


def test_a_push_that_failed_is_no_pass():
    nodes = {"Pusher": "failed"}
    page = render(make_finished_run(reasons=["Pusher: No space left on device"], nodes=nodes, nodes_s={"Pusher": 1.0}))
    assert "Failed The run stopped in Pusher." in page.text


def test_a_run_of_no_node():
    page = render(make_stopped_run(nodes={}, nodes_s={}, data={}))
    assert "The run stopped before both gates had a verdict." in page.text
    assert "No node ran." in page.text
    assert "No split was counted." in page.text


def test_nodes_that_took_no_time():
    page = render(make_finished_run(nodes={"Trainer": "cached"}, nodes_s={"Trainer": 0.0}))
    assert page.read_rows("Time by node") == [["Trainer", "cached", "0.0 s"]]


@pytest.mark.parametrize(
    "missing",
    [
        {"metrics": {}},
        {"slices": []},
        {"confusion": []},
        {"calibration": []},
        {"tflite": {}},
        {"training": {}},
        {"training": {"precision": "float32", "seconds": 1.0, "phases": {}}},
        {"feature_cache": None},
        {"transform": None},
        {"data": {}},
        {"metrics": {"loss": 1.0}},
    ],
    ids=str,
)
def test_any_part_may_be_missing(missing):
    page = render(make_finished_run(**missing))
    assert "Passed" in page.text
    for tag, attributes in page.tags:
        if tag == "a":
            assert ("section", {"id": attributes["href"][1:]}) in page.tags


def test_the_gallery_is_a_link_beside_the_page():
    gallery = {"page": "gallery/gallery.html", "pictures": 18, "rendered": 6, "dead_letters": 0}
    page = render(make_finished_run(gallery=gallery))
    assert "The gallery has 18 rendered images." in page.text
    assert ("a", {"href": "gallery/gallery.html"}) in page.tags
    assert "The gallery" not in render(make_finished_run()).text


def test_warnings_are_shown():
    assert "Warnings no test split: careful" in render(make_finished_run(warnings=["no test split: careful"])).text


def test_what_the_ingest_found():
    page = render(make_finished_run(ingest=make_ingest_report()))
    ingest = next(table for table in page.tables if table["caption"] == "What the ingest found")
    assert ingest["rows"] == [
        ["Source", "/images"],
        ["Files", "1,234"],
        ["Formats kept", "jpeg 1,000, png 34"],
        ["Bytes", "5.2 MB read, 2.0 MB stored"],
        ["Speed", "244.1 images a second"],
        ["Near-duplicates in another split", "7"],
        ["Classes without eval images", "cat"],
    ]
    remarks = {"one_color": {"images": 1200, "examples": [f"cat/{n}.png" for n in range(5)]}}
    page = render(make_finished_run(ingest=make_ingest_report(remarks=remarks)))
    ingest = next(table for table in page.tables if table["caption"] == "What the ingest found")
    assert ingest["rows"][-1] == [
        "Images of nearly one color",
        "1,200, for example cat/0.png, cat/1.png, cat/2.png",
    ]
    assert page.read_rows("Images by class and split") == [["dog", "20", "1", "3"], ["cat", "10", "0", "2"]]
    assert page.read_rows("Precision and recall by class")[1][0] == "cat"


def test_images_are_shown_with_their_probabilities():
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    chosen = showcase.choose(
        showcase.Predictions(pixels, np.array([0, 1]), np.array([[0.2, 0.8], [0.1, 0.9]])), ["cat", "dog"]
    )
    page = render(make_finished_run(), images=chosen)
    assert "Of all 2 test images, the SavedModel gets 1 wrong." in page.text
    assert "cat , taken for dog" in page.text
    probabilities = [table["rows"] for table in page.tables if table["caption"] == "Probabilities"]
    assert probabilities == [
        [["dog", "", "80.0 %"], ["✓cat", "", "20.0 %"]],
        [["✓dog", "", "90.0 %"], ["cat", "", "10.0 %"]],
    ]
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ["Test image of class cat", "Test image of class dog"]
    assert "did not get to" not in page.text


HOSTILE = "<script>alert('&')</script>"


def test_nothing_that_users_name_becomes_markup():
    chosen = showcase.choose(
        showcase.Predictions(np.zeros((1, 8, 8, 3), np.uint8), np.array([0]), np.array([[0.2, 0.8]])), [HOSTILE, '"x="']
    )
    result = make_finished_run(
        name=HOSTILE,
        blessed=False,
        reasons=[HOSTILE],
        warnings=[HOSTILE],
        gates={"Evaluator": {"blessed": False, "reasons": [HOSTILE]}, "Evaluator.tflite": None},
        slices=[{"slice": {HOSTILE: HOSTILE}, "metrics": {"accuracy": 0.5, "example_count": 2.0}}],
        quarantine={"count": 1, "reasons": {HOSTILE: 1}},
        ingest=make_ingest_report(source=HOSTILE, classes=[HOSTILE, "dog"]),
    )
    result["config"]["data"]["source"] = HOSTILE
    result["training"]["phases"][HOSTILE] = {"curves": [make_curve(0, 0.5)]}
    page = render(
        result,
        class_names=[HOSTILE, '" onclick="x'],
        images=chosen,
        quarantine={HOSTILE: [{"path": HOSTILE, "detail": HOSTILE}]},
    )
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count(HOSTILE) >= 15
    assert page.read_rows("Actual class down")[0][0] == HOSTILE


def test_the_page_asks_for_nothing_from_outside():
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    chosen = showcase.choose(showcase.Predictions(pixels, np.array([0]), np.array([[1.0]])), [])
    text = report.render(make_finished_run(), Evidence(images=chosen), NOW)
    page = Page(text)
    addresses = [str(attributes[key]) for _, attributes in page.tags for key in ("src", "href") if key in attributes]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"url\(|@import|https?:", text)
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)


def test_the_page_can_be_read_without_seeing_it():
    page = render(make_finished_run(ingest=make_ingest_report()), class_names=["cat", "dog", "bird"])
    assert all(table["caption"].strip() for table in page.tables)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(charts) == 3
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert set(chart["aria-labelledby"].split()) <= set(ids)
    assert "eval accuracy from 0.3750 to 0.6250" in page.text


def test_a_thousand_classes_stay_readable():
    names = [f"class {number}" for number in range(1000)]
    result = make_finished_run(
        slices=[
            {"slice": {"image/class/label": str(i)}, "metrics": {"accuracy": i / 1000, "example_count": 20.0}}
            for i in range(1000)
        ],
        confusion=[[i, i, 15] for i in range(1000)] + [[i, (i + 1) % 1000, 5] for i in range(1000)],
        ingest=make_ingest_report(
            classes=names,
            records={split: {"classes": dict.fromkeys(names, 7)} for split in ("train", "eval", "test")},
        ),
    )
    text = report.render(result, Evidence(class_names=names), NOW)
    assert len(text) < 1_500_000
    page = Page(text)
    shown, folded = [table["rows"][1:] for table in page.tables if table["caption"].startswith("Metrics by image")]
    assert (len(shown), len(folded)) == (30, 970)
    assert shown[0][0] == "class 0"
    assert "970 more slices" in page.text
    assert "970 more classes" in page.text
    assert not any(table["caption"].startswith("Actual class down") for table in page.tables)
    assert len(page.read_rows("Pairs of classes")) == 15


def test_write_replaces_the_page_and_reads_the_quarantine(tmp_path):
    (tmp_path / "report.html").write_text("the page of an earlier run")
    folder = tmp_path / "data" / "quarantine"
    folder.mkdir(parents=True)
    cases = [("empty", f"cats/{number}.png", "0 bytes") for number in range(5)] + [("truncated", "a.jpg", "cut")]
    lines = [f'{{"path": "{path}", "reason": "{reason}", "detail": "{detail}"}}\n' for reason, path, detail in cases]
    (folder / "quarantine.jsonl").write_text("".join(lines))
    result = make_stopped_run(quarantine={"count": 6, "reasons": {"empty": 5, "truncated": 1, "no_permission": 1}})
    result["warnings"] = ["a name that is no UTF-8: \udce9"]

    assert report.write(result, {}, tmp_path) == tmp_path / "report.html"
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "The run stopped in AnomalyGate." in page.text
    assert page.read_rows("6 files could not be used and lie aside.") == [
        ["empty", "5", "cats/0.png0 bytescats/1.png0 bytescats/2.png0 bytes"],
        ["truncated", "1", "a.jpgcut"],
        ["no permission", "1"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "report.html"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7384, "2 h 03 min"),
    ],
)
def test_durations(seconds, text):
    assert tables.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (999_600, "1.0 MB"), (123_456_789, "123 MB")],
)
def test_sizes(count, text):
    assert tables.format_size(count) == text


def test_trials_are_a_chart_and_a_table_best_first():
    values = [{"dropout": 0.25, "head_learning_rate": 0.0123456}, {"dropout": 0.5, "head_learning_rate": 1e-4}]
    trials = [
        {"trial": f"0{number}", "accuracy": 0.9 - number / 10, "epochs": 9, "values": each}
        for number, each in enumerate(values)
    ]
    page = render(make_finished_run(tuner=trials))
    assert "2 trials by hyperband search" in page.text
    assert "took the values of trial 00, the best of those that were given the most epochs" in page.text
    assert page.read_rows("Trials, best first") == [
        ["00✓ chosen", "0.9000", "9", "0.25", "0.0123"],
        ["01", "0.8000", "9", "0.5", "0.0001"],
    ]
    kinds = [attributes.get("class") for tag, attributes in page.tags if tag == "g"]
    assert [kind for kind in kinds if kind and kind.startswith("trial")] == ["trial", "trial chosen"]
    assert "Tuning" not in render(make_finished_run()).headings


def test_a_section_is_registered_by_one_function(monkeypatch):
    """As docs/extending.md has it: a table without a template of its own."""
    monkeypatch.setattr(sections, "SECTIONS", [*sections.SECTIONS])

    @sections.section("bytes", "Bytes")
    def build_bytes(run):
        columns = (
            Column("Artifact", lambda row: row["name"]),
            Column("Bytes", lambda row: str(row["bytes"]), is_number=True),
            Column("State", lambda _: Cell(HOSTILE, "warn")),
        )
        return Table("Exact sizes.", columns, run.artifacts) if run.artifacts else None

    page = render(make_finished_run())
    assert page.headings.index("Bytes") > page.headings.index("The run")
    assert ("a", {"href": "#bytes"}) in page.tags
    assert page.read_rows("Exact sizes.") == [
        ["TFLite float", "13497712", HOSTILE],
        ["TFLite int8", "3982672", HOSTILE],
    ]
    assert "Bytes" not in render(make_finished_run(tflite={})).headings


def test_a_column_more_is_one_entry(monkeypatch):
    more = Column("Bytes", lambda row: str(row["bytes"]), is_number=True)
    monkeypatch.setattr(tables, "ARTIFACT_COLUMNS", (*tables.ARTIFACT_COLUMNS, more))
    assert [row[-1] for row in render(make_finished_run()).read_rows("Accuracy and disagreement")] == [
        "13497712",
        "3982672",
    ]


def make_stylized_run(**changes):
    losses = {"style_loss": 0.0713, "optimizer_style_loss": 0.0084, "style_ratio": 8.4881}
    losses |= {"content_loss": 1.127, "optimizer_content_loss": 0.94, "content_ratio": 1.1989}
    evaluation = {
        "size": 256,
        "images": ["cat.png"],
        "rejected": {},
        "styles": [{"style": "swirls", **losses}],
        "styles_in_model": 3,
        "ssim": 0.9987,
        "bytes": 3_100_000,
        "latency_ms": 60.4,
        "tflite": {},
        "rendered": 0,
    }
    phases = [{"phase": "values", "steps": 1, "losses": {}}, {"phase": "whole", "steps": 1200, "losses": {}}]
    training = {"styles": ["swirls", "a", "b"], "photographs": 7, "rejected": {"x.jpg": "damaged"}, "phases": phases}
    result = make_finished_run()
    result["config"]["stylizer"]["enabled"] = True
    result["gates"] = result["gates"] | {"StylizerEvaluator": {"blessed": True, "reasons": []}}
    result["pushed"] = result["pushed"] | {"stylizer": "stylizer/19"}
    result["stylizer"] = {"training": training | {"seconds": 61.0}, "evaluation": evaluation}
    return result | changes


def test_a_stylizer_is_pushed_without_a_classifier():
    pushed = {"saved_model": None, "tflite": None, "stylizer": "stylizer/19"}
    gallery = {"page": "gallery/index.html", "pictures": 4}
    page = render(make_stylized_run(pushed=pushed, blessed=False, gallery=gallery), grid=[])
    assert "No classifier was pushed. The stylizer was pushed to stylizer/19 . The gallery has" in page.text
    assert "Nothing was pushed" not in page.text


def test_the_stylizer_beside_the_optimizer():
    row = stylizer.GridRow("swirls", [f"data:image/jpeg;base64,{letter}" for letter in "abcd"])
    page = render(make_stylized_run(), grid=[row])
    assert "All gates let the model through." in page.text
    assert "The stylizer was pushed to stylizer/19 . " in page.text
    assert "normalization values were trained for 1 step. All weights were trained for 1,200 steps." in page.text
    assert "x.jpg (damaged)" in page.text
    assert "least SSIM with the image is 0.9987" in page.text
    assert "1 of 3 styles was measured" in page.text
    assert page.read_rows("Losses at 256 pixels, mean over one held-out image") == [
        ["swirls", "0.0713", "0.0084", "8.49", "1.127", "0.940", "1.20"]
    ]
    assert [a["alt"] for tag, a in page.tags if tag == "img"] == [
        f"swirls: {each}"
        for each in ("content image", "rendered by the optimizer", "one pass", "one pass at a strength of 0.5")
    ]


def test_a_stylizer_that_its_gate_rejected():
    reason = "style loss 99.00 times the optimizer's is above 15 (style swirls)"
    result = make_stylized_run(blessed=False, reasons=[f"StylizerEvaluator: {reason}"])
    result["gates"]["StylizerEvaluator"] = {"blessed": False, "reasons": [reason]}
    result["pushed"]["stylizer"] = None
    page = render(result)
    assert "Rejected The Stylizer gate rejected the model." in page.text
    assert (
        f"Stylizer ✗ rejected {reason} requires style loss of any style at most 15 times the optimizer's" in page.text
    )
    assert "It was not pushed." in page.text


def test_a_stylizer_without_a_verdict():
    result = make_stylized_run(blessed=False)
    result["gates"]["StylizerEvaluator"] = None
    result["stylizer"]["evaluation"] = None
    result["pushed"]["stylizer"] = None
    result["stylizer"]["training"]["phases"] = []
    page = render(result)
    assert "The base network knows them all: nothing was trained." in page.text
    assert "Stylizer not reached" in page.text
