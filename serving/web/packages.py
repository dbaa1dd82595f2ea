"""npm packages that the pages run: pinned by `package-lock.json`, downloaded once, and checked against their hashes.

npm itself is not needed. `NPM_CONFIG_REGISTRY` names another registry, as for npm.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
import uuid
from pathlib import Path, PurePosixPath

from atelier.files import leftovers
from serving.web.errors import WebError

RUNTIME = "@litertjs/core"
"""LiteRT.js, which runs TFLite files in browsers."""
RUNTIME_LOADER = "@litertjs/wasm-utils"
"""What LiteRT.js itself imports."""
CHARTS = "uplot"
"""Draws the charts of the page of `atelier monitor`."""
REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"

_LOCK = Path(__file__).with_name("package-lock.json")
_PUBLIC_REGISTRY = "https://registry.npmjs.org"
_TIMEOUT_S = 60
_COMPRESSED = (".wasm",)
"""WebAssembly of 9 MB becomes 3 MB. Compressing takes a second, hence it is done once."""


def read_version(name: str) -> str:
    """Returns the version of a package in the lock file."""
    return str(_read_lock_entry(name)["version"])


def install(name: str) -> Path:
    """Returns the folder with the package's files; downloads it if it is not there.

    Large files that compress well have a file `.gz` beside them.

    Raises:
      WebError: the package cannot be downloaded, is not what the lock file names, or cannot be stored.
    """
    folder = find_cache() / "npm" / f"{name.replace('/', '+')}-{read_version(name)}"
    if folder.is_dir():
        return folder
    archive = _download(name)
    try:
        leftovers.sweep(folder.parent.glob(f".{folder.name}-*"))
        with leftovers.create_owned(folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:12]}")) as partial:
            _unpack(archive, partial)
            if not folder.is_dir():  # another process may have been quicker
                partial.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise WebError(f"{folder}: {name} cannot be stored: {error.strerror}; set XDG_CACHE_HOME") from None
    return folder


def _read_lock_entry(name: str) -> dict:
    return json.loads(_LOCK.read_text(encoding="utf-8"))["packages"][f"node_modules/{name}"]


def find_cache() -> Path:
    """Returns the folder of what is downloaded or made once; it may not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "atelier"


def _download(name: str) -> bytes:
    registry = os.environ.get(REGISTRY_VARIABLE) or os.environ.get(REGISTRY_VARIABLE.lower()) or _PUBLIC_REGISTRY
    url = f"{registry.rstrip('/')}/{name}/-/{name.split('/')[-1]}-{read_version(name)}.tgz"
    if not url.startswith(("https://", "http://")):
        raise WebError(f"{REGISTRY_VARIABLE} is {registry!r}; expected the address of an npm registry, https://...")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 (the scheme is checked)
            content: bytes = response.read()
    except (OSError, ValueError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise WebError(
            f"{name} {read_version(name)}, which the page needs, cannot be downloaded ({why}); check the network, or "
            f"name another npm registry in {REGISTRY_VARIABLE}, then try again"
        ) from None
    algorithm, _, expected = _read_lock_entry(name)["integrity"].partition("-")
    if hashlib.new(algorithm, content).digest() != base64.b64decode(expected):
        raise WebError(
            f"{name} {read_version(name)}: the registry sends another file than package-lock.json names; check "
            f"{REGISTRY_VARIABLE}"
        )
    return content


def _unpack(archive: bytes, folder: Path) -> None:
    """Writes the files below the archive's one folder; its links, if any, are left out."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            content = tar.extractfile(member)
            if content is None or path.is_absolute() or ".." in path.parts:
                continue
            target = folder.joinpath(*path.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as stream:
                shutil.copyfileobj(content, stream)
            if target.suffix in _COMPRESSED:
                target.with_name(f"{target.name}.gz").write_bytes(gzip.compress(target.read_bytes(), mtime=0))


if __name__ == "__main__":
    try:
        for package in (RUNTIME, RUNTIME_LOADER, CHARTS):
            install(package)
    except WebError as failure:
        sys.exit(f"atelier: {failure}")
