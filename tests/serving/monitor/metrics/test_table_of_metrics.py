"""The table of metrics in the documentation is what there is: names, types and labels."""

import re
from pathlib import Path

import grpc
import numpy as np
from prometheus_client import CollectorRegistry

from serving.ab.answer_log import AnswerLog
from serving.client import Prediction, ServingError
from serving.client.observer import Call
from serving.monitor.drift_watch import Effect
from serving.monitor.metrics.answers import AnswerLogMetrics
from serving.monitor.metrics.client import ClientMetrics
from serving.monitor.metrics.drift import DriftMetrics
from serving.monitor.metrics.guard import GuardMetrics
from serving.monitor.metrics.server import ServerMetrics
from serving.server.observer import ServedCall, VersionState
from tests.serving.ab.answers import answer

PAGE = Path(__file__).resolve().parents[4] / "docs/how-to/monitor.md"
CODE = grpc.StatusCode.OK


def fill_client():
    metrics = ClientMetrics().for_arm("canary")
    metrics.note_call(Call("m", "Predict", 1, CODE, 0.1))
    metrics.note_answers("m", 1, [Prediction("cat", 0.9, (("cat", 0.9),), 1, 1.0), ServingError("NaN")])
    return metrics.registry


def fill_server():
    metrics = ServerMetrics()
    metrics.watch_versions(lambda: [VersionState("m", 1, "AVAILABLE", ["stable"])])
    metrics.note_call(ServedCall("m", "Predict", 1, CODE, 0.1))
    metrics.note_batch("m", 1, 2, [0.1])
    rows = np.array([[0.1, 0.9], [np.nan, 1]], np.float32)
    metrics.note_outputs("m", 1, {"label": np.array([b"cat", b"cat"], object), "probabilities": rows})
    return metrics.registry


def fill_guard(tmp_path):
    log = AnswerLog(tmp_path / "log")
    log.add_answer(answer(1))
    log.add_truths([("r1", "cat")])
    log.close()
    metrics = GuardMetrics()
    arms = {"canary": {"version": 2, "requests": 3, "errors": 1}}
    metrics.note({"verdict": "wait", "e_value": 1.0, "arms": arms}, {"localhost:8500": {1: "AVAILABLE"}})
    effects = [Effect("predictions", "steady", "bits", 500, 0.01, 0.02), Effect("size", "drift", "", 500, 0.4, 0.3)]
    drift = DriftMetrics(lambda: [*effects, Effect("features", "no data", "", 3)])
    registry = CollectorRegistry()
    registry.register(drift)
    registry.register(metrics)
    registry.register(AnswerLogMetrics(tmp_path / "log"))
    return registry


def list_metrics(registry):
    """{name: (type, labels)}, as the table has them; those of the process are Prometheus' own."""
    found = {}
    for family in registry.collect():
        if family.name.startswith("process_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    return found


def read_table():
    found = {}
    for names, kind, labels in re.findall(r"^\| (`atelier_.*?) \| (\w+) \| (.*?)\|", PAGE.read_text(), re.MULTILINE):
        own, _, arm = labels.strip().partition("; ")
        for name in re.findall(r"`(.+?)`", names):
            for side in ("client", "server") if "*" in name else ("",):
                listed = {*filter(None, own.split(", ")), *([arm] if arm and side == "client" else [])}
                found[name.replace("*", side)] = (kind, listed)
    return found


def test_the_table_lists_every_metric_with_its_labels(tmp_path):
    there = list_metrics(fill_client()) | list_metrics(fill_server()) | list_metrics(fill_guard(tmp_path))
    assert len(there) > 20
    assert read_table() == there


def test_names_follow_the_conventions_of_prometheus(tmp_path):
    for name, (kind, _) in (list_metrics(fill_client()) | list_metrics(fill_server())).items():
        assert re.fullmatch(r"[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"milli|micro|percent|_ms", name)
