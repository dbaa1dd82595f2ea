"""`atelier kubeflow`: its verbs; the work is in the folder `kubeflow`, which is not installed.

The name of that folder belongs to another distribution on PyPI.
"""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from atelier.errors import KubeflowError
from atelier.files import leftovers
from pipeline import source_tree
from pipeline.commands.options.configuration import add_config_option, add_set_option
from pipeline.commands.options.values import FILE
from pipeline.terminal.verb import Verb

_CONFIG = add_config_option("Read the configuration from this YAML file, such as configs/vertex.yaml.")
_SET = add_set_option("a value of the configuration", "kubeflow.target=kfp")
_PARAMETER = click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a parameter of the run: data_root, schema_file, train_args, min_accuracy or max_accuracy_drop. "
    "Repeat the option for several parameters.",
)
_MODULES_OF_THE_EXTRA = ("kfp", "celpy")


@click.group(name="kubeflow")
def command() -> None:
    """Run the pipeline on Kubeflow Pipelines and Vertex AI."""


@command.command(
    cls=Verb, name="compile", example="atelier kubeflow compile --config configs/vertex.yaml --output vertex.json"
)
@_CONFIG
@_SET
@click.option(
    "--output",
    metavar="FILE",
    type=FILE,
    required=True,
    help="Write the specification to this file, whose name ends in .json, .yaml or .yml.",
)
def compile_(config: Path, overrides: tuple[str, ...], output: Path) -> None:
    """Compile the pipeline to a specification.

    Kubeflow Pipelines and Vertex AI run it.
    """
    from compat.standard_streams import send_to_file
    from pipeline.config import config as configuration

    with _explain_missing_extra():
        compiler = source_tree.load("kubeflow.compile")
        settings = configuration.load(config, overrides)
        # TensorFlow greets on standard error.
        with leftovers.create_scratch("compile") as folder, send_to_file(folder / "log"):
            job = compiler.compile_pipeline(settings, output)
    click.echo(compiler.summarize(job, settings.kubeflow.target))
    click.echo(f"{output}: written")


@command.command(cls=Verb, name="replay", example="atelier kubeflow replay vertex.json --root output/replay")
@click.argument("spec", metavar="SPEC", type=FILE)
@click.option(
    "--root", metavar="DIR", type=FILE, required=True, help="Write artifacts and logs into a new folder below this one."
)
@_PARAMETER
def replay(spec: Path, root: Path, parameters: tuple[str, ...]) -> None:
    """Execute a compiled specification on this machine.

    SPEC is the file that `atelier kubeflow compile` has written. Each node runs as it would on the cluster, in its own
    process.
    """
    with _explain_missing_extra():
        replayer = source_tree.load("kubeflow.replay.replay")
        given = parse_parameters(parameters)
        # Ends the node's processes with this one, even if the shell that started it ignores Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        report = replayer.replay(spec, root, parameters=given, announce=click.echo)
    if report.failure:
        raise KubeflowError(report.failure)
    click.echo(replayer.LIMITS)


@command.command(
    cls=Verb,
    name="submit",
    example="atelier kubeflow submit --config configs/vertex.yaml --parameter min_accuracy=0.95",
)
@_CONFIG
@_SET
@_PARAMETER
def submit(config: Path, overrides: tuple[str, ...], parameters: tuple[str, ...]) -> None:
    """Compile, and start a run or a schedule.

    It prints the name of the run or schedule and, in the last line, its URL.
    """
    from pipeline.config import config as configuration

    with _explain_missing_extra():
        compiler, submission = source_tree.load("kubeflow.compile"), source_tree.load("kubeflow.submit.submit")
        loaded = configuration.load(config, overrides)
        name, url = submission.submit(loaded, parse_parameters(parameters), compiler.compile_pipeline)
    click.echo(f"{name}: {submission.describe(loaded.kubeflow)}")
    click.echo(url)


