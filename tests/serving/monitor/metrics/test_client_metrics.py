"""The client's metrics, scraped over HTTP, of calls to a server in this process that answers as TensorFlow Serving."""

import asyncio
import subprocess
import sys
import threading

import grpc
import pytest
from prometheus_client import CollectorRegistry

from serving.ab.answer_log import read_log
from serving.ab.async_split_client import AsyncSplitClient
from serving.ab.split import Shares
from serving.ab.split_client import SplitClient
from serving.client import AS_IS, AsyncClient, Client, NoPredictionError, Prediction, ServedModel, ServingError
from serving.client.observer import Call
from serving.monitor.errors import MonitorError
from serving.monitor.metrics import traffic
from serving.monitor.metrics.client import ClientMetrics
from tests.deferred import deferred_imports
from tests.serving.malformed import make_image
from tests.serving.monitor.scraping import labeled, scrape

with deferred_imports():
    from tests.serving.fake_model_server import FakeModelServer, serving

Code = grpc.StatusCode
DOG, CAT, BROKEN = make_image(1), make_image(2), make_image(3)


@pytest.fixture
def fake():
    server = FakeModelServer()
    server.rows = {CAT: (0.97, 0.02, 0.01), BROKEN: (float("nan"), 0.5, 0.5)}
    return server


@pytest.fixture
def target(fake):
    with serving(fake) as target:
        yield target


@pytest.fixture
def metrics():
    return ClientMetrics()


@pytest.fixture
def url(metrics):
    with metrics.publish(0) as endpoint:
        yield endpoint.url


MODEL = {"model": "default", "version": "2"}


def check_three_calls(samples):
    """Of [dog, cat], [dog] and one that was invalid, by a client that asks for no preparation."""
    requests = samples["atelier_client_requests_total"]
    assert requests == {
        labeled(**MODEL, method="Predict", code="OK"): 2,
        labeled(model="default", method="Predict", code="INVALID_ARGUMENT"): 1,
    }
    durations = samples["atelier_client_request_duration_seconds_count"]
    assert durations == {labeled(**MODEL, method="Predict"): 2, labeled(model="default", method="Predict"): 1}
    assert 0 < samples["atelier_client_request_duration_seconds_sum"][labeled(**MODEL, method="Predict")] < 60
    batches = samples["atelier_client_batch_images_bucket"]
    assert (batches[labeled(**MODEL, le="1.0")], batches[labeled(**MODEL, le="2.0")]) == (1, 2)
    assert samples["atelier_client_predictions_total"] == {
        labeled(**MODEL, class_="dog"): 2,
        labeled(**MODEL, class_="cat"): 1,
    }
    confidence = samples["atelier_client_confidence_ratio_bucket"]
    assert [confidence[labeled(**MODEL, le=each)] for each in ("0.6", "0.7", "0.95", "0.99")] == [0, 2, 2, 3]
    assert samples["process_resident_memory_bytes"][()] > 1e6
    assert samples["process_cpu_seconds_total"][()] > 0


def test_calls_classes_and_memory_are_scraped(fake, target, metrics, url):
    with Client(target, preparation=AS_IS, observer=metrics) as client:
        client.predict([DOG, CAT])
        client.predict([DOG])
        fake.failures = [(Code.INVALID_ARGUMENT, "not an image")]
        with pytest.raises(ServingError):
            client.predict([DOG])
    check_three_calls(scrape(url))


def test_the_client_for_asyncio_counts_alike(fake, target, metrics, url):
    async def ask():
        async with AsyncClient(target, preparation=AS_IS, observer=metrics) as client:
            await client.predict([DOG, CAT])
            await client.predict([DOG])
            fake.failures = [(Code.INVALID_ARGUMENT, "not an image")]
            with pytest.raises(ServingError):
                await client.predict([DOG])

    asyncio.run(ask())
    check_three_calls(scrape(url))


def test_a_task_that_is_cancelled_is_counted(fake, target, metrics, url):
    async def ask():
        async with AsyncClient(target, preparation=AS_IS, observer=metrics) as client:
            fake.held.clear()
            task = asyncio.create_task(client.predict([DOG]))
            while not fake.calls:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            fake.held.set()

    asyncio.run(ask())
    assert scrape(url)["atelier_client_requests_total"] == {
        labeled(model="default", method="Predict", code="CANCELLED"): 1
    }


