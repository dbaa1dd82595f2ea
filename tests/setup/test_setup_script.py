"""tools/setup.sh on machines that lack something: one line says what, and nothing half made counts as whole."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What every Debian has, whatever is installed on top.
ESSENTIALS = ["awk", "bash", "cat", "df", "dirname", "flock", "getconf", "grep"]
ESSENTIALS += ["mkdir", "rm", "sed", "sha256sum", "sort", "tail", "uname"]
THIS_PYTHON = f'exec {sys._base_executable} "$@"'  # type: ignore[attr-defined]
THIS_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Machine:
    """A copy of what setting up needs, and a PATH that holds only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.bin = folder / "tree", folder / "bin"
        for name in ("tools", "requirements", "compat"):
            shutil.copytree(ROOT / name, self.tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.tree / "setup.py").touch()
        self.bin.mkdir()
        for tool in ESSENTIALS:
            found = shutil.which(tool)
            assert found, f"{tool} is missing on this machine"
            (self.bin / tool).symlink_to(found)

    def has(self, tool: str, script: str) -> None:
        """Puts a program on the PATH, in the place of what was there."""
        path = self.bin / tool
        path.unlink(missing_ok=True)
        path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
        path.chmod(0o755)

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        # PIP_CONFIG_FILE: a machine's own pip settings may name further sources.
        environment = {"PATH": str(self.bin), "HOME": str(self.tree), "PIP_CONFIG_FILE": os.devnull} | environment
        script = str(self.tree / "tools/setup.sh")
        return subprocess.run(
            [script], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def complete(machine: Machine) -> Machine:
    """A machine on which nothing is missing until the first download."""
    machine.has(f"python{THIS_VERSION}", THIS_PYTHON)
    machine.has("getconf", "echo glibc 2.41")
    machine.has("df", "printf 'header\\nnone 1 1 99999999 1%% /\\n'")
    return machine


def read_error(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a set-up that failed."""
    assert done.returncode == 1
    assert done.stderr.startswith("setup: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_no_python(machine: Machine) -> None:
    message = read_error(machine.set_up())
    assert "no Python 3.13, 3.12 or 3.11 found" in message
    assert "apt-get install python3 python3-venv" in message


def test_dead_shims_and_other_versions_do_not_count(machine: Machine) -> None:
    machine.has("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    machine.has("python3", "echo 3.10")
    machine.has("python", "echo 3.14")
    assert "no Python 3.13, 3.12 or 3.11 found" in read_error(machine.set_up())


# What an interpreter answers when it lacks something: the scripts see the code that they are asked to run in "$*".
DEAD = "exit 127"
WITHOUT_VENV = 'case "$*" in *version_info*) echo {version} ;; *ensurepip*) exit 1 ;; esac'
WITHOUT_LZMA = 'case "$*" in *version_info*) echo {version} ;; *lzma*) exit 1 ;; esac'
FREE_THREADED = 'case "$*" in *version_info*) echo {version} ;; *GIL*) exit 1 ;; esac'
GOOD = 'case "$*" in *version_info*) echo {version} ;; *"-m venv"*) echo "took $0"; exit 1 ;; esac'


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"3.11": GOOD, "3.12": GOOD, "3.13": GOOD}, "python3.13"),
        ({"3.11": GOOD, "3.12": GOOD, "3.13": DEAD}, "python3.12"),
        ({"3.11": GOOD, "3.12": GOOD, "3.13": WITHOUT_VENV}, "python3.12"),
        ({"3.11": GOOD, "3.12": WITHOUT_LZMA, "3.13": FREE_THREADED}, "python3.11"),
        ({"3.11": GOOD, "3.12": DEAD, "3.13": DEAD}, "python3.11"),
    ],
)
def test_the_newest_python_that_has_all_it_needs_is_taken(
    complete: Machine, pythons: dict[str, str], taken: str
) -> None:
    (complete.bin / f"python{THIS_VERSION}").unlink()
    for version, script in pythons.items():
        complete.has(f"python{version}", script.format(version=version))
    assert f"took {complete.bin / taken}" in read_error(complete.set_up())


def test_a_python3_without_its_number_is_found(complete: Machine) -> None:
    (complete.bin / f"python{THIS_VERSION}").unlink()
    complete.has("python3", GOOD.format(version="3.13"))
    complete.has("python3.12", GOOD.format(version="3.12"))
    assert f"took {complete.bin / 'python3'}" in read_error(complete.set_up())


@pytest.mark.parametrize(
    ("flaw", "said"),
    [(WITHOUT_VENV, "python3.13-venv"), (WITHOUT_LZMA, "lzma"), (FREE_THREADED, "global lock")],
)
@pytest.mark.parametrize("chosen", [True, False])
def test_the_only_python_lacks_something(machine: Machine, flaw: str, said: str, chosen: bool) -> None:
    machine.has("python3.13", flaw.format(version="3.13"))
    message = read_error(machine.set_up(**({"PYTHON": "python3.13"} if chosen else {})))
    assert said in message
    assert "python3.13" in message


def test_a_shim_does_not_hide_the_python_behind_it(complete: Machine, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    shutil.copy(complete.bin / f"python{THIS_VERSION}", shims)
    complete.has(f"python{THIS_VERSION}", "exit 127")
    complete.has("df", "printf 'header\\nnone 1 1 0 1%% /\\n'")
    assert "GB free" in read_error(complete.set_up(PATH=f"{complete.bin}:{shims}"))


@pytest.mark.parametrize(
    ("script", "said"),
    [("exit 127", "does not run"), ("echo 3.10", "is Python 3.10, but TFX needs 3.13, 3.12 or 3.11")],
)
def test_a_python_that_was_asked_for_and_will_not_do(machine: Machine, script: str, said: str) -> None:
    machine.has("mine", script)
    assert f"PYTHON=mine {said}" in read_error(machine.set_up(PYTHON="mine"))


def test_python_without_venv(complete: Machine) -> None:
    complete.has(f"python{THIS_VERSION}", f'case "$*" in *ensurepip*) exit 1 ;; esac; {THIS_PYTHON}')
    assert f"apt-get install python{THIS_VERSION}-venv" in read_error(complete.set_up())


@pytest.mark.parametrize("compiler", [None, "echo 'stdlib.h: No such file' >&2; exit 1"])
def test_old_glibc_without_a_working_compiler(complete: Machine, compiler: str | None) -> None:
    complete.has("getconf", "echo glibc 2.36")
    if compiler:
        complete.has("cc", compiler)
    assert "glibc 2.36 needs one to repair two wheels: apt-get install gcc libc6-dev" in read_error(complete.set_up())


@pytest.mark.parametrize(
    ("tool", "script", "said"),
    [("uname", "echo Darwin arm64", "Darwin arm64"), ("getconf", "exit 1", "GNU C library")],
)
def test_a_platform_without_wheels(complete: Machine, tool: str, script: str, said: str) -> None:
    complete.has(tool, script)
    assert said in read_error(complete.set_up())


def test_too_little_disk(complete: Machine) -> None:
    complete.has("df", "printf 'header\\nnone 1 1 2097152 1%% /\\n'")
    assert "has 2 GB free, and 5 GB are needed" in read_error(complete.set_up())


@pytest.mark.slow
def test_index_out_of_reach_and_what_an_interrupted_setup_left(complete: Machine) -> None:
    (complete.tree / ".venv/half").mkdir(parents=True)
    # Port 9 (discard) of this machine: nobody answers there.
    done = complete.set_up(PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")
    assert "installing uv failed: the package index cannot be reached" in read_error(done)
    assert not (complete.tree / ".venv/half").exists()
    assert not (complete.tree / ".venv/.environment").exists()


@pytest.mark.slow
def test_a_file_with_another_hash_is_refused(complete: Machine, tmp_path: Path) -> None:
    pinned = (ROOT / "requirements/bootstrap.txt").read_text().split("packaging==")[1].split()[0]
    info = f"packaging-{pinned}.dist-info"
    with zipfile.ZipFile(tmp_path / f"packaging-{pinned}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: packaging\nVersion: {pinned}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    done = complete.set_up(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert "a downloaded file is not the one that the lock file names" in read_error(done)
