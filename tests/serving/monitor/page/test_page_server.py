"""What the page's server answers, and to whom."""

import http.server
import json
import re
import threading
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from serving.ab.answer_log import AnswerLog
from serving.ab.samples import name_sample
from serving.monitor.errors import MonitorError
from serving.monitor.page.memory import MemoryScrape
from tests.deferred import deferred_imports
from tests.serving.ab.answers import answer
from tests.serving.monitor.page.conftest import watch, write_reference, write_traffic

with deferred_imports():
    from serving.monitor.page.server import LivePage

TOKEN = "a-token-of-24-bytes"  # noqa: S105


@pytest.fixture
def make_client(output):
    pages = []

    def make(token="", host="localhost", address="127.0.0.1", **options):
        pages.append(LivePage(watch(output, **options), token=token, host=address))
        return TestClient(pages[-1].app, base_url=f"http://{host}:8700", follow_redirects=False)

    yield make
    for page in pages:
        page.stop()


@pytest.mark.parametrize("path", ["/", "/monitor.js", "/vendor/uplot.js", "/vendor/uplot.css", "/style.css", "/dom.js"])
def test_files_have_the_security_headers(make_client, path):
    found = make_client().get(path)
    assert found.status_code == 200
    assert "default-src 'none'" in found.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
    assert found.headers["x-content-type-options"] == "nosniff"
    if path.endswith(".js"):
        assert found.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path", ["/nothing", "/../setup.py", "/samples/../models.config", "/samples/%2e%2e%2fmodels.config"]
)
def test_nothing_else_is_sent(make_client, path):
    assert make_client().get(path).status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]", 200),
        ("example.com", 400),
        ("127.0.0.1.example.com", 400),
        ("10.0.0.1", 400),
    ],
)
def test_another_name_is_refused(make_client, host, status):
    """A site may point its name here (DNS rebinding)."""
    client = make_client(host=host)
    assert {client.get(path).status_code for path in ("/", "/metrics", "/monitor.js")} == {status}


def test_a_token_is_asked_for_everything(make_client):
    client = make_client(TOKEN, host="10.0.0.1", address="10.0.0.1")
    for path in ("/", "/monitor.js", "/metrics", "/events", "/samples/x.jpg"):
        for query in ("", "?token=", "?token=wrong", f"?token={TOKEN}x", "?token=%C3%A4"):
            assert client.get(path + query).status_code == 403
    client.cookies.set("atelier_monitor", "wrong")
    assert client.get("/").status_code == 403


def test_the_token_becomes_a_cookie(make_client):
    client = make_client(TOKEN, host="10.0.0.1", address="10.0.0.1")
    assert client.get(f"/metrics?token={TOKEN}").status_code == 200  # as Prometheus asks
    found = client.get(f"/?token={TOKEN}")
    assert (found.status_code, found.headers["location"]) == (303, ".")
    assert {"HttpOnly", "SameSite=strict"} <= set(found.headers["set-cookie"].split("; "))
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"host": "example.com"}).status_code == 400


@pytest.mark.parametrize("minutes", ["7", "x", "-5", "1e3"])
def test_only_ranges_that_the_page_offers(make_client, minutes):
    assert make_client().get(f"/events?minutes={minutes}").status_code == 400


def test_events_follow_the_log(output, serve):
    address = serve(watch(output))
    with urllib.request.urlopen(f"{address}events?minutes=60", timeout=60) as answer:  # noqa: S310
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert read_event(answer)["all"]["requests"] == 0
        write_traffic(output, 20)
        while (found := read_event(answer))["all"]["requests"] == 0:
            continue
    assert (found["minutes"], found["all"]["requests"]) == (60, 20)


def read_event(answer):
    while not (line := answer.readline()).startswith(b"data: "):
        assert line == b"\n"
    return json.loads(line[6:])


def test_kept_images_are_sent(make_client, output):
    write_traffic(output, 100)
    client = make_client()
    name = next(file.name for file in (output / "samples").iterdir())
    found = client.get(f"/samples/{name}")
    assert found.headers["content-type"] == "image/jpeg"
    assert found.content[:2] == b"\xff\xd8"
    assert found.headers["cache-control"] == "no-store"
    assert client.get(f"/samples/{name_sample('other')}").status_code == 404