@command.command(
    cls=Verb,
    name="traffic",
    example="atelier kubeflow traffic --config configs/vertex.yaml --endpoint 1234567890 --share 1=90 --share 2=10 "
    '--why "first canary"',
    after_stop="; the next call finds out what became of a change",
)
@_CONFIG
@_SET
@click.option(
    "--endpoint",
    metavar="ID",
    required=True,
    help="Take the endpoint of Vertex AI with this ID or resource, projects/PROJECT/locations/REGION/endpoints/ID.",
)
@click.option(
    "--share",
    "shares",
    metavar="NAME=PERCENT",
    multiple=True,
    help="Give a deployed model this whole percent of the traffic. NAME is its ID, its version or its display name; "
    "id:NAME is an ID only. Repeat the option until the shares add up to 100. A model that is not named gets none.",
)
@click.option("--why", metavar="TEXT", default="", help="Write the reason into the log.")
@click.option(
    "--history",
    metavar="FILE",
    type=FILE,
    help="Keep the log of the changes in this file.  [default: output/NAME/endpoint-ID.history.jsonl]",
)
def traffic(
    config: Path, overrides: tuple[str, ...], endpoint: str, shares: tuple[str, ...], why: str, history: Path | None
) -> None:
    """Show or change the traffic split of an endpoint of Vertex AI.

    Without --share it prints the deployed models, their shares and the last change. With --share it changes the split
    at once, prints the split before and the way back, and writes who, when, from, to and why into the log. If Vertex AI
    rejects the change, the old split stays, and the error says so.

    Vertex AI's Model Monitoring is for tabular models, so there is nothing to set for an image model.
    `atelier monitor` watches images where TensorFlow Serving or `atelier serve` answers.
    """
    from pipeline.config import config as configuration

    if why and not shares:
        raise click.UsageError("--why goes with --share.")
    with _explain_missing_extra():
        module, share_module = (source_tree.load(f"kubeflow.traffic.{name}") for name in ("traffic", "shares"))
        wanted = share_module.parse_shares(shares) if shares else []
        found = module.Traffic(configuration.load(config, overrides), endpoint, history)
    if settled := found.settle():
        click.echo(f"atelier: a change of {settled.when} by {settled.who} was not ended: {settled.reason}", err=True)
    if wanted:
        before, change = found.change(wanted, why)
        click.echo(f"before: {share_module.describe_split(change.before, before)}")
        click.echo(f"now: {share_module.describe_split(change.after, before)}")
        if way_back := module.describe_way_back(change):
            click.echo(f"to go back: {way_back}")
    else:
        _print_traffic(*found.read())
    click.echo(found.url)


@command.command(cls=Verb, name="image", example="atelier kubeflow image --config configs/vertex.yaml --run")
@_CONFIG
@_SET
@click.option("--gpu", is_flag=True, help="Put CUDA's libraries into the image.")
@click.option("--run", is_flag=True, help="Build the image. By default the commands are printed only.")
def image(config: Path, overrides: tuple[str, ...], gpu: bool, run: bool) -> None:
    """Print or run the command that builds the image of the containers."""
    from pipeline.config import config as configuration

    with _explain_missing_extra():
        builder = source_tree.load("kubeflow.image.build")
        name = configuration.load(config, overrides).kubeflow.image
        if run:
            builder.build(name, gpu=gpu)
        else:
            builder.print_commands(name, gpu=gpu)


def parse_parameters(texts: Sequence[str]) -> dict[str, str]:
    """Returns values by name, from what `--parameter` was given.

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


def _print_traffic(endpoint: Any, last_change: Any) -> None:
    from pipeline.commands.models.tables import print_table

    rows = [
        [model.id, model.version or "-", model.name, model.model, f"{endpoint.split.get(model.id, 0)} %"]
        for model in endpoint.models
    ]
    print_table(("deployed model", "version", "name", "model", "traffic"), rows)
    if endpoint.monitoring_job:
        click.echo(f"Model Monitoring: {endpoint.monitoring_job}")
    if last_change:
        why = f": {last_change.intent.why}" if last_change.intent.why else ""
        click.echo(f"last change: {last_change.when} by {last_change.who}, {last_change.outcome}{why}")


@contextlib.contextmanager
def _explain_missing_extra() -> Iterator[None]:
    """Says how a missing library is installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _MODULES_OF_THE_EXTRA:
            raise
        raise KubeflowError(f"{missing} is not installed; it comes with the extra kfp: pip install .[kfp]") from None
