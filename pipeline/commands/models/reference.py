"""`atelier models reference`: what drift is measured against."""

import os
from pathlib import Path
from typing import Any

import click

from atelier.layout import ENCODED_IMAGE
from pipeline.commands.models.model_options import find_output, open_registry, read_data_key, where_options
from pipeline.commands.options.values import FILE, Version
from pipeline.terminal.verb import ClientVerb


@click.command(
    cls=ClientVerb,
    name="reference",
    example="atelier models reference 1764202741 --models output/demo/serving_model",
)
@click.argument("version", metavar="VERSION", type=Version())
@click.option(
    "--records",
    metavar="DIR",
    type=FILE,
    help="Take the TFRecords in this folder.  [default: the test split of the run that pushed the version]",
)
@where_options
def command(version: int, records: Path | None, **options: Any) -> None:
    """Write the reference that `atelier monitor` measures drift against.

    The version is run on held-out records of its training data. The reference holds the classes that it names, the
    brightness, contrast, sharpness, size and format of the images, and features of 1,000 of them, but no image. It lies
    in the folder monitor/ beside the folder of --models.
    """
    from compat.standard_streams import send_to_file
    from pipeline.commands.models.version_facts import collect_facts
    from serving.monitor.errors import MonitorError
    from serving.monitor.reference import locate, save
    from serving.registry.pushed_versions import get_version

    models = options["models"]
    pushed = get_version(models, version)
    if records is None:
        with open_registry(options) as registry:
            run = collect_facts(registry)[0][version].run
        records = run.test_examples if run else None
    if records is None:
        raise MonitorError(f"{models}: the test records of version {version} are gone; name others with --records")
    output = find_output(models)
    with send_to_file(Path(os.devnull)):  # TensorFlow greets, whatever one tells it
        from serving.monitor.make_reference import make_reference  # TensorFlow, which takes seconds

        reference = make_reference(pushed, records, read_data_key(output, "image_key", ENCODED_IMAGE))
    file = locate(output, version)
    save(file, reference)
    features = "" if len(reference.features) else "; the version has no signature for features: train it again"
    click.echo(f"{file}: {reference.images} images of {records}{features}")