def test_each_kind_of_call_has_its_name_and_its_version(target, metrics, url):
    with Client(target, observer=metrics) as client:
        client.predict([DOG], top=2)
        client.metadata()
        client.status()
    calls = scrape(url)["atelier_client_requests_total"]
    assert calls == {
        labeled(**MODEL, method="Predict", code="OK"): 2,  # one of them asks for the preprocessing
        labeled(**MODEL, method="Classify", code="OK"): 1,
        labeled(**MODEL, method="GetModelMetadata", code="OK"): 1,
        labeled(model="default", method="GetModelStatus", code="OK"): 1,
    }


def test_a_server_that_is_down_is_unavailable(metrics, url):
    with Client("127.0.0.1:1", observer=metrics) as client, pytest.raises(ServingError):
        client.predict([DOG])
    samples = scrape(url)
    assert samples["atelier_client_requests_total"] == {
        labeled(model="default", method="Predict", code="UNAVAILABLE"): 1
    }
    assert "atelier_client_predictions_total" not in samples


def test_an_answer_of_nan_has_no_class(target, metrics, url):
    with Client(target, preparation=AS_IS, observer=metrics) as client, pytest.raises(NoPredictionError):
        client.predict([BROKEN, CAT])
    samples = scrape(url)
    assert samples["atelier_client_unusable_answers_total"] == {labeled(**MODEL): 1}
    assert samples["atelier_client_predictions_total"] == {labeled(**MODEL, class_="cat"): 1}
    assert samples["atelier_client_confidence_ratio_count"] == {labeled(**MODEL): 1}


def test_images_that_are_asked_again_are_counted_once(fake, target, metrics, url):
    """The newest version changes, and asks for another preparation: the first answer is thrown away."""
    with Client(target, observer=metrics) as client:
        client.predict([CAT])
        fake.versions = [1, 2, 3]
        fake.preprocessing[3]["store_size"] = 4
        client.predict([CAT])
    samples = scrape(url)
    assert sum(samples["atelier_client_predictions_total"].values()) == 2
    assert samples["atelier_client_batch_images_count"] == {
        labeled(**MODEL): 1,
        labeled(model="default", version="3"): 1,
    }


@pytest.mark.parametrize("kind", [SplitClient, AsyncSplitClient])
def test_traffic_of_a_split_is_told_by_arm(target, metrics, url, tmp_path, fake, kind):
    shares = tmp_path / "shares.yaml"
    shares.write_text("salt: s\ncanary: 0.3\n")
    keys = [str(number) for number in range(40)]
    arms = [Shares(salt="s", canary=0.3).choose_arm(key) for key in keys]
    fake._find = find_by_label
    ask_all(kind, target, keys, shares=shares, log=tmp_path / "log", observer=metrics, preparation=AS_IS)
    versions = {"canary": 2, "control": 1, "rest": 1}
    expected = {
        labeled(model="default", version=str(versions[arm]), arm=arm, method="Predict", code="OK"): arms.count(arm)
        for arm in versions
    }
    assert scrape(url)["atelier_client_requests_total"] == expected
    assert min(expected.values()) > 3
    answers, truths = read_log(tmp_path / "log")
    assert sorted(each.arm for each in answers) == sorted(arms)
    assert {(each.version, each.label) for each in answers} == {(1, "dog"), (2, "dog")}
    assert truths == {each.id: "cat" for each in answers}


def ask_all(kind, target, keys, **options):
    """One request for each key, and its truth; the last image cannot be read and is not logged."""
    if kind is SplitClient:
        with SplitClient(target, **options) as client:
            for key in keys:
                client.feedback(client.predict(DOG, key=key).request_id, "cat")
            with pytest.raises(ServingError):
                client.predict(b"no image", key="")
        return

    async def ask():
        async with AsyncSplitClient(target, **options) as client:
            for answer in await asyncio.gather(*(client.predict(DOG, key=key) for key in keys)):
                await client.feedback(answer.request_id, "cat")
            with pytest.raises(ServingError):
                await client.predict(b"no image", key="")

    asyncio.run(ask())


