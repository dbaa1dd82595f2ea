"""Fingerprints of our own code and of data files: what MLMD's cache cannot see by itself.

TFX's cache key holds a component's inputs, its parameters and the *name* of the code that runs. An
edit of that code changes none of them, and a stale result would be served. So every node gets the
fingerprint of its code as a parameter.
"""

import ast
import functools
import hashlib
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("components", "pipeline", "trainer")
_LIBRARIES = ("keras", "tensorflow", "tfx")


def of_code(module: str) -> str:
    """SHA-256 (16 hex digits) of a module of ours, all of ours that it imports, and the main libraries' versions.

    Raises:
      ModuleNotFoundError: there is no such module of ours.
    """
    files = _closure(module)
    if module not in files:
        raise ModuleNotFoundError(f"{module} is no module of {', '.join(PACKAGES)}")
    digest = hashlib.sha256()
    for library in _LIBRARIES:
        digest.update(f"{library}=={importlib.metadata.version(library)}\n".encode())
    for name, file in sorted(files.items()):
        digest.update(f"{name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def of_files(files: Iterable[Path]) -> str:
    """SHA-256 (16 hex digits) of the files' names, sizes and times of change; their contents are not read."""
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _closure(module: str) -> dict[str, Path]:
    """Files by module: `module`, and what it imports at first or at second hand."""
    found: dict[str, Path] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        file = _file(name)
        if name not in found and file is not None:
            found[name] = file
            pending += _imports(name, file)
    return found


@functools.cache
def _imports(module: str, file: Path) -> tuple[str, ...]:
    """Modules of ours that `module` may import, the packages around them included."""
    names = [module]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(module, file, node)
            # Whether `b` in `from a import b` is a module, its file tells.
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    ours = [name.split(".") for name in names if name.partition(".")[0] in PACKAGES]
    return tuple(".".join(parts[:length]) for parts in ours for length in range(1, len(parts) + 1))


def _origin(module: str, file: Path, node: ast.ImportFrom) -> str:
    """The full name of what `from ... import` names, from which dots may lead upwards."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    package = package[: len(package) + 1 - node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
