"""`atelier kubeflow image`: the command that it prints, and what becomes of it, with made-up engines on the PATH."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from atelier.errors import KubeflowError
from kubeflow import checks
from kubeflow.image.build import ENGINES
from pipeline import cli

ROOT = Path(__file__).parents[3]
IMAGE = "europe-docker.pkg.dev/project/atelier/atelier:0.1.0"
BUILD = f"build --platform linux/amd64 --file kubeflow/image/Dockerfile --tag {IMAGE} ."


@dataclass(frozen=True)
class Done:
    """What a command printed and returned."""

    returncode: int
    stdout: str
    stderr: str


class Machine:
    """A PATH that holds only the engines that a test puts there, each of which notes its calls."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.bin, self.notes, self.capture = folder / "bin", folder / "calls", capture
        self.bin.mkdir()

    def install(self, engine: str, info: int = 0, build: int = 0) -> None:
        """Exit codes of `info` and of all else."""
        script = (
            f'#!/bin/sh\necho "{engine} $*" >>{self.notes}\ncase $1 in info) exit {info} ;; *) exit {build} ;; esac\n'
        )
        (self.bin / engine).write_text(script)
        (self.bin / engine).chmod(0o755)

    def run_image(self, *arguments: str, image: str = IMAGE) -> Done:
        command = ["kubeflow", "image", "--config", "configs/vertex.yaml", "--set", f"kubeflow.image={image}"]
        code = cli.main([*command, *arguments])
        return Done(code, *self.capture.readouterr())

    @property
    def calls(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Machine:
    machine = Machine(tmp_path, capfd)
    monkeypatch.setenv("PATH", str(machine.bin))
    monkeypatch.chdir(ROOT)
    return machine


def read_error(done: Done) -> str:
    assert done.returncode == 1
    assert done.stderr.startswith("atelier: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_it_prints_what_builds_and_what_pushes(machine):
    done = machine.run_image()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"docker {BUILD}\ndocker push {IMAGE}\n"


def test_the_gpu_variant_is_a_build_argument(machine):
    assert "--build-arg GPU=1 ." in machine.run_image("--gpu").stdout


@pytest.mark.parametrize("engine", ENGINES)
def test_it_names_the_engine_that_is_there(machine, engine):
    machine.install(engine)
    assert machine.run_image().stdout == f"{engine} {BUILD}\n{engine} push {IMAGE}\n"
    assert machine.calls == []


@pytest.mark.parametrize("engine", ENGINES)
def test_run_builds_and_says_how_to_push(machine, engine):
    machine.install(engine)
    done = machine.run_image("--run")
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.calls == [f"{engine} info", f"{engine} {BUILD}"]
    assert done.stdout.endswith(f"{IMAGE} is built; to push it: {engine} push {IMAGE}\n")


def test_run_passes_by_a_docker_without_its_daemon(machine):
    machine.install("docker", info=1)
    machine.install("podman")
    assert machine.run_image("--run", "--gpu").returncode == 0
    assert machine.calls[-1].startswith("podman build")
    assert "--build-arg GPU=1" in machine.calls[-1]


def test_run_without_any_engine(machine):
    assert "none of docker, podman, buildah is on the PATH" in read_error(machine.run_image("--run"))


def test_run_with_an_engine_that_does_not_work(machine):
    machine.install("docker", info=1)
    assert "docker is here, but `docker info` fails: start its daemon" in read_error(machine.run_image("--run"))


def test_a_build_that_fails(machine):
    machine.install("docker", build=17)
    assert f"docker could not build {IMAGE} (exit code 17)" in read_error(machine.run_image("--run"))


def test_no_image_is_named(machine):
    assert "kubeflow.image is missing" in read_error(machine.run_image(image='""'))


@pytest.mark.parametrize("image", ["Atelier:1", "a b", "--privileged", "host/:1"])
def test_invalid_image_names_are_rejected(machine, image):
    assert f"kubeflow.image is '{image}'" in read_error(machine.run_image(image=image))


@pytest.mark.parametrize("image", ["atelier", "localhost:5000/a/b_c:1.0-rc", "r.example/a@sha256"])
def test_image_names_are_checked(image):
    with contextlib.nullcontext() if "@" not in image else pytest.raises(KubeflowError, match="HOST/FOLDER/NAME:TAG"):
        checks.check_image(image, built=True)
