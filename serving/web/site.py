"""The files of the page: its own, LiteRT.js, and the pushed models, each by its path below the page's address."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from atelier import __version__
from serving.web import packages
from serving.web.headers import CONTENT_SECURITY_POLICY
from serving.web.models import Classifier, read_classifier

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


def collect(output: Path) -> dict[str, SiteFile]:
    """Returns all files of the page by their paths.

    Args:
      output: a run's output folder.

    Raises:
      WebError: there is no model, or LiteRT.js cannot be downloaded.
    """
    classifier = read_classifier(output)
    runtime, files = _collect_runtime()
    files |= _collect_static()
    model = SiteFile(classifier.content, lasting=True)
    path = f"models/{hashlib.sha256(model.content).hexdigest()[:16]}/model.tflite"
    described = {"atelier": __version__, "runtime": runtime, "classifier": _describe(classifier, path)}
    return files | {path: model, SITE_FILE: SiteFile(json.dumps(described, indent=1).encode())}


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
    folder = f"vendor/litertjs-{packages.version(packages.RUNTIME)}/"
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


def _describe(classifier: Classifier, path: str) -> dict:
    described = dataclasses.asdict(classifier) | {
        "file": path,
        "bytes": len(classifier.content),
        "preprocessing": classifier.preprocessing.model_dump(),
        "output": {"scale": classifier.scale, "zero_point": classifier.zero_point},
    }
    return {name: value for name, value in described.items() if name not in ("content", "scale", "zero_point")}
