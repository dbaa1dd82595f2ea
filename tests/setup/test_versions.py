"""The lock files: complete, hashed, free of hosts, of one mind with setup.py, and what is installed here."""

import hashlib
import importlib.metadata
import platform
import random
import re
import sysconfig
from pathlib import Path

import farmhash
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
LOCKS = ("lock.txt", "bootstrap.txt", "glibc.txt")


def entries(name: str) -> dict[str, list[str]]:
    """Requirement lines of a lock file (`name==version ; marker`), each with its hashes."""
    found: dict[str, list[str]] = {}
    for line in (REQUIREMENTS / name).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            current = found[line.removesuffix("\\").strip()] = []
        elif line.startswith("    --hash="):
            current.append(line.strip().removesuffix("\\").strip())
    return found


def locked(python: str) -> dict[str, str]:
    """Version by name of all that the lock files install on this platform under a Python such as 3.11."""
    environment = {"python_version": python, "python_full_version": f"{python}.9"}
    found: dict[str, str] = {}
    for line in (*entries("lock.txt"), *entries("glibc.txt")):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_pinned_and_hashed(name: str) -> None:
    found = entries(name)
    assert found
    for line, hashes in found.items():
        assert re.match(r"[a-z0-9-]+(\[[a-z0-9-]+\])?==[^ *]+( ; .*)?$", line), line
        assert hashes, line
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", hash_) for hash_ in hashes), line


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.iterdir()), ids=lambda path: path.name)
def test_no_host_is_named(path: Path) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host", path.read_text())


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_lock_has_what_setup_py_demands(python: str) -> None:
    versions = locked(python)
    demanded = [Requirement(line) for line in importlib.metadata.requires("atelier-tfx") or []]
    direct = [
        requirement
        for requirement in demanded
        for extra in ("", "kfp", "dev", "docs", "compat")
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python, "extra": extra})
    ]
    assert len(direct) > 30
    for requirement in direct:
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_what_is_installed_is_what_is_locked() -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    # The environment's own folder alone: setuptools puts the packages that it vendors on sys.path, once it is imported.
    environment = [sysconfig.get_path("purelib")]
    installed: dict[str, str] = {
        canonicalize_name(d.metadata["Name"]): d.version for d in importlib.metadata.distributions(path=environment)
    }
    differing = {name: (version, installed.get(name)) for name, version in locked(python).items()}
    assert {name: pair for name, pair in differing.items() if pair[0] != pair[1]} == {}


def test_pyfarmhash_is_what_tfdv_was_made_with() -> None:
    """FarmHash's results never change; the override in requirements/overrides.txt rests on that."""
    # The examples in BigQuery's documentation of FARM_FINGERPRINT (signed there).
    for text, signed in [
        ("1footrue", -1541654101129638711),
        ("2applefalse", 2794438866806483259),
        ("3true", -4880158226897771312),
    ]:
        assert farmhash.fingerprint64(text) == signed % 2**64
    # pyfarmhash 0.3.2, the newest that TFDV's metadata allows, gave this digest for these texts.
    draw = random.Random(0)
    digest = hashlib.sha256()
    for _ in range(2_000):
        length = draw.randrange(0, 300)
        letters = (draw.choice([draw.randrange(32, 127), draw.randrange(0x100, 0x3000)]) for _ in range(length))
        text = "".join(map(chr, letters))
        digest.update(f"{farmhash.fingerprint64(text)},{farmhash.fingerprint32(text)};".encode())
    assert digest.hexdigest() == "b6d07018c88a2a9db7295a480494d2378e68e94492efa5c1d7c10a4791c8f8f2"