def test_the_split_for_asyncio_logs_a_call_that_failed(fake, target, tmp_path):
    (tmp_path / "shares.yaml").write_text("salt: s\ncanary: 0\n")
    fake.failures = [(Code.INTERNAL, "damaged")]

    async def ask():
        options = {"shares": tmp_path / "shares.yaml", "log": tmp_path / "log", "preparation": AS_IS}
        async with AsyncSplitClient(target, **options) as client:
            with pytest.raises(ServingError):
                await client.predict(DOG, key="a", request_id="r1")

    asyncio.run(ask())
    (answer,), _ = read_log(tmp_path / "log")
    assert (answer.id, answer.error, answer.version, answer.arm) == ("r1", "INTERNAL", None, "rest")


def find_by_label(spec, _):
    found = type(spec)(name=spec.name, signature_name=spec.signature_name)
    found.version.value = {"stable": 1, "canary": 2}[spec.version_label]
    return found


def test_classes_beyond_the_bound_are_other(metrics):
    metrics = ClientMetrics(max_classes=2)
    for name in ("a", "b", "c", "d", "a", "c"):
        metrics.note_answers("m", 1, [Prediction(name, 0.5, ((name, 0.5),), 1, 1.0)])
    found = {
        sample.labels["class"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "atelier_client_predictions_total"
    }
    assert found == {"a": 2, "b": 1, traffic.OTHER: 3}


def test_versions_beyond_the_bound_leave_with_all_their_series(metrics):
    for version in [*range(1, traffic.MAX_VERSIONS + 1), 1, traffic.MAX_VERSIONS + 1]:
        metrics.note_call(Call("m", "Predict", version, Code.OK, 0.1))
        metrics.note_answers("m", version, [Prediction("a", 0.5, (("a", 0.5),), version, 1.0)])
    seen = {
        (family.name, sample.labels["version"])
        for family in metrics.registry.collect()
        for sample in family.samples
        if "version" in sample.labels
    }
    assert {version for _, version in seen} == {str(each) for each in (1, *range(3, traffic.MAX_VERSIONS + 2))}


def test_threads_lose_no_count(metrics):
    def ask():
        for _ in range(500):
            metrics.note_call(Call("m", "Predict", 1, Code.OK, 0.1))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = {"model": "m", "version": "1", "arm": "", "method": "Predict", "code": "OK"}
    assert metrics.registry.get_sample_value("atelier_client_requests_total", labels) == 4000


def test_a_port_in_use_is_told(metrics):
    with metrics.publish(0) as endpoint, pytest.raises(MonitorError) as error:
        ClientMetrics().publish(endpoint.port)
    assert f"127.0.0.1:{endpoint.port}" in str(error.value)
    assert "in use" in str(error.value)


@pytest.mark.parametrize(("port", "host"), [(70000, "127.0.0.1"), (0, "192.0.2.1"), (0, "no.such.host.invalid")])
def test_an_address_that_cannot_be_used_is_told(metrics, port, host):
    with pytest.raises(MonitorError, match=f"{host}:{port}"):
        metrics.publish(port, host)


def test_the_endpoint_ends(metrics):
    endpoint = metrics.publish(0)
    endpoint.close()
    endpoint.close()
    with pytest.raises(OSError, match="refused"):
        scrape(endpoint.url)


def test_a_registry_of_the_application_is_used_once():
    registry = CollectorRegistry()
    metrics = ClientMetrics(registry)
    assert metrics.registry is registry
    assert not [family for family in registry.collect() if family.name.startswith("process")]
    with pytest.raises(MonitorError, match="share it"):
        ClientMetrics(registry)


def test_the_client_alone_loads_no_prometheus():
    code = "import serving.client, serving.ab.split_client, sys; print('prometheus_client' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told == "False\n"
    code = "import serving.monitor.metrics, sys; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert not loaded & {"tensorflow", "tensorflow_serving", "tfx"}


def test_a_model_name_of_the_client_is_its_label(target, metrics, url):
    with Client(target, ServedModel("pets"), preparation=AS_IS, observer=metrics) as client:
        client.predict([DOG])
    assert (
        labeled(model="pets", version="2", method="Predict", code="OK") in scrape(url)["atelier_client_requests_total"]
    )
