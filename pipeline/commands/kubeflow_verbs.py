"""`atelier kubeflow`: the arguments of its verbs; the work is in the folder `kubeflow`, which is not installed."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from atelier.errors import KubeflowError
from pipeline import source_tree

FOLDER = "kubeflow"
"""Its name belongs to another distribution on PyPI, so it is not installed."""
_OF_THE_EXTRA = ("kfp", "celpy")


def add(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", verb: Callable[..., argparse.ArgumentParser]
) -> None:
    """Adds compile, replay, submit and image to `verbs`, each made by `verb`."""
    compiled = verb(
        verbs,
        "compile",
        _command("compile"),
        "write the pipeline as a specification that Kubeflow Pipelines or Vertex AI runs",
        "atelier kubeflow compile --config configs/vertex.yaml --output vertex.json",
    )
    _add_config(compiled)
    compiled.add_argument("--output", required=True, metavar="FILE", type=Path, help="ends in .json, .yaml or .yml")

    replayed = verb(
        verbs,
        "replay",
        _command("replay"),
        "execute a compiled specification on this machine, each node as the cluster would",
        "atelier kubeflow replay vertex.json --root output/replay",
    )
    replayed.add_argument("spec", metavar="SPEC", type=Path, help="what compile has written")
    replayed.add_argument("--root", required=True, metavar="DIR", type=Path, help="for artifacts and logs")
    _add_parameters(replayed)

    submitted = verb(
        verbs,
        "submit",
        _command("submit"),
        "compile, and start a run on Vertex AI or Kubeflow Pipelines",
        "atelier kubeflow submit --config configs/vertex.yaml --parameter min_accuracy=0.95",
    )
    _add_config(submitted)
    _add_parameters(submitted)

    image = verb(
        verbs,
        "image",
        _command("image"),
        "print or run the command that builds the containers' image",
        "atelier kubeflow image --config configs/vertex.yaml --run",
    )
    _add_config(image)
    image.add_argument("--gpu", action="store_true", help="with CUDA's libraries")
    image.add_argument("--run", action="store_true", help="runs it; else it is printed only")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", type=Path, help="as configs/vertex.yaml")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any value of the config")


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="of the run: data_root, schema_file, train_args, min_accuracy or max_accuracy_drop",
    )


def require(needed: Mapping[str, tuple[str, str]]) -> None:
    """Checks that the configuration says what cannot be done without.

    Args:
      needed: by the key: its value, and what it means.

    Raises:
      KubeflowError: names the first key that is missing, and how to give it.
    """
    for key, (value, meaning) in needed.items():
        if not value:
            raise KubeflowError(f"{key} is missing: {meaning}; give it in the file or by --set {key}=...")


def parameters(texts: Sequence[str]) -> dict[str, str]:
    """Values by name, from what `--parameter` was given.

    Raises:
      KubeflowError: one is not of the form NAME=VALUE.
    """
    given = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise KubeflowError(f"--parameter {text}: expected NAME=VALUE, as in min_accuracy=0.95")
        given[name] = value
    return given


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """`kubeflow/<name>_command.py`, not imported before it is called."""

    def run(options: argparse.Namespace) -> int:
        try:
            return source_tree.module(FOLDER, f"{name}_command").run(options)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in _OF_THE_EXTRA:
                raise
            raise KubeflowError(
                f"{missing} is not installed; it comes with the extra kfp: pip install .[kfp]"
            ) from None

    return run
