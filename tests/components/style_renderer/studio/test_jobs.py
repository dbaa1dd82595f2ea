"""The queue over HTTP: one job at a time, controls while it runs, stop and resume, and what a restart finds."""

import errno
import json
import os
import sys
import time

import pytest

from tests.components.style_renderer.studio.conftest import (
    HOME,
    add_job,
    build_request,
    encode,
    read_jobs,
    upload,
    wait_for,
)
from tests.deferred import deferred_imports

with deferred_imports():
    import numpy as np
    from PIL import Image
    from starlette.testclient import TestClient

    from atelier import storage
    from components.style_renderer.studio import app, jobs
    from components.style_renderer.studio.request import StudioError


def measure_gray(folder, identity, name="result.jpg"):
    with Image.open(folder / "jobs" / identity / name) as image:
        return np.asarray(image).mean()


def is_at(job, iteration):
    return job["progress"] is not None and job["progress"]["place"]["iteration"] >= iteration


def is_at_work(job):
    return is_at(job, 1)


def test_jobs_run_one_after_the_other(client, folder):
    first, second = add_job(client, 1024), add_job(client, 64)
    wait_for(client, first, "running")
    assert read_jobs(client)[second]["state"] == "queued"
    client.post(f"/api/jobs/{first}/stop")
    wait_for(client, second, "done")
    assert read_jobs(client)[first]["state"] == "stopped"
    assert measure_gray(folder, second) > 254
    assert list(read_jobs(client)) == [first, second]


def test_moved_controls_act_on_the_next_iteration(client, folder):
    job = add_job(client, 1024)
    wait_for(client, job, "running", until=is_at_work)
    controls = {"strength": 0.4, "style_weight": 50.0, "tv_weight": 0.001}
    assert client.post(f"/api/jobs/{job}/controls", json=controls).status_code == 200
    seen = wait_for(client, job, "running", until=lambda job: job["progress"]["controls"]["strength"] == 0.4)
    assert seen["progress"]["controls"] == controls
    assert seen["progress"]["place"]["left"] > 0
    assert seen["request"]["strength"] == 0.4  # what the history loads
    client.post(f"/api/jobs/{job}/stop")
    wait_for(client, job, "stopped")
    assert abs(measure_gray(folder, job, "latest.jpg") - 102) <= 1


def test_a_stopped_job_goes_on_where_it_was(client):
    job = add_job(client, 1024)
    wait_for(client, job, "running", until=lambda job: is_at(job, 5))
    client.post(f"/api/jobs/{job}/stop")
    stopped = wait_for(client, job, "stopped")["progress"]["place"]["iteration"]
    client.post(f"/api/jobs/{job}/resume")
    gone_on = wait_for(client, job, "running", until=lambda job: job["progress"]["place"]["iteration"] != stopped)
    assert gone_on["progress"]["place"]["iteration"] > stopped


def test_a_queued_job_is_stopped_and_removed(client):
    first, second = add_job(client, 1024), add_job(client)
    client.post(f"/api/jobs/{second}/stop")
    assert read_jobs(client)[second]["state"] == "stopped"
    assert client.delete(f"/api/jobs/{second}").status_code == 200
    wait_for(client, first, "running")
    assert client.delete(f"/api/jobs/{first}").json() == {"error": "the job is running: stop it first"}
    assert list(read_jobs(client)) == [first]


def test_a_restart_goes_on_with_what_was_at_work(start, folder):
    client = start()
    job, waiting = add_job(client, 1024), add_job(client, 64, strength=0.2)
    wait_for(client, job, "running", until=lambda job: is_at(job, 8))
    client = start()
    assert json.loads((folder / "jobs" / job / "job.json").read_text())["state"] in ("queued", "running")
    saved = jobs.read_place(folder / "jobs" / job)
    assert saved
    seen = wait_for(client, job, "running", until=is_at_work)
    assert seen["progress"]["place"]["iteration"] > saved.iteration - 1 > 5
    assert read_jobs(client)[waiting]["state"] == "queued"
    client.post(f"/api/jobs/{job}/stop")
    wait_for(client, waiting, "done")
    assert abs(measure_gray(folder, waiting) - 51) < 1


def test_a_job_that_fails_says_why_and_the_next_one_runs(client):
    failing, next_one = add_job(client, 65), add_job(client)
    assert wait_for(client, failing, "failed")["message"] == "65 is no size for this painter"
    wait_for(client, next_one, "done")


def test_an_engine_that_ends_is_started_again_and_the_job_is_kept(client):
    job, next_one = add_job(client, 66), add_job(client)
    failed = wait_for(client, job, "failed")
    assert "the engine ended with code 3" in failed["message"]
    assert failed["version"] > 0  # it has an image
    wait_for(client, next_one, "done")


