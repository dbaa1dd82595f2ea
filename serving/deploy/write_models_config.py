"""Writes `models.config` for ModelServer from the versions that a run has pushed.

    python -m serving.deploy.write_models_config output/demo/serving_model

gives both labels to the newest version. `--stable`, `--canary` and `--load` choose others. A version that none of them
names is not loaded. The newest version of a stylizer that was pushed beside, to `stylizer`, is served, too.
"""

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from atelier.files import versions
from atelier.layout import ASSETS_EXTRA, STYLIZATION_FILE, STYLIZER

MODELS_CONFIG = Path(__file__).with_name("models.config")


def format_models_config(
    *,
    stable: int,
    canary: int,
    load: Collection[int] = (),
    name: str = "default",
    base_path: str = "/models/default",
    stylizer: int | None = None,
    stylizer_base_path: str = "/models/stylizer",
) -> str:
    """Returns the text of a `models.config`.

    Args:
      stable: the version that the label `stable` stands for.
      canary: the version that the label `canary` stands for; without a canary the same as `stable`.
      load: versions to load beside these, without a label.
      name: of the model.
      base_path: the folder of the versions as ModelServer sees it; absolute.
      stylizer: the version of the stylizer, which both of its labels stand for; None: there is none.
      stylizer_base_path: the folder of the stylizer's versions as ModelServer sees it; absolute.
    """
    models = _format_model(name, base_path, stable, canary, load)
    if stylizer is not None:
        models += _format_model(STYLIZER, stylizer_base_path, stylizer, stylizer)
    return f"model_config_list {{\n{models}}}\n"


def _format_model(name: str, base_path: str, stable: int, canary: int, load: Collection[int] = ()) -> str:
    versions = "".join(f"        versions: {version}\n" for version in sorted({stable, canary, *load}))
    return f"""\
  config {{
    name: "{name}"
    base_path: "{base_path}"
    model_platform: "tensorflow"
    # One by one: a new version takes traffic when this file says so, and no push unloads what a label stands for.
    model_version_policy {{
      specific {{
{versions}      }}
    }}
    version_labels {{ key: "stable" value: {stable} }}
    version_labels {{ key: "canary" value: {canary} }}
  }}
"""


def find_pushed_versions(models: Path) -> list[int]:
    """Returns the versions in `models` that ModelServer would find and that hold a model, lowest first.

    Raises:
      OSError: `models` cannot be listed.
    """
    return [number for number, folder in versions.list_folders(models).items() if (folder / "saved_model.pb").is_file()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; exits with a message if a version is not there."""
    parser = argparse.ArgumentParser(prog="python -m serving.deploy.write_models_config", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "models", type=Path, help="Configure the versions in this folder, such as output/demo/serving_model."
    )
    parser.add_argument(
        "--stable",
        type=versions.parse_argument,
        metavar="VERSION",
        help="Label this version stable. Default: the newest.",
    )
    parser.add_argument(
        "--canary",
        type=versions.parse_argument,
        metavar="VERSION",
        help="Label this version canary. Default: the stable one.",
    )
    parser.add_argument(
        "--load",
        type=versions.parse_argument,
        metavar="VERSION",
        action="append",
        default=[],
        help="Load this version, too, without a label.",
    )
    parser.add_argument(
        "--base-path",
        default="/models/default",
        help="Name this folder of the container as the one with the models. Default: %(default)s.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=MODELS_CONFIG,
        help="Write the configuration into this file. Default: %(default)s.",
    )
    parser.add_argument(
        "--stylizer-base-path",
        default="/models/stylizer",
        help="Name this folder of the container as the one with the stylizer. Default: %(default)s.",
    )
    parser.add_argument("--no-stylizer", action="store_true", help="Leave out the stylizer beside the models.")
    options = parser.parse_args(arguments)

    try:
        pushed = find_pushed_versions(options.models)
        if not pushed and not versions.list_folders(options.models):
            sys.exit(
                f"{options.models}: no version, a numbered folder with saved_model.pb: "
                f"{versions.explain_none(options.models)}"
            )
    except OSError as error:
        sys.exit(f"{options.models}: the folder cannot be listed: {error.strerror}")
    if not pushed:
        sys.exit(f"{options.models}: no version, a numbered folder with saved_model.pb; has a run pushed there?")
    stable = pushed[-1] if options.stable is None else options.stable
    canary = stable if options.canary is None else options.canary
    if missing := {stable, canary, *options.load} - {*pushed}:
        sys.exit(f"{options.models}: no version {min(missing)}; there are {', '.join(map(str, pushed))}")

    # Written beside and renamed: ModelServer, which polls the file, never reads half of it.
    partial = options.output.with_name(f".{options.output.name}.partial")
    stylizer = None if options.no_stylizer else _find_stylizer(options.models)
    text = format_models_config(
        stable=stable,
        canary=canary,
        load=options.load,
        base_path=options.base_path,
        stylizer=stylizer,
        stylizer_base_path=options.stylizer_base_path,
    )
    partial.write_text(text, encoding="utf-8")
    partial.replace(options.output)
    sys.stdout.write(f"{options.output}: stable {stable}, canary {canary}\n")
    if stylizer is not None:
        sys.stdout.write(f"{options.output}: stylizer {stylizer}, at {options.stylizer_base_path}: mount it there\n")


def _find_stylizer(models: Path) -> int | None:
    """Returns the newest version of the stylizer that was pushed beside the models; None if there is none."""
    beside = models.resolve().with_name(STYLIZER)
    if not beside.is_dir():
        return None
    folders = versions.list_folders(beside)
    found = (
        each for each in find_pushed_versions(beside) if (folders[each] / ASSETS_EXTRA / STYLIZATION_FILE).is_file()
    )
    return max(found, default=None)


if __name__ == "__main__":
    main()
