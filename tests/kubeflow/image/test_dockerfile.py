"""The Dockerfile and what it copies, without an engine: its lists against the environment and the lock files.

tools/try_image.sh builds it.
"""

import fnmatch
import importlib.metadata
import re
import sysconfig
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deferred import deferred_imports

with deferred_imports():
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KUBEFLOW_TFX_CMD

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "kubeflow/image/Dockerfile").read_text()
LINES = re.sub(r"\\\n\s*", "", re.sub("(?m)^#.*\n", "", DOCKERFILE)).splitlines()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def read_arguments(instruction: str) -> list[str]:
    return [line.split(None, 1)[1] for line in LINES if line.startswith(f"{instruction} ")]


def read_names(file: str) -> set[str]:
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)", (ROOT / file).read_text())
    return {str(canonicalize_name(name)) for name in found}


def list_needed(name: str, extras: tuple[str, ...]) -> set[str]:
    """All that a distribution needs on this platform, itself included, by what is installed."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    open_ends = [(name, extras)]
    while open_ends:
        end = open_ends.pop()
        if end in seen:
            continue
        seen.add(end)
        for line in importlib.metadata.requires(end[0]) or []:
            requirement = Requirement(line)
            markers = [{"extra": extra} for extra in ("", *end[1])]
            if requirement.marker is None or any(map(requirement.marker.evaluate, markers)):
                open_ends.append((str(canonicalize_name(requirement.name)), tuple(sorted(requirement.extras))))
    return {name for name, _ in seen}


def test_base_and_user():
    assert "BASE=python:3.13-slim-trixie" in read_arguments("ARG")
    assert read_arguments("FROM") == ["${BASE}"]
    assert read_arguments("USER") == ["atelier"]
    assert LINES.index("USER atelier") > max(index for index, line in enumerate(LINES) if line.startswith("RUN"))


def test_the_entrypoint_is_what_tfx_calls():
    assert read_arguments("ENTRYPOINT") == [str(list(KUBEFLOW_TFX_CMD)).replace("'", '"')]


def test_dependencies_come_before_the_code():
    copied = [index for index, line in enumerate(LINES) if line.startswith("COPY") and "/source" in line]
    installed = [index for index, line in enumerate(LINES) if line.startswith("RUN") and "--require-hashes" in line]
    assert len(installed) == 2
    assert max(installed) < min(copied)


def test_everything_installed_from_an_index_is_hashed():
    for command in re.findall(r"pip install [^&;]*", " ".join(read_arguments("RUN"))):
        assert "--require-hashes" in command or command.rstrip().endswith("/opt/atelier/source"), command


def test_no_cache_is_left():
    installs = [line for line in read_arguments("RUN") if "uv pip install" in line]
    assert all("--no-cache" in line for line in installs)
    assert "PIP_NO_CACHE_DIR=1" in " ".join(read_arguments("ENV"))


def test_it_installs_as_the_setup_does():
    setup = (ROOT / "tools/setup.sh").read_text()
    from_source = re.search(r"BUILT_FROM_SOURCE=\((.*)\)", setup)
    assert from_source
    assert set(re.findall(r"--no-binary (\S+)", DOCKERFILE)) == set(from_source[1].split())


def test_what_is_left_out_is_what_only_development_needs():
    locked = read_names("requirements/lock.txt")
    # Not all of sys.path: setuptools, once imported, adds a folder of its own with copies of packages.
    environment = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {str(canonicalize_name(each.name)) for each in environment}
    assert read_names("kubeflow/image/not-in-image.txt") == (locked & installed) - list_needed("atelier-tfx", ("kfp",))


def test_all_packages_of_the_code_are_copied():
    packed = re.search(r"(?m)^PACKAGES = \[(.*)\]", (ROOT / "setup.py").read_text())
    assert packed
    copied = {words.split()[0] for words in read_arguments("COPY")}
    assert {name.strip('" ') for name in packed[1].split(",")} <= copied


def test_what_is_copied_is_sent_to_the_engine():
    for words in read_arguments("COPY"):
        *sources, _ = [word for word in words.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert is_sent(source), source


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "output/demo/run.json",
        "tests/conftest.py",
        "docs/how-to/kubeflow.md",
        "key.json",
        ".env",
        "kubeflow/submit/submit.py",
        "pipeline/__pycache__/cli.cpython-311.pyc",
    ],
)
def test_what_is_not_sent(path):
    assert not is_sent(path)


def is_sent(path: str) -> bool:
    """As .dockerignore is read: the last pattern that fits the path or a folder above it decides."""
    sent = True
    parts = Path(path).parts
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for pattern in IGNORED:
        bare = pattern.removeprefix("!")
        deep = bare.removeprefix("**/")
        candidates = [*parts] if deep != bare else [each for each in above if each.count("/") == bare.count("/")]
        if any(fnmatch.fnmatchcase(candidate, deep) for candidate in candidates):
            sent = pattern.startswith("!")
    return sent


def read_gpu_pins() -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / "kubeflow/image/gpu.txt").read_text()))


def test_the_gpu_variant_has_what_tensorflow_asks_for():
    asked = [Requirement(line) for line in importlib.metadata.requires("tensorflow") or []]
    cuda = [each for each in asked if each.marker and "and-cuda" in str(each.marker)]
    pins = read_gpu_pins()
    assert set(pins) == {each.name for each in cuda}
    assert all(each.specifier.contains(pins[each.name]) for each in cuda)


def test_every_pin_of_the_gpu_variant_has_hashes():
    text = (ROOT / "kubeflow/image/gpu.txt").read_text()
    blocks = re.split(r"(?m)^(?=nvidia-)", text)[1:]
    assert len(blocks) == len(read_gpu_pins())
    assert all("--hash=sha256:" in block for block in blocks)
