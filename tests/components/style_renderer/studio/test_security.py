"""Who may talk to the studio, and what it takes."""

import asyncio
import errno
import io
import os
import struct
import types
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.components.style_renderer.studio.conftest import FLAT, HOME, build_request, encode, read_jobs, upload
from tests.deferred import deferred_imports

with deferred_imports():
    import numpy as np
    from PIL import Image
    from starlette.testclient import TestClient

    from components.style_catalog import adding
    from components.style_renderer.studio import app, uploads
    from components.style_renderer.studio.folder import claim
    from components.style_renderer.studio.request import StudioError


@pytest.fixture(scope="module")
def kept(tmp_path_factory, drawn):
    """The folder of the studio that these tests share."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "styles").mkdir()
    (folder / "styles/builtin").symlink_to(drawn)
    return folder


@pytest.fixture(scope="module")
def client(kept):
    with TestClient(app.make_app(app.Studio(kept, FLAT)), base_url=HOME) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.7"])
def test_a_name_that_points_here_is_not_the_studio_s(client, host):
    assert client.get("/api/state", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8700", "127.0.0.1:8700", "[::1]:8700"])
def test_the_machine_s_own_names_are(client, host):
    assert client.get("/api/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1234"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_s_page_changes_nothing(client, headers):
    image, before = upload(client), read_jobs(client)
    for method, path in (("POST", "/api/jobs"), ("POST", "/api/images"), ("DELETE", "/api/presets?name=x")):
        assert client.request(method, path, headers=headers, json=build_request(image)).status_code == 403
    assert read_jobs(client) == before


def test_a_form_s_content_type_starts_nothing(client):
    answer = client.post("/api/jobs", content=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()) == (400, {"error": "expected application/json"})


def test_elsewhere_the_token_is_asked_for(start):
    client = start("s3cret-token")
    assert client.get("/api/state").status_code == 403
    assert client.get("/?token=wrong").status_code == 403
    assert client.get("/api/state?token=s3cret-token").status_code == 403  # it stays in no log of images
    assert client.post("/api/images", content=encode()).status_code == 403
    opened = client.get("/?token=s3cret-token", follow_redirects=False)
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert "SameSite=strict" in opened.headers["set-cookie"]
    assert client.get("/api/state", headers={"Host": "workstation:8700"}).status_code == 200
    assert client.post("/api/images", content=encode(), headers={"Origin": "http://evil"}).status_code == 403


def test_every_answer_has_the_policy(client):
    for path in ("/", "/page/app.js", "/api/state", "/nothing", "/api/jobs/1/view"):
        policy = client.get(path).headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy


@pytest.mark.parametrize("path", ["/../app.py", "/%2e%2e/app.py", "/page/%2e%2e/%2e%2e/worker.py", "/..%2fapp.py"])
def test_static_files_lead_nowhere_else(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("identity", ["..", "%2e%2e", "..%2f..%2fpresets", "0" * 31, "Z" * 32])
def test_ids_are_no_paths(client, identity):
    assert client.get(f"/api/images/{identity}/view").status_code in (400, 404)
    assert client.get(f"/api/jobs/{identity}/view").status_code in (400, 404)
    assert client.get(f"/api/styles/{identity}/view").status_code in (400, 404)


def test_a_name_is_for_people_and_never_a_path(client, kept):
    name = "../../<b>x</b>\n.png"
    answer = client.post("/api/images", params={"name": name}, content=encode()).json()
    assert answer["name"] == "../../<b>x</b>.png"
    assert {path.name for path in (kept / "images").iterdir()} >= {f"{answer['id']}.image", f"{answer['id']}.json"}
    assert [*kept.rglob("*x<*"), *kept.parent.glob("*x<*"), *kept.parent.parent.glob("*x<*")] == []
    job = client.post("/api/jobs", json=build_request(answer["id"])).json()
    assert job["title"] == answer["name"]


def build_png(width, height):
    """A PNG that promises so many pixels, and holds nearly nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"remember the milk", "a.png: "),
        (b"", "a.png: "),
        (build_png(60_000, 60_000), "pixels are more than"),
        (encode, "a.png: "),
    ],
)
def test_what_is_no_image_is_named(client, kept, content, message):
    before = sorted((kept / "images").iterdir())
    content = content()[:60] if callable(content) else content
    answer = client.post("/api/images", params={"name": "a.png"}, content=content)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert sorted((kept / "images").iterdir()) == before


