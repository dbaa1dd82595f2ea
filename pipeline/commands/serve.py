"""`atelier serve`: a local model server."""

from pathlib import Path

import click

from atelier.layout import MAX_PIXELS
from pipeline.commands.options.exclusive import check_exclusive
from pipeline.commands.options.metrics import check_metrics, metrics_options
from pipeline.commands.options.values import FILE, FiniteRange
from pipeline.terminal.verb import Verb


@click.command(cls=Verb, name="serve", example="atelier serve --models output/demo/serving_model")
@click.option(
    "--models",
    metavar="DIR",
    type=FILE,
    help="Serve the model whose versions are in this folder, or every model of a folder of such folders.",
)
@click.option(
    "--model-config-file", metavar="FILE", type=FILE, help="Serve the models of this ModelServer models.config."
)
@click.option(
    "--name",
    help="Serve the model under this name, where --models holds the versions of one model.  "
    "[default: stylizer for a stylizer, else default]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Listen on this address. The default is reached from this machine only.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8500,
    show_default=True,
    help="Listen on this port. 0 takes a free one.",
)
@click.option(
    "--batching-parameters-file",
    metavar="FILE",
    type=FILE,
    help="Batch requests as this ModelServer file says. Without it requests are not batched.",
)
@click.option(
    "--ssl-config-file",
    metavar="FILE",
    type=FILE,
    help="Encrypt with the keys in this ModelServer file. Without it connections are plain text.",
)
@click.option(
    "--max-message-mb",
    metavar="MB",
    type=click.IntRange(1, 2047),
    default=64,
    show_default=True,
    help="Reject requests that are larger. gRPC's own limit is 2047.",
)
@click.option(
    "--max-pixels",
    metavar="N",
    type=click.IntRange(min=1),
    default=MAX_PIXELS,
    show_default=True,
    help="Reject images whose header names more pixels.",
)
@click.option(
    "--file-system-poll-wait-seconds",
    "poll_seconds",
    metavar="S",
    type=FiniteRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Look for new versions once in this many seconds.",
)
@metrics_options
@click.pass_context
def command(
    context: click.Context,
    models: Path | None,
    model_config_file: Path | None,
    name: str | None,
    host: str,
    port: int,
    batching_parameters_file: Path | None,
    ssl_config_file: Path | None,
    max_message_mb: int,
    max_pixels: int,
    poll_seconds: float,
    metrics_port: int | None,
    metrics_host: str | None,
) -> None:
    """Serve models on this machine.

    The server answers TensorFlow Serving's gRPC calls. It is for laptops, tests and CI; in production run TensorFlow
    Serving itself.
    """
    check_exclusive(context, "models", "model_config_file", required=True)
    check_metrics(context)
    if name is not None and model_config_file:
        raise click.UsageError("--name is for --models; a models.config names its models itself.", context)

    from pipeline.commands.work import serve_models

    serve_models.serve_models(
        models,
        model_config_file,
        name,
        host=host,
        port=port,
        batching_file=batching_parameters_file,
        ssl_file=ssl_config_file,
        max_message_mb=max_message_mb,
        max_pixels=max_pixels,
        poll_seconds=poll_seconds,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )
