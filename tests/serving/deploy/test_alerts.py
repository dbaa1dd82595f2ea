"""Debian's Prometheus and Alertmanager on loopback: every panel has data, and every alert fires and resolves.

The files are those of serving/deploy/monitoring, with three changes. Ports are free ones. Durations are shorter, by
`SHORTER`: minutes are seconds. Alertmanager tells a receiver of this test.

Calls are real: clients with metrics ask the local server and a server that answers slowly. Three things are made up:
TensorFlow Serving's page (`ModelServerPage`, in its names), the memory and start of a process that grows, and drift.
"""

import contextlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import types
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import yaml
from google.protobuf import text_format
from prometheus_client import CollectorRegistry, Gauge
from tensorflow_serving.config import model_server_config_pb2

from serving.ab.answer_log import AnswerLog, format_now
from serving.ab.arms import count
from serving.ab.split_client import SplitClient
from serving.ab.verdict import judge, to_json
from serving.client import AS_IS, Client, ServedModel, ServingError
from serving.deploy.monitoring import dashboards
from serving.monitor.drift_watch import Effect
from serving.monitor.metrics.answers import AnswerLogMetrics
from serving.monitor.metrics.client import ClientMetrics
from serving.monitor.metrics.drift import DriftMetrics
from serving.monitor.metrics.endpoint import Endpoint
from serving.monitor.metrics.guard import GuardMetrics
from serving.monitor.metrics.server import ServerMetrics
from serving.registry.model_servers import connect_servers
from serving.server.model_server_config import BatchingParameters
from tests.deferred import deferred_imports
from tests.serving.ab.answers import answer
from tests.serving.malformed import make_image

with deferred_imports():
    from serving.server.local_server import LocalServer, Options
    from tests.serving import fake_model_server, tiny_model

TOOLS = ("prometheus", "prometheus-alertmanager")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, TOOLS)), reason="Debian's prometheus and prometheus-alertmanager are not installed"
    ),
]

MONITORING = dashboards.FOLDER.parents[1]
SHORTER = {"5m": "6s", "10m": "3s", "1h": "6s", "7d": "120s"}
"""Of ranges and offsets. Every `for` is 1 s; metrics are scraped every second, and rules evaluated twice as often."""
EMPTY = {"Answers of NaN or infinity"}
"""Panels without data here: no model of this test gives such answers."""
PATIENCE = 120.0


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]


def wait_until(met, what):
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.1)


# Changed files


def shorten_alerts():
    """The rules with shorter durations."""
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            for long, short in SHORTER.items():
                rule["expr"] = (
                    rule["expr"].replace(f"[{long}]", f"[{short}]").replace(f"offset {long}", f"offset {short}")
                )
            if "for" in rule:
                rule["for"] = "1s"
    return rules


def write_files(folder, ports):
    (folder / "alerts.yml").write_text(yaml.safe_dump(shorten_alerts()))
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"}
    (manager,) = config["alerting"]["alertmanagers"]
    manager["static_configs"] = [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "targets").mkdir()
    roles = {"model-server": ["model-server"], "atelier": ["server", "client", "guard", "process"]}
    for job, names in roles.items():
        entries = [
            {
                "targets": [f"127.0.0.1:{ports[name]}"],
                "labels": {"role": "server" if name == "model-server" else name},
            }
            for name in names
        ]
        (folder / "targets" / f"{job}.yml").write_text(yaml.safe_dump(entries))
    told = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    told["route"] |= {"group_wait": "100ms", "group_interval": "500ms"}
    told["receivers"][0]["webhook_configs"] = [{"url": f"http://127.0.0.1:{ports['receiver']}/"}]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(told))


