"""What the server sends with each file."""

import gzip
import warnings

import pytest

from atelier.errors import AtelierError
from serving.web import server
from serving.web.headers import CONTENT_SECURITY_POLICY
from serving.web.site import SiteFile

FILES = {
    "index.html": SiteFile(b"<!doctype html>" + 100 * b"text "),
    "page/app.js": SiteFile(b"main();"),
    "models/0a/model.tflite": SiteFile(b"\x00weights", lasting=True),
    "wasm/lite.wasm": SiteFile(b"\x00asm", compressed=gzip.compress(b"\x00asm"), lasting=True),
}


@pytest.fixture
def client():
    with warnings.catch_warnings(action="ignore"):  # it asks for another version of its HTTP client
        from starlette.testclient import TestClient
    return TestClient(server.make_app(FILES), base_url="http://localhost")


def test_every_answer_isolates_the_page_and_limits_its_rights(client):
    for path in ("/", "/page/app.js", "/models/0a/model.tflite", "/nothing"):
        headers = client.get(path).headers
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["content-security-policy"] == f"{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'"
        assert headers["x-content-type-options"] == "nosniff"


def test_the_policy_allows_this_site_only():
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in CONTENT_SECURITY_POLICY
    assert "'unsafe-eval'" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    ("path", "kind", "kept"),
    [
        ("/", "text/html", "no-cache"),
        ("/page/app.js", "text/javascript", "no-cache"),
        ("/models/0a/model.tflite", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("/wasm/lite.wasm", "application/wasm", "public, max-age=31536000, immutable"),
    ],
)
def test_a_file_has_its_type_and_how_long_it_is_kept(client, path, kind, kept):
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (200, FILES[path[1:] or "index.html"].content)
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["cache-control"] == kept


@pytest.mark.parametrize("path", ["/", "/wasm/lite.wasm"])
def test_text_and_webassembly_are_compressed_for_who_takes_it(client, path):
    compressed = client.get(path, headers={"accept-encoding": "br, gzip"})
    assert compressed.headers["content-encoding"] == "gzip"
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert compressed.content == plain.content  # the client has unpacked the first


def test_a_file_that_has_not_changed_is_not_sent_again(client):
    first = client.get("/")
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/../setup.py", "/%2e%2e/setup.py", "/page/", "/index.html/"])
def test_nothing_else_is_sent(client, path):
    assert client.get(path).status_code == 404


def test_other_methods_and_other_hosts_are_refused(client):
    assert client.post("/").status_code == 405
    assert client.get("/", headers={"host": "example.com"}).status_code == 400
    assert client.head("/").status_code == 200


def test_a_port_in_use_is_told():
    with (
        server._listen(server.HOST, 0) as taken,
        pytest.raises(AtelierError, match=r"Address already in use; choose another port"),
    ):
        server._listen(server.HOST, taken.getsockname()[1])
