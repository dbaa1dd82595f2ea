"""A/B tests over real gRPC: the local server, two models worked out by hand, 16 clients."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.commands.ab import guarding
from serving.ab.answer_log import read_log
from serving.ab.split_client import SplitClient
from serving.ab.verdict import Rules
from serving.client import ServedModel
from serving.registry.aliases import Registry
from serving.registry.model_servers import connect_servers
from tests.deferred import deferred_imports
from tests.serving.malformed import make_image

with deferred_imports():
    from pipeline.commands.work import serve_models
    from serving.server.local_server import LocalServer, Options
    from tests.serving import tiny_model

pytestmark = pytest.mark.slow

CLIENTS = 16
GAINS = {1: 1.0, 2: 0.7}
"""Version 2 calls an image bright from 182 of 255 on, version 1 from 128 on."""
IMAGES = {value: make_image(value) for value in range(0, 256, 5)}


def name_class(version, value):
    return "bright" if GAINS[version] * value / 255 > 0.5 else "dark"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "serving_model"
    folder.mkdir()
    for version, gain in GAINS.items():
        tiny_model.write(folder, version, gain, store_size=512)
    return folder


@pytest.fixture
def registry(models, tmp_path):
    config = serve_models.find_config(models, "default")
    with (
        LocalServer(config, Options(port=0, poll_seconds=0.2)) as server,
        connect_servers([server.target]) as servers,
    ):
        yield Registry(models, tmp_path / "models.config", servers, wait=300.0)


@pytest.fixture
def client(registry, tmp_path):
    (tmp_path / "shares.yaml").write_text("salt: live\ncanary: 0.5\n")
    # A busy machine may take long: what counts is that no request is lost.
    options = {"shares": tmp_path / "shares.yaml", "log": tmp_path / "answers.jsonl", "deadline": 300.0}
    with SplitClient(registry.servers[0].target, ServedModel("default"), **options) as made:
        yield made


def ask(client, number):
    """One request with its truth: that of version 1, wrong for one image in ten."""
    drawn = random.Random(number)
    value = drawn.choice(sorted(IMAGES))
    answer = client.predict(IMAGES[value], key=f"user {number}")
    assert answer.prediction.label == name_class(answer.prediction.version, value)
    truth = name_class(1, value)
    if drawn.random() < 0.1:
        truth = {"bright": "dark", "dark": "bright"}[truth]
    client.feedback(answer.request_id, truth)


def run_test(registry, client, log, most):
    """Sends requests until the guard acts, which looks after every hundred; returns how many that took."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        for start in range(0, most, 100):
            list(threads.map(lambda number: ask(client, number), range(start, start + 100)))
            before = registry.read_aliases()
            guarding.guard(registry, log, Rules(min_requests=100), every=1, once=True, advise=False)
            if registry.read_aliases() != before:
                return start + 100
    return most + 1


def test_a_worse_canary_is_rolled_back_within_1000_requests(registry, client, tmp_path):
    """Accuracy 0.90 against about 0.72, half of the traffic each."""
    registry.promote(1)
    registry.promote(2, alias="canary")
    assert run_test(registry, client, tmp_path / "answers.jsonl", 1000) <= 1000
    assert registry.read_aliases() == {"stable": 1, "canary": 1}
    last = registry.history.list_changes()[-1]
    assert (last.intent.verb, last.intent.numbers["verdict"]) == ("rollback", "roll back")


def test_a_better_canary_is_promoted_within_1000_requests(registry, client, tmp_path):
    registry.promote(2)
    registry.promote(1, alias="canary")
    assert run_test(registry, client, tmp_path / "answers.jsonl", 1000) <= 1000
    assert registry.read_aliases() == {"stable": 1, "canary": 1}
    last = registry.history.list_changes()[-1]
    assert (last.intent.verb, last.intent.numbers["verdict"]) == ("promote", "promote")


def wait_for_requests(asked, loads):
    """Returns once every client has begun and ended a request; at once for one that has failed."""
    before = list(asked)
    while any(asked[each] < before[each] + 2 and not load.done() for each, load in enumerate(loads)):
        time.sleep(0.01)


def test_no_request_is_lost_or_answered_wrongly_while_aliases_move(registry, client, tmp_path):
    """16 clients ask all the time; each answer is that of the version that it names."""
    registry.promote(1)
    stop, asked, versions = threading.Event(), [0] * CLIENTS, set()

    def ask_on(number):
        drawn = random.Random(number)
        while not stop.is_set():
            value = drawn.choice(sorted(IMAGES))
            answer = client.predict(IMAGES[value], key=str(drawn.random()))
            assert answer.prediction.label == name_class(answer.prediction.version, value)
            versions.add((answer.arm == "canary", answer.prediction.version))
            asked[number] += 1

    with ThreadPoolExecutor(CLIENTS) as threads:
        loads = [threads.submit(ask_on, number) for number in range(CLIENTS)]
        try:
            for _ in range(2):
                for move in (
                    lambda: registry.promote(2, alias="canary"),
                    lambda: registry.roll_back(alias="canary"),
                    lambda: registry.promote(2),
                    registry.roll_back,
                ):
                    move()
                    wait_for_requests(asked, loads)
        finally:
            stop.set()
        for each in loads:
            each.result()
    answers, _ = read_log(tmp_path / "answers.jsonl")
    assert len(answers) == sum(asked)
    assert all(asked)
    assert not [each for each in answers if each.error]
    assert versions == {(canary, version) for canary in (True, False) for version in (1, 2)}
