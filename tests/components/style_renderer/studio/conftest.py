"""A studio with a worker that needs no TensorFlow, over HTTP."""

import io
import sys
import time

import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    from PIL import Image
    from starlette.testclient import TestClient

    from components.style_catalog import builtin
    from components.style_renderer.studio import app

FLAT = (sys.executable, "-m", "tests.components.style_renderer.studio.flat_worker")
HOME = "http://localhost"


def encode(size=(90, 60), color="#336699", kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Draws two styles of the built-in catalog alone, once."""
    folder = tmp_path_factory.mktemp("styles") / "builtin"
    builtin.write_catalog(folder, ["mosaic", "gravel"])
    (folder / "drawn_by.txt").write_text(builtin.compute_fingerprint())
    return folder


@pytest.fixture
def folder(tmp_path, drawn):
    (tmp_path / "studio/styles").mkdir(parents=True)
    (tmp_path / "studio/styles/builtin").symlink_to(drawn)
    return tmp_path / "studio"


@pytest.fixture
def start(folder):
    """Starts a studio in the folder; the last one is ended first."""
    running: list = []

    def end():
        for client in running:
            client.__exit__(None, None, None)
        running.clear()

    def begin(token=""):
        end()
        client = TestClient(app.make_app(app.Studio(folder, FLAT), token), base_url=HOME)
        running.append(client.__enter__())
        return client

    yield begin
    end()


@pytest.fixture
def client(start):
    return start()


def upload(client, encoded=None, name="photo.png"):
    answer = client.post("/api/images", params={"name": name}, content=encoded or encode())
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def build_request(image, size=64, style="gravel", **changes):
    return {"image": image, "regions": [{"styles": {style: 1.0}}], "size": size, **changes}


def add_job(client, size=64, **changes):
    answer = client.post("/api/jobs", json=build_request(upload(client), size, **changes))
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def read_jobs(client):
    return {job["id"]: job for job in client.get("/api/state").json()["jobs"]}


def wait_for(client, identity, *states, until=bool):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = read_jobs(client)[identity]
        if job["state"] in states and until(job):
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job is {job}")
