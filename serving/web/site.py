"""The files of the page: its own, LiteRT.js, and the pushed models, each by its path below the page's address."""

import dataclasses
import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier import __version__
from atelier.layout import TFLITE_FILE
from serving.web import packages
from serving.web.errors import WebError
from serving.web.headers import CONTENT_SECURITY_POLICY
from serving.web.models import (
    Classifier,
    Stylizer,
    explain_none,
    find_versions,
    read_classifier,
    read_stylizer,
)

_log = logging.getLogger("atelier.web")

SITE_FILE = "site.json"
"""What the page shows and where its models are."""

_STATIC = Path(__file__).with_name("static")
_POLICY_MARK = "$content_security_policy"
_VARIANTS = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")
"""LiteRT.js without and with threads, and for browsers without relaxed SIMD."""


@dataclass(frozen=True)
class SiteFile:
    """A file of the page.

    Attributes:
      content: its bytes.
      compressed: the same by gzip, where it is at hand.
      lasting: another content would have another path, so that a browser may keep it for good.
    """

    content: bytes
    compressed: bytes | None = None
    lasting: bool = False


class Site(Mapping[str, SiteFile]):
    """The files of the page by their paths. A model that was pushed meanwhile is found when `SITE_FILE` is read.

    Models that were shown before stay, for pages that are open.
    """

    def __init__(self, output: Path, other: Callable[[], Stylizer] | None = None) -> None:
        """Collects the files; see `collect`."""
        self._output, self._other = output, other
        self._versions = find_versions(output)
        self._files = collect(output, other)
        self._lock = threading.Lock()

    def __getitem__(self, path: str) -> SiteFile:
        """Returns a file."""
        if path == SITE_FILE:
            with self._lock:
                self._find_newer()
        return self._files[path]

    def __iter__(self) -> Iterator[str]:
        """The paths."""
        return iter(self._files)

    def __len__(self) -> int:
        """How many files there are."""
        return len(self._files)

    def _find_newer(self) -> None:
        try:
            versions = find_versions(self._output)
            if versions != self._versions:
                self._files = self._files | collect(self._output, self._other)
                self._versions = versions
        except WebError as error:
            _log.warning("%s: the page shows the models that it had", error)


def collect(output: Path, other: Callable[[], Stylizer] | None = None) -> dict[str, SiteFile]:
    """Returns all files of the page by their paths.

    Args:
      output: a run's output folder.
      other: gives the stylizer of the page where the run has pushed a classifier and no stylizer. None: there is none.

    Raises:
      WebError: there is no model, or LiteRT.js cannot be downloaded.
    """
    classifier, stylizer = read_classifier(output), read_stylizer(output)
    if classifier is None and stylizer is None:
        raise explain_none(output)
    if stylizer is None and other:
        stylizer = other()
    runtime, files = _collect_runtime()
    files |= _collect_static()
    described: dict[str, Any] = {"atelier": __version__, "runtime": runtime, "classifier": None, "stylizer": None}
    if classifier:
        described["classifier"] = _describe(classifier) | _add_model(files, classifier.content)
    if stylizer:
        models = [{"size": size} | _add_model(files, content) for size, content in stylizer.contents.items()]
        described["stylizer"] = {
            "version": stylizer.version,
            "styles": stylizer.styles,
            "max_pixels": stylizer.max_pixels,
            "files": models,
        }
    return files | {SITE_FILE: SiteFile(json.dumps(described, indent=1).encode())}


def _add_model(files: dict[str, SiteFile], content: bytes) -> dict:
    """Adds a model under a path that changes with its content; returns what the page must know to download it."""
    path = f"models/{hashlib.sha256(content).hexdigest()[:16]}/{TFLITE_FILE}"
    files[path] = SiteFile(content, lasting=True)
    return {"file": path, "bytes": len(content)}


def _collect_static() -> dict[str, SiteFile]:
    files = {}
    for file in sorted(_STATIC.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            if file.name == "index.html":
                content = content.replace(_POLICY_MARK.encode(), CONTENT_SECURITY_POLICY.encode())
            files[file.relative_to(_STATIC).as_posix()] = SiteFile(content)
    return files


def _collect_runtime() -> tuple[dict, dict[str, SiteFile]]:
    """Returns what the page must know of LiteRT.js, and its files."""
    folder = f"vendor/litertjs-{packages.read_version(packages.RUNTIME)}/"
    core, loader = packages.install(packages.RUNTIME), packages.install(packages.RUNTIME_LOADER)
    scripts = {"core.js": core / "dist/index.js", "loader.js": loader / "dist/index.js"}
    files = {folder + name: SiteFile(_read_module(file), lasting=True) for name, file in scripts.items()}
    sizes = {}
    for file in _list_webassembly(core / "wasm"):
        compressed = file.with_name(f"{file.name}.gz")
        content = file.read_bytes()
        files[f"{folder}wasm/{file.name}"] = SiteFile(
            content, compressed.read_bytes() if compressed.is_file() else None, lasting=True
        )
        sizes[file.name] = len(content)
    return {"path": folder, "bytes": sizes}, files


def _list_webassembly(folder: Path) -> Iterator[Path]:
    for variant in _VARIANTS:
        yield folder / f"{variant}.js"
        yield folder / f"{variant}.wasm"


def _read_module(file: Path) -> bytes:
    """A module whose import by a package's name becomes one by path: workers have no import maps."""
    text = file.read_text(encoding="utf-8").replace(f'"{packages.RUNTIME_LOADER}"', '"./loader.js"')
    return re.sub(r"\n//# sourceMappingURL=.*", "", text).encode()


def _describe(classifier: Classifier) -> dict:
    described = dataclasses.asdict(classifier) | {
        "preprocessing": classifier.preprocessing.model_dump(),
        "output": {"scale": classifier.scale, "zero_point": classifier.zero_point},
    }
    return {name: value for name, value in described.items() if name not in ("content", "scale", "zero_point")}