def test_an_engine_that_does_not_start_is_told_also_to_a_page_that_comes_later(folder):
    studio = app.Studio(folder, (sys.executable, "-c", "import sys; sys.exit('no engine here')"))
    with TestClient(app.make_app(studio), base_url=HOME) as client:
        deadline = time.monotonic() + 60
        while not (state := client.get("/api/state").json())["problem"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not state["ready"]
        assert f"the engine does not start: see {folder / 'worker.log'}" in state["problem"]
        answer = client.post("/api/preview", json=build_request(upload(client)))
        assert (answer.status_code, answer.json()["error"]) == (400, state["problem"])
    assert "no engine here" in (folder / "worker.log").read_text()


def test_what_a_job_names_must_be_there(client):
    image = upload(client)
    for changes, word in (
        ({"image": "0" * 32}, "is not in the studio"),
        ({"regions": [{"styles": {"nobody": 1}}]}, "no style nobody"),
        ({"regions": [{"styles": {"gravel": 1}, "mask": "1" * 32}]}, "is not in the studio"),
        ({"regions": [{"styles": {"gravel": 0}}]}, "every style has the weight 0"),
        ({"regions": [{"styles": {"gravel": 1}}, {"styles": {"mosaic": 1}}]}, "needs a mask"),
        ({"size": 40000}, "size"),
        ({"strength": 2}, "strength"),
        ({"image": "../../etc/passwd"}, "image"),
        ({"colour": "red"}, "colour"),
    ):
        answer = client.post("/api/jobs", json=build_request(image) | changes)
        assert (answer.status_code, word in answer.json()["error"]) == (400, True), answer.text
    assert read_jobs(client) == {}


def test_preview_and_estimate_come_beside_a_running_job(client):
    job = add_job(client, 1024)
    wait_for(client, job, "running")
    image, mask = upload(client), upload(client, encode(color="white"))
    assert client.post("/api/preview", json=build_request(image)).json()["jpeg"]
    assert client.post("/api/preview", json=build_request(image, style="mosaic")).json() == {"jpeg": None}
    regions = [{"styles": {"gravel": 1}, "mask": mask}]
    assert client.post("/api/estimate", json=build_request(image, 96, regions=regions)).json() == {
        "seconds": 1.5,
        "memory_mb": 96,
        "disk_mb": 0,
        "disk_free_mb": 1,
        "tiles": 2,
    }
    assert read_jobs(client)[job]["state"] == "running"


def test_a_job_of_another_version_is_left_alone(start, folder):
    (folder / "jobs/20200101-000000-00000000").mkdir(parents=True)
    file = folder / "jobs/20200101-000000-00000000/job.json"
    file.write_text('{"id": "20200101-000000-00000000", "request": {"brush": 3}}')
    client = start()
    assert read_jobs(client) == {}
    assert file.is_file()


@pytest.fixture
def full(monkeypatch):
    """Fills the disk of the server's process; calling it frees the disk again."""
    write = storage.write_bytes

    def refuse(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(storage, "write_bytes", refuse)
    return lambda: monkeypatch.setattr(storage, "write_bytes", write)


def test_a_full_disk_is_told_and_the_studio_goes_on(start, folder, request):
    client = start()
    job = add_job(client, 1024)
    wait_for(client, job, "running", until=is_at_work)
    image = upload(client)
    empty = request.getfixturevalue("full")
    for path, sent in (
        ("/api/images", {"content": encode(color="red")}),
        ("/api/jobs", {"json": build_request(image)}),
        ("/api/presets", {"json": {"name": "soft", "request": {}}}),
    ):
        answer = client.post(path, **sent)
        assert answer.status_code == 507
        assert answer.json()["error"].startswith("No space left on device: free some space")
    client.post(f"/api/jobs/{job}/stop")  # its end cannot be written, and holds all the same
    assert "No space left on device" in wait_for(client, job, "stopped")["message"]
    assert list(read_jobs(client)) == [job]
    assert client.get("/api/state").json()["presets"] == {}
    empty()
    assert client.post(f"/api/jobs/{job}/resume").status_code == 200
    wait_for(client, job, "running")
    client.post(f"/api/jobs/{job}/stop")
    assert wait_for(client, job, "stopped")["message"] == ""


def test_presets_survive_a_restart_and_a_damaged_file_is_named_and_kept(start, folder):
    client = start()
    request = build_request(upload(client))
    for name in ("soft", "hard"):
        assert client.post("/api/presets", json={"name": name, "request": request}).status_code == 200
    assert client.delete("/api/presets?name=hard").status_code == 200
    assert list(start().get("/api/state").json()["presets"]) == ["soft"]
    for damaged in ('{"soft": ', "[]"):
        (folder / "presets.json").write_text(damaged)
        with pytest.raises(StudioError, match=r"presets\.json: the presets .*; correct the file, or remove it"):
            start()
        assert (folder / "presets.json").read_text() == damaged
