"""Fingerprints of our own code and of data files: what MLMD's cache cannot see by itself.

TFX's cache key holds a component's inputs, its parameters and the *name* of the code that runs. An
edit of that code changes none of them, and a stale result would be served. So every node gets the
fingerprint of its code as a parameter.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import stat
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("atelier", "compat", "components", "pipeline", "trainer")
_LIBRARIES = ("keras", "tensorflow", "tfx")
_READERS = 8
_TICK_NS = 2 * 10**9
"""Longer than a tick of any file system's clock (FAT: 2 s)."""


def fingerprint_code(module: str) -> str:
    """Returns the SHA-256 (16 hex digits) of a module, of all of ours that it imports, and of main libraries' versions.

    Raises:
      ModuleNotFoundError: there is no such module of ours.
    """
    files = _follow_imports(module)
    if module not in files:
        raise ModuleNotFoundError(f"{module} is not a module of {', '.join(PACKAGES)}")
    digest = hashlib.sha256()
    for library in _LIBRARIES:
        digest.update(f"{library}=={importlib.metadata.version(library)}\n".encode())
    for name, file in sorted(files.items()):
        digest.update(f"{name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def fingerprint_files(files: Mapping[str, Path], hashes: "FileHashes") -> str:
    """Returns the SHA-256 (16 hex digits) of the files' names and contents.

    Args:
      files: by their names, which count; where the files lie does not.
      hashes: reads the files, or remembers them.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(_READERS) as readers:
        for name, content in zip(files, readers.map(hashes.hash_file, files.values()), strict=True):
            digest.update(os.fsencode(name) + f"\0{content}\n".encode())
    return digest.hexdigest()[:16]


class FileHashes:
    """SHA-256 of files, each read once: `memory` keeps them by path, inode, size and times for the next run.

    A file of equal size and time of modification, but other content, has another inode or another time of change
    (ctime), which no program can set.
    """

    def __init__(self, memory: Path) -> None:
        """Reads what an earlier run remembered; a memory that is damaged or missing counts as empty."""
        self._memory = memory
        self._known: dict[str, list[Any]] = {}
        self._kept: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(memory.read_bytes())
            self._known = known if isinstance(known, dict) else {}

    def hash_file(self, file: Path) -> str:
        """SHA-256 (32 hex digits) of a file's content, or why it cannot be read."""
        path = os.path.abspath(file)  # noqa: PTH100 (`absolute` leaves `..` in)
        try:
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):
                return "not a regular file"  # a pipe would block for ever
            state = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            known = self._kept.get(path) or self._known.get(path)
            if isinstance(known, list) and known[:-1] == state:
                self._kept[path] = known
                return known[-1]
            before = time.time_ns()
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
        except OSError as error:
            return f"unreadable: {error.strerror}"
        # A file that changes twice within a tick of the file system's clock may show the same times twice.
        if status.st_ctime_ns < before - _TICK_NS:
            self._kept[path] = [*state, found]
        return found

    def save(self) -> None:
        """Writes down the files that this run has seen, for the next one."""
        partial = self._memory.with_name(f".{self._memory.name}")
        partial.write_text(json.dumps(self._kept, separators=(",", ":")), encoding="ascii")
        partial.replace(self._memory)


def _follow_imports(module: str) -> dict[str, Path]:
    """Files by module: `module`, and what it imports at first or at second hand."""
    found: dict[str, Path] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        file = _find_file(name)
        if name not in found and file is not None:
            found[name] = file
            pending += _list_imports(name, file)
    return found


@functools.cache
def _list_imports(module: str, file: Path) -> tuple[str, ...]:
    """Modules of ours that `module` may import, the packages around them included."""
    names = [module]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = _resolve_origin(module, file, node)
            # Whether `b` in `from a import b` is a module, its file tells.
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    if "pkgutil" in names:  # a registry: it imports whatever lies in the packages that it names
        names += [found for name in names for found in _list_modules(name)]
    ours = [name.split(".") for name in names if name.partition(".")[0] in PACKAGES]
    return tuple(".".join(parts[:length]) for parts in ours for length in range(1, len(parts) + 1))


def _resolve_origin(module: str, file: Path, node: ast.ImportFrom) -> str:
    """The full name of what `from ... import` names, from which dots may lead upwards."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    package = package[: len(package) + 1 - node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _list_modules(package: str) -> list[str]:
    """The modules that lie in a package of ours; none if `package` is a module or not ours."""
    if package.partition(".")[0] not in PACKAGES:
        return []
    return [f"{package}.{file.stem}" for file in sorted(ROOT.joinpath(*package.split(".")).glob("*.py"))]


def _find_file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
