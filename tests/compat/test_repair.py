"""The repair of a toy wheel whose library wants a libstdc++ that nobody has yet, and of wheels with nothing amiss."""

import base64
import csv
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from compat.glibc import elf, repair

CC = shutil.which("cc") or shutil.which("gcc")
needs_compiler = pytest.mark.skipif(CC is None, reason="needs a C compiler: apt-get install gcc libc6-dev")

# What the toy imports from a made-up newer glibc; the shim has the first and not the second.
IN_SHIM, NOT_IN_SHIM = "__isoc23_strtol", "strtol_of_the_future"


def wheel_of(folder: Path, files: dict[str, bytes], requires: str = "") -> Path:
    """A valid wheel `toy` 1.0 with these files, tagged as upstream tags theirs."""
    info = "toy-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n{requires}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_39_x86_64\n",
    }
    path = folder / "toy-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        lines = [f"{name},sha256={digest(data)},{len(data)}" for name, data in files.items()]
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]))
    return path


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def library_that_needs(folder: Path, symbol: str) -> bytes:
    """A library that calls `symbol` of `libc.so.6` at version GLIBC_9.99, which it was linked against."""
    folder.mkdir()
    (folder / "libc.c").write_text(f"long {symbol}(const char *t, char **e, int b) {{ return 0; }}")
    (folder / "versions.map").write_text(f"GLIBC_9.99 {{ {symbol}; }};")
    (folder / "toy.c").write_text(
        f"long {symbol}(const char *, char **, int); long number(const char *t) {{ return {symbol}(t, 0, 10); }}"
    )
    options = [str(CC), "-shared", "-fPIC", "-nostdlib"]
    fake = ["-Wl,-soname,libc.so.6", "-Wl,--version-script=versions.map", "-o", "libfake.so", "libc.c"]
    subprocess.run([*options, *fake], cwd=folder, check=True)
    subprocess.run([*options, "-o", "toy.so", "toy.c", "libfake.so"], cwd=folder, check=True)
    return (folder / "toy.so").read_bytes()


def assert_record_is_right(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith("/RECORD"))
        rows = {name: (hash_, size) for name, hash_, size in csv.reader(archive.read(record).decode().splitlines())}
        assert rows.pop(record) == ("", "")
        assert rows == {
            name: (f"sha256={digest(archive.read(name))}", str(len(archive.read(name))))
            for name in archive.namelist()
            if name != record
        }


@needs_compiler
def test_repaired_library_loads_and_works(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, {"toy/toy.so": library_that_needs(tmp_path / "build", IN_SHIM), "toy/a.py": b""})
    result = repair.repair(wheel, tmp_path / "out")
    assert result.name == "toy-1.0-cp311-cp311-linux_x86_64.whl"
    assert_record_is_right(result)
    with zipfile.ZipFile(result) as archive:
        archive.extractall(tmp_path / "site")
    assert b"linux_x86_64" in (tmp_path / "site/toy-1.0.dist-info/WHEEL").read_bytes()
    toy = tmp_path / "site/toy/toy.so"
    assert [need.weak for need in elf.list_unmet_needs(toy)] == [True]
    code = f"import ctypes; f = ctypes.CDLL({str(toy)!r}).number; f.restype = ctypes.c_long; print(f(b'-417'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "-417\n"


@needs_compiler
def test_a_symbol_that_the_shim_lacks_is_refused_by_name(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, {"toy/toy.so": library_that_needs(tmp_path / "build", NOT_IN_SHIM)})
    with pytest.raises(repair.RepairError, match=f"toy.so: needs {NOT_IN_SHIM}@GLIBC_9.99"):
        repair.repair(wheel, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@needs_compiler
def test_shim_has_exactly_the_six_symbols(tmp_path: Path) -> None:
    shim = tmp_path / repair.SHIM_NAME
    repair._build_shim(shim)
    assert {name for name in elf.list_defined_symbols(shim) if name not in ("_init", "_fini")} == {
        "_ZSt21ios_base_library_initv",
        "__cxa_call_terminate",
        *(f"__isoc23_strto{kind}" for kind in ("l", "ul", "ll", "ull")),
    }


@needs_compiler
def test_shim_initializes_the_streams(tmp_path: Path) -> None:
    shim = tmp_path / repair.SHIM_NAME
    repair._build_shim(shim)
    # std::cout.put('x') and flush() by their mangled names: before the streams are initialized they crash.
    code = (
        "import ctypes, sys; shim = ctypes.CDLL(sys.argv[1]); std = ctypes.CDLL('libstdc++.so.6');"
        "cout = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(std, '_ZSt4cout')));"
        "std._ZNSo3putEc(cout, ctypes.c_char(b'x')); std._ZNSo5flushEv(cout)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(shim)], capture_output=True, check=True)
    assert done.stdout == b"x"


def test_nothing_amiss_is_left_alone(tmp_path: Path) -> None:
    files = {"toy/__init__.py": b"answer = 42\n", "toy/data.so": b"not a library"}
    wheel = wheel_of(tmp_path, files, requires="Requires-Dist: numpy>=1.22.0\n")
    result = repair.repair(wheel, tmp_path / "out")
    assert result.name == wheel.name
    assert_record_is_right(result)
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(result) as after:
        kept = [name for name in before.namelist() if not name.endswith("RECORD")]
        assert {name: before.read(name) for name in kept} == {name: after.read(name) for name in kept}


def test_the_one_requirement_is_relaxed(tmp_path: Path) -> None:
    (old,), (new,) = repair.RELAXED_REQUIREMENTS.keys(), repair.RELAXED_REQUIREMENTS.values()
    wheel = wheel_of(tmp_path, {"toy/a.py": b""}, requires=f"{old}\nRequires-Dist: numpy>=1.22.0\n")
    result = repair.repair(wheel, tmp_path / "out")
    with zipfile.ZipFile(result) as archive:
        lines = archive.read("toy-1.0.dist-info/METADATA").decode().splitlines()
    assert lines[-2:] == [new, "Requires-Dist: numpy>=1.22.0"]
    assert_record_is_right(result)


def test_a_damaged_wheel_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = wheel_of(tmp_path, {"toy/a.py": b"original"})
    wheel.write_bytes(wheel.read_bytes().replace(b"original", b"tampered"))
    assert repair.main(["--output", str(tmp_path / "out"), str(wheel)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{wheel.name}: ")
    assert error.count("\n") == 1


def test_no_compiler_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(repair.RepairError, match="apt-get install gcc libc6-dev"):
        repair._build_shim(tmp_path / repair.SHIM_NAME)
