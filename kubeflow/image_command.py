"""`atelier kubeflow image`."""

import argparse
import shlex
import shutil
import subprocess

from atelier.errors import KubeflowError
from kubeflow import checks
from pipeline.commands.kubeflow_verbs import FOLDER
from pipeline.config import config

ENGINES = ("docker", "podman", "buildah")
"""What can build the image; the first that is there is taken."""


def run(options: argparse.Namespace) -> int:
    """Prints the commands that build and push the image or, with `run`, builds it and says how to push it.

    Raises:
      ConfigError: the configuration cannot be read.
      KubeflowError: it names no image, nothing here can build one, or the build failed.
    """
    image = config.load(options.config, options.set).kubeflow.image
    _check(image)
    if not options.run:
        engine = next(filter(shutil.which, ENGINES), ENGINES[0])
        print(shlex.join(build_command(engine, image, gpu=options.gpu)))
        print(shlex.join([engine, "push", image]))
        return 0
    engine = working_engine()
    build = build_command(engine, image, gpu=options.gpu)
    print(shlex.join(build), flush=True)
    code = subprocess.run(build, check=False).returncode
    if code:
        raise KubeflowError(f"{engine} could not build {image} (exit code {code}): its own lines above say why")
    print(f"{image} is built; to push it: {shlex.join([engine, 'push', image])}")
    return 0


def build_command(engine: str, image: str, *, gpu: bool) -> list[str]:
    """From the root of the source. The platform is named for machines with other processors: TFX has no other wheels.

    Args:
      engine: one of `ENGINES`.
      image: name and tag.
      gpu: with CUDA's libraries.
    """
    variant = ["--build-arg", "GPU=1"] if gpu else []
    file = f"{FOLDER}/image/Dockerfile"
    return [engine, "build", "--platform", "linux/amd64", "--file", file, "--tag", image, *variant, "."]


def working_engine() -> str:
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
