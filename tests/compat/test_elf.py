"""The version needs of a small library that is built here, read and edited, and what the real loader makes of it."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compat.glibc import elf

CC = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(CC is None, reason="needs a C compiler: apt-get install gcc libc6-dev")


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A folder with `libnew.so` that offers NEW_1 and NEW_2, and `libuser.so` that needs both of it."""
    build(tmp_path, "libnew.so", "int one(void){return 1;} int two(void){return 2;}", "NEW_1{one;}; NEW_2{two;};")
    source = "int one(void); int two(void); int three(void){return one() + two();}"
    build(tmp_path, "libuser.so", source, None, "-L.", "-lnew", "-Wl,-rpath,$ORIGIN")
    return tmp_path


def build(folder: Path, name: str, source: str, versions: str | None, *options: str) -> None:
    (folder / "source.c").write_text(source)
    script = []
    if versions is not None:
        (folder / "versions.map").write_text(versions)
        script = ["-Wl,--version-script=versions.map"]
    command = [str(CC), "-shared", "-fPIC", f"-Wl,-soname,{name}", *script, "-o", name, "source.c", *options]
    subprocess.run(command, cwd=folder, check=True)


def load(path: Path) -> subprocess.CompletedProcess[str]:
    """Loads a library in a process of its own, binding each symbol only when it is called."""
    code = f"import ctypes, os; ctypes.CDLL({str(path)!r}, mode=os.RTLD_LAZY)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def needs_of_new(path: Path) -> dict[str, elf.Need]:
    return {need.version: need for need in elf.list_needs(path) if need.library == "libnew.so"}


def test_needs_names_versions_and_their_symbols(libraries: Path) -> None:
    found = needs_of_new(libraries / "libuser.so")
    assert {name: need.symbols for name, need in found.items()} == {"NEW_1": {"one"}, "NEW_2": {"two"}}
    assert not any(need.weak for need in found.values())


def test_defined_versions_and_symbols(libraries: Path) -> None:
    assert {"NEW_1", "NEW_2"} <= elf.list_defined_versions(libraries / "libnew.so")
    assert {"one", "two"} <= elf.list_defined_symbols(libraries / "libnew.so")
    assert elf.list_defined_versions(libraries / "libuser.so") == set()
    assert "three" in elf.list_defined_symbols(libraries / "libuser.so")
    assert "one" not in elf.list_defined_symbols(libraries / "libuser.so")


def test_make_weak_changes_one_bit_of_the_named_version(libraries: Path) -> None:
    user = libraries / "libuser.so"
    before = user.read_bytes()
    elf.make_weak(user, [needs_of_new(user)["NEW_2"]])
    after = user.read_bytes()
    assert {name: need.weak for name, need in needs_of_new(user).items()} == {"NEW_1": False, "NEW_2": True}
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert changed == [(0, 2)]


def test_loader_refuses_a_missing_version_until_it_is_weak(libraries: Path) -> None:
    user = libraries / "libuser.so"
    assert load(user).returncode == 0
    # An older release of the library: NEW_2 and what it holds are not there yet.
    build(libraries, "libnew.so", "int one(void){return 1;}", "NEW_1{one;};")
    refused = load(user)
    assert refused.returncode != 0
    assert "NEW_2" in refused.stderr
    elf.make_weak(user, [needs_of_new(user)["NEW_2"]])
    assert load(user).returncode == 0


def test_unmet_compares_with_the_host(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(libraries, "libold.so", "int one(void){return 1;}", "NEW_1{one;};")
    real = elf.find_host_library
    monkeypatch.setattr(
        elf, "find_host_library", lambda name: libraries / "libold.so" if name == "libnew.so" else real(name)
    )
    assert [need.version for need in elf.list_unmet_needs(libraries / "libuser.so")] == ["NEW_2"]


def test_host_library_is_what_the_loader_takes() -> None:
    path = elf.find_host_library("libc.so.6")
    version = ctypes.CDLL("libc.so.6").gnu_get_libc_version
    version.restype = ctypes.c_char_p
    newest = max(tuple(map(int, v[6:].split("."))) for v in elf.list_defined_versions(path) if v[6:7].isdigit())
    assert newest <= tuple(map(int, version().decode().split(".")))
    with pytest.raises(OSError, match="libnothing"):
        elf.find_host_library("libnothing.so.9")


def test_is_shared_library_looks_into_the_file(libraries: Path) -> None:
    (libraries / "text.so").write_text("INPUT(libnew.so)")
    assert elf.is_shared_library(libraries / "libnew.so")
    assert not elf.is_shared_library(libraries / "text.so")