@contextlib.contextmanager
def running(*command, folder):
    """Runs a program, and ends it by its own id."""
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
            assert process.poll() is None, Path(log.name).read_text()
        finally:
            process.terminate()
            process.wait(30)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def answering(port, handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class Receiver:
    """What Alertmanager told: for each alert, its states in their order."""

    def __init__(self):
        self.told: dict[str, list[str]] = {}
        told = self.told

        class Receiving(Handler):
            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in message["alerts"]:
                    told.setdefault(alert["labels"]["alertname"], []).append(alert["status"])
                self.send_response(200)
                self.end_headers()

        self.handler = Receiving

    def fired(self, *names):
        return all("firing" in self.told.get(name, []) for name in names)

    def resolved(self, *names):
        return self.fired(*names) and all("resolved" in self.told[name] for name in names)

    def wait_until_fired(self, *names):
        wait_until(lambda: self.fired(*names), lambda: f"not fired: {[e for e in names if not self.fired(e)]}")

    def wait_until_resolved(self, *names):
        wait_until(lambda: self.resolved(*names), lambda: f"not resolved: {[e for e in names if not self.resolved(e)]}")


class ModelServerPage(Handler):
    """TensorFlow Serving's metrics, made up: ten calls a second, each of about two milliseconds."""

    def do_GET(self):
        if self.path != "/monitoring/prometheus/metrics":
            self.send_error(404)
            return
        calls = int(10 * time.monotonic())
        lines = [
            "# TYPE :tensorflow:serving:request_count counter",
            f':tensorflow:serving:request_count{{model_name="default",status="OK"}} {calls}',
        ]
        for name, labels in (
            ("request_latency", 'model_name="default",API="Predict",entrypoint="GRPC",'),
            ("batching_session:queuing_latency", 'thread_pool_name="batch",'),
        ):
            lines.append(f"# TYPE :tensorflow:serving:{name} histogram")
            for limit, number in (("1000", 0), ("3000", calls), ("+Inf", calls)):
                lines.append(f':tensorflow:serving:{name}_bucket{{{labels}le="{limit}"}} {number}')
            lines += [
                f":tensorflow:serving:{name}_sum{{{labels[:-1]}}} {2000 * calls}",
                f":tensorflow:serving:{name}_count{{{labels[:-1]}}} {calls}",
            ]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write("\n".join([*lines, ""]).encode())


@contextlib.contextmanager
def repeating(call):
    """Calls again and again on a thread of its own; what goes wrong there comes out here."""
    stop, errors = threading.Event(), []

    def repeat():
        try:
            while not stop.wait(0.05):
                call()
        except Exception as error:
            errors.append(error)
            raise

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert errors == []


# What is watched


class Guard:
    """What `atelier ab guard --metrics-port` publishes, and drift."""

    def __init__(self, folder, target):
        self.log, self.target = folder / "answers.jsonl", target
        self.verdict, self.registry = GuardMetrics(), CollectorRegistry()
        self.effects: list[Effect] = []
        self.written = 0
        for each in (self.verdict, DriftMetrics(lambda: self.effects), AnswerLogMetrics(self.log)):
            self.registry.register(each)

    def write(self, right, wrong):
        """Answers of the canary and of the control group with their truth."""
        log = AnswerLog(self.log)
        for number in range(right + wrong):
            self.written += 1
            for arm, version in (("canary", 2), ("control", 1)):
                made = replace(answer(1, arm=arm, version=version), id=f"{arm}{self.written}", when=format_now())
                log.add_answer(made)
                log.add_truths([(made.id, "cat" if number < right or arm == "control" else "dog")])
        log.close()

    def look(self, errors):
        """A look at a test in which the canary makes so many errors in 300 requests."""
        answers = [
            answer(1, arm=arm, version=version, when=format_now())
            for arm, version in (("canary", 2), ("control", 1))
            for _ in range(300)
        ]
        answers = [replace(each, id=str(number)) for number, each in enumerate(answers)]
        truths = {str(number): "dog" if number < errors else "cat" for number in range(600)}
        test = count(answers, truths, canary=2, control=1)
        with connect_servers([self.target]) as servers:
            states = {each.target: {v: s.state for v, s in each.list_states("default").items()} for each in servers}
        self.verdict.note(to_json(test, judge(test)), states)

    def drift_by(self, size):
        self.effects = [Effect(name, "", "", 500, size, 0.3) for name in ("predictions", "brightness")]


@pytest.fixture
def models(tmp_path):
    """A configuration with two versions of a model that is worked out by hand."""
    base = tmp_path / "default"
    base.mkdir()
    for version in (1, 2):
        tiny_model.write(base, version, store_size=64)
    text = f"""model_config_list {{ config {{
        name: "default" base_path: "{base}" model_platform: "tensorflow"
        model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
        version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }}
    }} }}"""
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def ask_prometheus(port, path, **values):
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(values)}"
    with urllib.request.urlopen(url, timeout=10) as response:  # of loopback
        return json.load(response)["data"]


def read_panels():
    """(title, query) of each panel of the dashboards as Grafana would ask."""
    for file in dashboards.FOLDER.iterdir():
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], target["expr"].replace("$__rate_interval", "6s").replace("$model", ".*")


def has_data(port, query):
    values = [sample["value"][1] for sample in ask_prometheus(port, "query", query=query)["result"]]
    return any(value != "NaN" for value in values)