def test_uploads_are_capped_before_they_are_read(client, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 2**20)
    for content in (bytes(2**20 + 1), iter([bytes(2**19)] * 3)):  # with a length, and without one
        answer = client.post("/api/images", content=content)
        assert (answer.status_code, "more than 1 MB" in answer.json()["error"]) == (400, True)


def test_a_page_that_is_closed_in_mid_upload_leaves_nothing_and_no_trace(client, kept):
    before = sorted((kept / "images").iterdir())
    parts = iter(
        [{"type": "http.request", "body": encode()[:50], "more_body": True}, {"type": "http.disconnect"}],
    )
    sent = []

    async def receive():
        return next(parts)

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": "/api/images", "headers": headers, "query_string": b"name=a.png"}
    asyncio.run(client.app(scope, receive, send))  # the exception would come out of it, and into the server's log
    assert sent[0]["status"] == 400
    assert sorted((kept / "images").iterdir()) == before


def test_an_upload_turned_by_exif_is_upright(client):
    exif = Image.Exif()
    exif[274] = 6
    stream = io.BytesIO()
    Image.new("RGB", (90, 60), "red").save(stream, "JPEG", exif=exif)
    image = upload(client, stream.getvalue())
    assert client.get(f"/api/images/{image}").json() == {
        "id": image,
        "name": "photo.png",
        "width": 60,
        "height": 90,
    }
    with Image.open(io.BytesIO(client.get(f"/api/images/{image}/view").content)) as view:
        assert view.size == (60, 90)


@pytest.mark.parametrize(
    ("facts", "size", "message"),
    [
        ({"title": "", "licence": "CC0-1.0"}, (80, 80), "a title and a license"),
        ({"title": "Waves", "licence": " "}, (80, 80), "a title and a license"),
        ({"title": "Waves", "licence": "CC0-1.0"}, (80, 20), "are too few"),
    ],
)
def test_an_own_style_needs_title_license_and_size(client, facts, size, message):
    answer = client.post("/api/styles", params=facts, content=encode(size))
    assert (answer.status_code, message in answer.json()["error"]) == (400, True), answer.text


def test_an_own_style_stays_and_has_an_id_of_its_own(start):
    noise = np.random.default_rng(1).integers(0, 255, (80, 80, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    client = start()
    added = client.post("/api/styles", params={"title": "Gravel", "licence": "mine"}, content=stream.getvalue())
    assert added.json() == {"id": "gravel-2"}
    styles = {style["id"]: style["licence"] for style in start().get("/api/state").json()["styles"]}
    assert styles["gravel-2"] == "mine"
    assert styles["gravel"] == "CC0-1.0"


def test_own_styles_of_one_title_that_come_at_once_all_stay(start):
    client = start()

    def add(seed):
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (80, 80, 3), np.uint8)).save(stream, "PNG")
        return client.post("/api/styles", params={"title": "Gravel", "licence": "mine"}, content=stream.getvalue())

    with ThreadPoolExecutor(4) as threads:
        added = [answer.json() for answer in threads.map(add, range(4))]
    assert sorted(each["id"] for each in added) == ["gravel-2", "gravel-3", "gravel-4", "gravel-5"]
    assert {each["id"] for each in added} <= {style["id"] for style in start().get("/api/state").json()["styles"]}


def test_a_folder_has_one_server(tmp_path):
    with claim(tmp_path / "studio"), pytest.raises(StudioError, match="another `atelier studio` uses it"):  # noqa: SIM117
        with claim(tmp_path / "studio"):
            pass
    with claim(tmp_path / "studio"):  # free again
        pass
    (tmp_path / "file").touch()
    with pytest.raises(StudioError, match="choose another with --folder"), claim(tmp_path / "file"):
        pass


def test_a_style_that_a_full_disk_does_not_take_is_told_and_comes_in_later(start, monkeypatch):
    client = start()
    facts = {"title": "Blue", "licence": "CC0"}

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(adding, "shutil", types.SimpleNamespace(copyfile=refuse))
        answer = client.post("/api/styles", params=facts, content=encode((64, 64)))
    assert answer.status_code == 507
    assert answer.json()["error"].startswith("No space left on device: free some space")
    added = client.post("/api/styles", params=facts, content=encode((64, 64)))
    assert added.json() == {"id": "blue"}
