"""npm packages from a registry on this machine: what is pinned is taken, and nothing else."""

import base64
import gzip
import hashlib
import http.server
import io
import json
import re
import tarfile
import threading

import pytest

from atelier.errors import AtelierError
from serving.web import packages

NAME = "@some/core"


def pack(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


ARCHIVE = pack({"package/dist/index.js": b"run();", "package/wasm/a.wasm": 999 * b"a", "package/../../escaped": b"!"})


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """A registry that knows one package; the paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ARCHIVE)

        def log_message(self, *arguments):
            pass

    running = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{running.server_port}/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pin(monkeypatch, tmp_path, ARCHIVE)
    yield asked
    running.shutdown()
    running.server_close()


def pin(monkeypatch, folder, archive):
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(archive).digest()).decode()}"
    lock = {"packages": {f"node_modules/{NAME}": {"version": "1.2.3", "integrity": integrity}}}
    (folder / "lock.json").write_text(json.dumps(lock))
    monkeypatch.setattr(packages, "_LOCK", folder / "lock.json")


def test_a_package_is_downloaded_once(registry, tmp_path):
    folder = packages.install(NAME)
    assert packages.install(NAME) == folder
    assert registry == ["/@some/core/-/core-1.2.3.tgz"]
    assert (folder / "dist/index.js").read_bytes() == b"run();"
    assert gzip.decompress((folder / "wasm/a.wasm.gz").read_bytes()) == 999 * b"a"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["@some+core-1.2.3"]
    assert list(tmp_path.rglob("escaped")) == []


def test_another_file_than_the_pinned_one_is_rejected(registry, monkeypatch, tmp_path):
    pin(monkeypatch, tmp_path, b"another archive")
    with pytest.raises(AtelierError, match=r"@some/core 1\.2\.3: the registry sends another file") as refused:
        packages.install(NAME)
    assert refused.value.exit_code == 1
    assert list((tmp_path / "cache").rglob("*.js")) == []


def test_without_a_network_one_line_says_so(monkeypatch, registry):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    with pytest.raises(AtelierError) as refused:
        packages.install(NAME)
    message = str(refused.value)
    assert re.search(r"@some/core 1\.2\.3, which the page needs, cannot be downloaded \(.*refused", message)
    assert "NPM_CONFIG_REGISTRY" in message
    assert "\n" not in message


def test_a_registry_that_is_no_address_is_told(monkeypatch, registry):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "file:///etc/")
    with pytest.raises(AtelierError, match="expected the address of an npm registry"):
        packages.install(NAME)


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, registry, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(AtelierError, match="cannot be stored: Not a directory; set XDG_CACHE_HOME"):
        packages.install(NAME)


def test_the_lock_file_pins_every_package_by_hash():
    lock = json.loads(packages._LOCK.read_text())["packages"]
    wanted = json.loads(packages._LOCK.with_name("package.json").read_text())
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert lock[f"node_modules/{name}"]["version"] == version
    pinned = {name: entry for name, entry in lock.items() if name}
    assert len(pinned) == 4
    assert all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", entry["integrity"]) for entry in pinned.values())
    assert not any("resolved" in entry for entry in pinned.values())  # no host is named
