"""The local server's metrics, scraped over HTTP, and `atelier serve --metrics-port` through the command line."""

import re
import signal
import subprocess
import sys

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.client import AS_IS, Client, PreparedImage, ServedModel, ServingError
from serving.monitor.metrics.server import ServerMetrics
from serving.server.model_server_config import BatchingParameters
from serving.server.observer import ServedCall
from tests.deferred import deferred_imports
from tests.serving.malformed import make_image
from tests.serving.monitor.scraping import labeled, scrape

with deferred_imports():
    from serving.server.local_server import LocalServer, Options
    from tests.serving import tiny_model

TINY = {"model": "tiny", "version": "1"}


def outputs(rows, names):
    rows = np.array(rows, np.float32)
    best = rows.argmax(axis=1)
    return {"probabilities": rows, "label": np.array([names[number].encode() for number in best], object)}


def counted(metrics, name):
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_classes_of_either_signature_are_counted():
    metrics = ServerMetrics()
    metrics.note_outputs("m", 3, outputs([[0.2, 0.8], [0.96, 0.04]], ["cat", "dog"]))
    classes = np.array([[b"cat", b"dog"]], object)
    metrics.note_outputs("m", 3, {"classes": classes, "scores": np.array([[0.4, 0.6]], np.float32)})
    metrics.note_outputs("m", 3, {"probabilities": np.array([[0.4, 0.6]], np.float32)})  # of no classifier of ours
    metrics.note_outputs("m", 3, outputs([[np.nan, 0.5]], ["cat", "dog"]))
    assert counted(metrics, "atelier_server_predictions_total") == {("m", "3", "dog"): 2, ("m", "3", "cat"): 1}
    assert counted(metrics, "atelier_server_unusable_answers_total") == {("m", "3"): 1}
    assert counted(metrics, "atelier_server_confidence_ratio_sum")["m", "3"] == pytest.approx(0.8 + 0.96 + 0.6)


def test_queue_times_are_seconds():
    metrics = ServerMetrics()
    metrics.note_batch("m", 1, 3, [0.004, 0.2])
    buckets = counted(metrics, "atelier_server_queue_duration_seconds_bucket")
    assert [buckets["m", "1", each] for each in ("0.002", "0.005", "0.1", "0.2")] == [0, 1, 1, 2]
    assert counted(metrics, "atelier_server_batch_images_sum") == {("m", "1"): 3}


def test_a_call_without_a_version_is_counted():
    metrics = ServerMetrics()
    metrics.note_call(ServedCall("", "Predict", None, grpc.StatusCode.NOT_FOUND, 0.25))
    assert counted(metrics, "atelier_server_requests_total") == {("", "", "Predict", "NOT_FOUND"): 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    tiny_model.write(folder, 1, store_size=64)
    return folder


def config(base):
    text = f"""model_config_list {{ config {{ name: "tiny" base_path: "{base}" model_platform: "tensorflow"
        version_labels {{ key: "stable" value: 1 }} }} }}"""
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


@pytest.mark.slow
def test_a_server_is_scraped(base):
    metrics = ServerMetrics()
    batching = BatchingParameters(
        max_batch_size=8, batch_timeout_micros=1000, max_enqueued_batches=8, num_batch_threads=2
    )
    options = Options(port=0, poll_seconds=0.05, batching=batching)
    with metrics.publish(0) as endpoint, LocalServer(config(base), options, metrics) as server:
        metrics.watch_versions(server.list_states)
        with Client(server.target, ServedModel("tiny", label="stable"), preparation=AS_IS) as client:
            client.predict([make_image(255), make_image(51), make_image(0)])
            client.classify([make_image(255)])
            client.status()
            with pytest.raises(ServingError):
                client.predict([PreparedImage("cut off", make_image(0)[:60], b"", AS_IS)])
        for name in ("another", "and another"):
            with Client(server.target, ServedModel(name), preparation=AS_IS) as client, pytest.raises(ServingError):
                client.predict([make_image(0)])
        samples = scrape(endpoint.url)
    assert samples["atelier_server_requests_total"] == {
        labeled(**TINY, method="Predict", code="OK"): 1,
        labeled(**TINY, method="Classify", code="OK"): 1,
        labeled(model="tiny", method="GetModelStatus", code="OK"): 1,
        labeled(model="tiny", method="Predict", code="INVALID_ARGUMENT"): 1,
        labeled(method="Predict", code="NOT_FOUND"): 2,  # names that callers make up are no labels
    }
    assert samples["atelier_server_predictions_total"] == {
        labeled(**TINY, class_="bright"): 2,
        labeled(**TINY, class_="dark"): 2,
    }
    assert samples["atelier_server_confidence_ratio_sum"][labeled(**TINY)] == pytest.approx(1 + 0.8 + 1 + 1)
    assert samples["atelier_server_batch_images_sum"] == {labeled(**TINY): 5}  # the one that is cut off, too
    assert samples["atelier_server_queue_duration_seconds_count"] == {labeled(**TINY): 3}
    assert samples["atelier_server_version_state"] == {labeled(**TINY, state="AVAILABLE"): 1}
    assert samples["atelier_server_version_label"] == {labeled(**TINY, label="stable"): 1}
    assert samples["process_resident_memory_bytes"][()] > 1e7


@pytest.mark.slow
def test_the_command_publishes_metrics_on_loopback(base):
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--models", str(base), "--port", "0"]
    with subprocess.Popen([*command, "--metrics-port", "0"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if "plain text" in line:
                    break
            (url,) = re.findall(r"metrics at (http://127\.0\.0\.1:\d+/metrics)\n", "".join(lines))
            (target,) = re.findall(r"default at (127\.0\.0\.1:\d+),", "".join(lines))
            with Client(target) as client:
                assert client.predict([make_image(255)])[0].label == "bright"
            requests = scrape(url)["atelier_server_requests_total"]
            assert requests[labeled(model="default", version="1", method="Predict", code="OK")] == 2
            taken = subprocess.run(
                [*command, "--metrics-port", url.split(":")[2].split("/")[0]],
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert taken.returncode == 1
            assert "cannot be listened on" in taken.stderr
            assert "Traceback" not in taken.stderr
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
