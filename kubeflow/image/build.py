"""The container image that the nodes of a compiled pipeline run in: the command that builds it."""

import shlex
import shutil
import subprocess

from atelier.errors import KubeflowError
from kubeflow import checks

DOCKERFILE = "kubeflow/image/Dockerfile"

ENGINES = ("docker", "podman", "buildah")
"""What can build the image; the first that is there is taken."""


def print_commands(image: str, *, gpu: bool) -> None:
    """Prints the commands that build and push the image.

    Args:
      image: name and tag.
      gpu: with CUDA's libraries.

    Raises:
      KubeflowError: `image` is missing, or is no name of an image.
    """
    _check(image)
    engine = next(filter(shutil.which, ENGINES), ENGINES[0])
    print(shlex.join(build_command(engine, image, gpu=gpu)))
    print(shlex.join([engine, "push", image]))


def build(image: str, *, gpu: bool) -> None:
    """Builds the image, and prints the command that pushes it.

    Args:
      image: name and tag.
      gpu: with CUDA's libraries.

    Raises:
      KubeflowError: `image` is missing or is no name of an image, nothing here can build it, or the build failed.
    """
    _check(image)
    engine = find_working_engine()
    command = build_command(engine, image, gpu=gpu)
    print(shlex.join(command), flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        raise KubeflowError(f"{engine} could not build {image} (exit code {code}): its own lines above say why")
    print(f"{image} is built; to push it: {shlex.join([engine, 'push', image])}")


def build_command(engine: str, image: str, *, gpu: bool) -> list[str]:
    """From the root of the source. The platform is named for machines with other processors: TFX has no other wheels.

    Args:
      engine: one of `ENGINES`.
      image: name and tag.
      gpu: with CUDA's libraries.
    """
    variant = ["--build-arg", "GPU=1"] if gpu else []
    return [engine, "build", "--platform", "linux/amd64", "--file", DOCKERFILE, "--tag", image, *variant, "."]


def find_working_engine() -> str:
    """The first of `ENGINES` that is on the PATH and works: docker's command is of no use without its daemon.

    Raises:
      KubeflowError: there is none.
    """
    found = [engine for engine in ENGINES if shutil.which(engine)]
    for engine in found:
        if subprocess.run([engine, "info"], capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0:
            return engine
    if found:
        raise KubeflowError(f"{found[0]} is here, but `{found[0]} info` fails: start its daemon, or install another")
    raise KubeflowError(
        f"none of {', '.join(ENGINES)} is on the PATH: install one, or run the printed command elsewhere"
    )


def _check(image: str) -> None:
    if not image:
        raise KubeflowError(
            "kubeflow.image is missing: the name that the image gets in a registry, as in "
            "us-central1-docker.pkg.dev/PROJECT/atelier/atelier:0.1.0; give it in the file, or by --set kubeflow.image="
        )
    checks.check_image(image, built=True)