def test_every_panel_has_data_and_every_alert_fires_and_resolves(tmp_path, models):
    names = ("prometheus", "alertmanager", "receiver", "server", "client", "guard", "process", "model-server")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    write_files(tmp_path, ports)
    receiver, memory = Receiver(), CollectorRegistry()
    resident = Gauge("process_resident_memory_bytes", "Of a process that grows.", registry=memory)
    resident.set(1e9)
    Gauge("process_start_time_seconds", "Of the same.", registry=memory).set(time.time() - 3 * 3600)
    metrics, server_metrics = ClientMetrics(), ServerMetrics()
    batching = BatchingParameters(
        max_batch_size=8, batch_timeout_micros=1000, max_enqueued_batches=8, num_batch_threads=1
    )
    address = "--web.listen-address=127.0.0.1:"
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        enter(answering(ports["receiver"], receiver.handler))
        manager = [f"{address}{ports['alertmanager']}", "--config.file=alertmanager.yml", "--storage.path=alerts"]
        enter(running("prometheus-alertmanager", *manager, "--cluster.listen-address=", folder=tmp_path))
        options = [f"{address}{ports['prometheus']}", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        enter(running("prometheus", *options, "--log.level=warn", folder=tmp_path))

        # Nothing is there yet.
        down = ("ServerDown", "ProcessDown", "NoData")
        server = enter(LocalServer(models, Options(port=0, batching=batching), server_metrics))
        server_metrics.watch_versions(server.list_states)
        receiver.wait_until_fired(*down)

        # All of it is there, and well.
        guard = Guard(tmp_path, server.target)
        guard.write(right=300, wrong=0)
        guard.look(errors=0)
        guard.drift_by(0.1)
        enter(answering(ports["model-server"], ModelServerPage))
        enter(metrics.publish(ports["client"]))
        enter(server_metrics.publish(ports["server"]))
        enter(Endpoint(guard.registry, ports["guard"]))
        enter(Endpoint(memory, ports["process"]))
        (tmp_path / "shares.yaml").write_text("salt: s\ncanary: 0.3\n")
        split = enter(
            SplitClient(
                server.target,
                shares=tmp_path / "shares.yaml",
                log=tmp_path / "traffic.jsonl",
                observer=metrics,
                preparation=AS_IS,
            )
        )
        enter(repeating(lambda: split.predict(make_image(200), key=str(time.monotonic()))))
        receiver.wait_until_resolved(*down)
        wait_until(lambda: has_data(ports["prometheus"], "atelier:accuracy:ratio == 1"), "no accuracy")
        wait_until(
            lambda: has_data(ports["prometheus"], "process_resident_memory_bytes{role='process'} offset 6s"), "too new"
        )

        # All of it is unwell.
        bad = (
            *("ErrorRateHigh", "LatencyHigh", "MemoryGrowth", "AccuracyDrop", "PredictionDrift", "InputDrift"),
            *("CanaryWorse", "AnswerLogUnreadable"),
        )
        fake = fake_model_server.FakeModelServer()
        pets = enter(
            Client(enter(fake_model_server.serving(fake)), ServedModel("pets"), preparation=AS_IS, observer=metrics)
        )

        def ask_badly():
            """A call that takes 1.2 s, and one that fails."""
            fake.held.clear()
            release = threading.Timer(1.2, fake.held.set)
            release.start()
            pets.predict([make_image(0)])
            release.join()
            fake.failures.append((grpc.StatusCode.INTERNAL, "the model is damaged"))
            with pytest.raises(ServingError):
                pets.predict([make_image(0)])

        guard.write(right=0, wrong=600)
        guard.look(errors=90)
        guard.drift_by(0.5)
        with repeating(ask_badly), repeating(lambda: resident.inc(1e8)):
            wait_until(lambda: has_data(ports["prometheus"], "atelier:accuracy:ratio < 1"), "no drop")
            guard.log.rename(tmp_path / "away")
            receiver.wait_until_fired(*bad)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("serving.monitor.metrics.guard.time", types.SimpleNamespace(time=lambda: time.time() - 3600))
            guard.look(errors=0)
        receiver.wait_until_fired("NoTraffic", "GuardSilent")  # nobody asks for pets any more

        # All of it is well again.
        (tmp_path / "away").rename(guard.log)
        guard.write(right=1000, wrong=0)
        guard.look(errors=0)
        guard.drift_by(0.1)
        enter(repeating(lambda: pets.predict([make_image(0)])))
        alerts = [rule["alert"] for group in shorten_alerts()["groups"] for rule in group["rules"] if "alert" in rule]
        assert set(alerts) == {*down, *bad, "NoTraffic", "GuardSilent"}
        receiver.wait_until_resolved(*alerts)

        def list_left():
            return [each["labels"] for each in ask_prometheus(ports["prometheus"], "alerts")["alerts"]]

        # The receiver knows an alert by its name alone: LatencyHigh of another model may have been resolved before.
        wait_until(lambda: "pets" not in {each.get("model") for each in list_left()}, "pets stays slow")
        # A busy machine may answer slowly; the one that was made slow does no longer.
        assert {each["alertname"] for each in list_left()} <= {"LatencyHigh"}
        without = {title for title, query in read_panels() if not has_data(ports["prometheus"], query)}
        assert without == EMPTY
        targets = ask_prometheus(ports["prometheus"], "targets")["activeTargets"]
        assert {(each["labels"]["role"], each["health"], each["lastError"]) for each in targets} == {
            (role, "up", "") for role in ("server", "client", "guard", "process")
        }