def test_the_drift_for_prometheus(make_client, output):
    text = make_client().get("/metrics").text
    assert "\natelier_prediction_drift " not in text  # no data has no value
    write_reference(output, brightness=0.8)
    write_traffic(output)
    lines = dict(
        line.rsplit(" ", 1) for line in make_client().get("/metrics").text.splitlines() if not line.startswith("#")
    )
    assert float(lines['atelier_input_drift{feature="brightness"}']) == pytest.approx(6, abs=0.3)  # 0.3 / 0.05
    assert float(lines['atelier_input_drift_limit{feature="brightness"}']) == pytest.approx(0.3, abs=0.1)
    assert 0 < float(lines["atelier_prediction_drift"]) < 1
    assert 'atelier_input_drift{feature="features"}' not in lines


def test_what_is_summed_up(output):
    write_reference(output)
    write_traffic(output)
    watcher = watch(output)
    watcher.look()
    found = watcher.summarize(5)
    assert [(each["version"], each["aliases"], each["requests"]) for each in found["versions"]] == [
        ("1", ["stable"], 300),
        ("2", ["canary"], 300),
    ]
    assert found["versions"][0]["accuracy"] == pytest.approx(0.9, abs=0.05)
    assert found["versions"][1]["accuracy"] == pytest.approx(0.6, abs=0.08)
    assert found["ab"]["verdict"] == "roll back"
    assert found["ab"]["trace"]["log10_e"][0] == 0
    assert 10 ** found["ab"]["trace"]["log10_e"][-1] == pytest.approx(found["ab"]["e_value"])
    assert len(found["mistakes"]) == 12
    states = {each["name"]: each["state"] for each in found["drift"]["effects"]}
    assert states["brightness"] == "steady"
    assert states["features"] == "no data"
    assert found["problems"] == []
    assert json.dumps(found, allow_nan=False)


def test_problems_are_told_and_the_rest_is_shown(output):
    write_traffic(output, 20)
    with (output / "answers.jsonl").open("a") as stream:
        stream.write("{broken\n")
    (output / "models.config").write_text("model_config_list {")
    (output / "monitor").mkdir()
    (output / "monitor/reference-2.npz").write_text("none")
    watcher = watch(output)
    watcher.look()
    found = watcher.summarize(5)
    assert found["all"]["requests"] == 20
    assert any("1 broken line passed over; the last: line 41: not JSON" in each for each in found["problems"])
    assert any("models.config" in each for each in found["problems"])
    assert found["ab"]["verdict"] == "no data"
    assert "not a reference" in found["drift"]["effects"][0]["reason"]


def test_an_answer_of_the_future_is_a_problem(output):
    write_traffic(output, 3)
    log = AnswerLog(output / "answers.jsonl")
    log.add_answer(answer(1, when=(datetime.now(UTC) + timedelta(hours=1)).isoformat()))
    log.close()
    watcher = watch(output)
    watcher.look()
    (problem,) = watcher.summarize(5)["problems"]
    assert re.search(r"is 3(600|59\d) s in the future and not counted yet: check", problem)


def test_the_memory_of_a_server_is_asked_for():
    content = [b"# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 8.5e+08\n"]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        scrape = MemoryScrape(f"http://127.0.0.1:{running.server_port}/metrics")
        scrape.ask()
        assert [value for _, value in scrape.points] == [8.5e8]
        content[0] = b"up 1\n"
        scrape.ask()
        assert "has no process_resident_memory_bytes" in scrape.problem
        running.shutdown()
    scrape.ask()
    assert "refused" in scrape.problem
    assert len(scrape.points) == 1


def test_the_page_does_not_wait_for_features(output):
    write_reference(output)
    write_traffic(output, 120)
    asked = []

    class Features:
        def collect(self, version, most):
            asked.append(version)
            raise MonitorError("the server is busy")

    watcher = watch(output, features=Features())
    watcher.look()
    effects = {each.name: each for each in watcher.effects}
    assert (asked, effects["features"].reason) == ([], "they are being computed")
    watcher.look()
    effects = {each.name: each for each in watcher.effects}
    assert (asked, effects["features"].reason) == ([1], "the server is busy")
    assert effects["brightness"].state == "steady"
