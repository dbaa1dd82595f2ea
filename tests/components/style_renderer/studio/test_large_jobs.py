"""Jobs in strips and tiles, with the real engine and over HTTP: at a small size, by lowering the limits."""

import io
import sys
import time

import pytest

from tests.components.style_renderer import soft_noise
from tests.components.style_renderer.studio.conftest import HOME, build_request, upload, wait_for
from tests.deferred import deferred_imports

with deferred_imports():
    import numpy as np
    from PIL import Image
    from starlette.testclient import TestClient

    from components.style_renderer.engine import canvas
    from components.style_renderer.studio import app
    from components.stylizer.stylizer import load_base

pytestmark = pytest.mark.slow

TILING = (sys.executable, "-m", "tests.components.style_renderer.studio.tiling_worker")
PHOTO = soft_noise.make_image(3, 64, 96)


def encode_photo():
    stream = io.BytesIO()
    Image.fromarray(PHOTO).save(stream, "PNG")
    return stream.getvalue()


def test_large_jobs_are_predicted_shown_downloaded_and_stopped(folder):
    with TestClient(app.make_app(app.Studio(folder, TILING)), base_url=HOME) as client:
        image = upload(client, encode_photo())
        while not client.get("/api/state").json()["ready"]:
            time.sleep(0.2)
        fast, finest = build_request(image, 2048, engine="fast"), build_request(image, 256, engine="finest")
        expected = client.post("/api/estimate", json=fast).json()
        assert expected["disk_mb"] == pytest.approx(2048 * 1365 * 55 / 2**20, abs=2)
        assert expected["seconds"] > 0
        job = client.post("/api/jobs", json=fast).json()["id"]
        at_work = wait_for(client, job, "running", until=lambda job: job["progress"])
        assert 0 < at_work["progress"]["done"] < 1
        assert at_work["version"] == 0  # no image yet
        wait_for(client, job, "done")
        whole = client.get(f"/api/jobs/{job}/view?download")
        with Image.open(io.BytesIO(whole.content)) as result:
            assert result.size == (2048, 1365)
            found = np.asarray(result)
        own = load_base().stylize(canvas.resize(PHOTO, 1365, 2048), {"gravel": 1})
        assert np.abs(found.astype(int) - own).mean() < 2  # JPEG
        with Image.open(io.BytesIO(client.get(f"/api/jobs/{job}/view").content)) as view:
            assert view.size == (1600, 1066)
            away = np.asarray(view).astype(int) - canvas.resize(found, 1066, 1600)
            assert np.abs(away).mean() < 3  # JPEG, twice

        assert client.post("/api/estimate", json=finest).json()["tiles"] == 4  # 256 x 171 in tiles of 128
        job = client.post("/api/jobs", json=finest).json()["id"]
        wait_for(
            client, job, "running", until=lambda job: job["progress"] and job["progress"]["place"]["iteration"] > 1
        )
        client.post(f"/api/jobs/{job}/stop")
        assert wait_for(client, job, "stopped")["version"] > 0

        job = client.post("/api/jobs", json=build_request(image, 8192, engine="fast")).json()["id"]
        wait_for(client, job, "running", until=lambda job: job["progress"])
        client.post(f"/api/jobs/{job}/stop")
        wait_for(client, job, "stopped")
    assert not list(folder.glob("tmp*"))
