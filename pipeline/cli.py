"""`atelier`: the command line.

Exit codes: 0 done; 1 a gate refused, or the input was bad (one line on standard error says why);
2 wrong usage; 130, 143 or 129 stopped by Ctrl-C, SIGTERM or a closed terminal. Nothing heavy is imported
before a verb needs it.
"""

import argparse
import io
import math
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from atelier import loopback
from atelier.errors import AtelierError
from atelier.versions import parse_argument
from pipeline import source_tree, stopping
from pipeline.commands import kubeflow_verbs

_STANDARD_OUTPUT = Path("standard output")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no UTF-8
    parser = _parser()
    options = parser.parse_args(arguments)
    loopback.bypass_proxies()
    try:
        with stopping.raising():
            code = options.verb(options)
            return code if _flush_output() else 1
    except KeyboardInterrupt as stop:
        print(f"atelier: stopped{_after_a_stop(options)}", file=sys.stderr)
        return stopping.exit_code(stop)
    except AtelierError as error:
        text = str(error).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        print(f"atelier: {text}", file=sys.stderr)
        return error.exit_code
    except Exception as error:  # noqa: BLE001  # a bug is raised again
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            _drop_output()
            return 128 + signal.SIGPIPE
        return _tell_disk_error(error, _output(options))


def _server(text: str) -> str:
    from serving.client.target import parse_argument  # with the client comes gRPC

    return parse_argument(text)


def _tell_disk_error(error: Exception, place: Path) -> int:
    """Tells an error of the disk in a line; raises any other again."""
    from pipeline import disk_errors

    line = disk_errors.explain(error, place)
    if not line:
        raise error
    print(f"atelier: {line}", file=sys.stderr)
    _flush_output()
    return 1


def _flush_output() -> bool:
    """Writes what is left to standard output, which the shell may have opened on a full disk; whether that went well.

    Raises:
      BrokenPipeError: nobody reads it any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        _tell_disk_error(error, _STANDARD_OUTPUT)
        return False
    return True


def _output_is_closed() -> bool:
    """Whether whoever read standard output has gone, as `head` does when it has seen enough."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _output(options: argparse.Namespace) -> Path:
    """Where the verb writes to."""
    given = (getattr(options, name, None) for name in ("output", "root", "catalog"))
    return next((Path(path) for path in given if path), _STANDARD_OUTPUT)


def _drop_output() -> None:
    """Lets what is still to be written to standard output go nowhere, instead of failing at the process's end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _after_a_stop(options: argparse.Namespace) -> str:
    """What a stopped verb leaves, and what its next run does."""
    return {
        _run: "; the next run into the same folder continues after the last finished node",
        _ingest: "; no data set was written, and the next run starts from the beginning",
        _render: "; finished images stay, and the next run renders the others",
    }.get(options.verb, "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atelier", description="From a folder of pictures to a gated, pushed SavedModel and TFLite file."
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    run = _verb(
        verbs,
        "run",
        _run,
        "run the pipeline on this machine",
        "atelier run --config configs/photos.yaml --set trainer.head_epochs=5",
    )
    run.add_argument("--config", required=True, metavar="FILE", type=Path, help="YAML; only differences from defaults")
    run.add_argument("--data", metavar="DIR", help="labelled pictures or TFRecords (data.source)")
    run.add_argument("--output", metavar="DIR", type=Path, help="default: output/<the config's name>")
    run.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any value of the config")

    ingest = _verb(
        verbs,
        "ingest",
        _ingest,
        "labelled pictures to TFRecords",
        "atelier ingest --source pictures/ --output data/",
    )
    ingest.add_argument("--source", required=True, metavar="DIR|mnist|photos", help="class = subfolder")
    ingest.add_argument("--output", required=True, metavar="DIR", type=Path)
    ingest.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="a value of the section ingest")
    _add_beam(ingest)

    render = _verb(
        verbs,
        "render",
        _render,
        "render pictures in the styles of a catalogue",
        "atelier render --content pictures/ --styles builtin --output gallery/ --size 768",
    )
    render.add_argument("--content", required=True, metavar="DIR|photos", help="pictures; photos: three from packages")
    render.add_argument("--styles", required=True, metavar="DIR|CATALOG|builtin", help="pictures, or a catalog.yaml")
    render.add_argument("--output", required=True, metavar="DIR", type=Path)
    render.add_argument("--style", metavar="ID", action="append", default=[], help="only this one; may be repeated")
    render.add_argument("--size", metavar="PIXELS", type=int, help="longer side; default: the styles' own")
    render.add_argument("--strength", metavar="0..1", type=float, action="append", default=[], help="may be repeated")
    render.add_argument("--workers", metavar="N", type=int, help="short for --beam workers=N (default 1)")
    _add_beam(render)
    render.add_argument(
        "--max-bad-fraction",
        metavar="0..1",
        type=_number(float, 0, 1),
        default=0.1,
        help="Exit with 1 if more than this share of the images cannot be rendered (default 0.1).",
    )
    render.add_argument("--format", choices=("jpeg", "png"), default="jpeg")
    render.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="a value of the section style.settings"
    )

    serve = _verb(
        verbs,
        "serve",
        _serve,
        "answer TensorFlow Serving's gRPC calls on this machine; in production run TensorFlow Serving",
        "atelier serve --models output/demo/serving_model",
    )
    served = serve.add_mutually_exclusive_group(required=True)
    served.add_argument("--models", metavar="DIR", type=Path, help="a model's versions, or a folder of such folders")
    served.add_argument("--model-config-file", metavar="FILE", type=Path, help="ModelServer's models.config")
    serve.add_argument("--name", default="default", help="of the model, where --models is one's (default: default)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    serve.add_argument("--port", type=int, default=8500, help="0 takes a free one (default 8500)")
    serve.add_argument(
        "--batching-parameters-file", metavar="FILE", type=Path, help="as ModelServer's; none: no batching"
    )
    serve.add_argument("--ssl-config-file", metavar="FILE", type=Path, help="as ModelServer's; none: plain text")
    serve.add_argument("--max-message-mb", metavar="MB", type=int, default=64, help="of a request (default 64)")
    serve.add_argument(
        "--max-pixels",
        metavar="N",
        type=int,
        default=100_000_000,
        help="of a picture, by its header (default 100000000)",
    )
    serve.add_argument(
        "--file-system-poll-wait-seconds", metavar="S", type=float, default=1.0, help="between looks for new versions"
    )

    predict = _verb(
        verbs,
        "predict",
        _predict,
        "classify pictures through a server or a TFLite file",
        "atelier predict pictures/ --target localhost:8500 --top 3",
    )
    predict.set_defaults(wrong_usage=predict.error)
    predict.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="files, and folders of files")
    asked = predict.add_mutually_exclusive_group()
    asked.add_argument(
        "--target",
        metavar="HOST:PORT",
        type=_server,
        help="TensorFlow Serving's, or atelier serve's: localhost:8500",
    )
    asked.add_argument("--tflite", metavar="FILE", type=Path, help="instead of a server: a pushed model.tflite")
    predict.add_argument("--top", metavar="K", type=_number(int, 1), default=1, help="classes to name (default 1)")
    predict.add_argument("--batch", metavar="N", type=_number(int, 1), help="pictures a call (default 32)")
    predict.add_argument(
        "--as-is", action="store_true", help="sends originals; else larger ones are scaled down as in the training"
    )
    predict.add_argument("--json", action="store_true", help="a list on standard output instead of a table")
    server = predict.add_argument_group("with a server")
    server.add_argument("--model", metavar="NAME", help="default: default, as ModelServer's")
    versions = server.add_mutually_exclusive_group()
    versions.add_argument("--version", metavar="N", type=parse_argument, help="default: the newest")
    versions.add_argument("--label", help="of a version, such as stable")
    server.add_argument(
        "--deadline", metavar="SECONDS", type=_number(float, 0.001, 86400), help="of each call (default 30)"
    )
    server.add_argument("--gzip", action="store_true", help="compresses what is sent")
    server.add_argument("--tls", action="store_true", help="encrypts; --ca and --cert imply it")
    server.add_argument("--ca", metavar="FILE", type=Path, help="PEM: who signed the server's certificate")
    server.add_argument("--cert", metavar="FILE", type=Path, help="PEM: the client's certificate, if it is asked for")
    server.add_argument("--key", metavar="FILE", type=Path, help="PEM: the private key of --cert")
    server.add_argument(
        "--max-message-mb", metavar="MB", type=_number(int, 1, 2047), help="of a request or an answer (default 64)"
    )

    styles = verbs.add_parser("styles", help="catalogues of styles", description="Catalogues of styles.")
    add = _verb(
        styles.add_subparsers(metavar="VERB", required=True),
        "add",
        _add_style,
        "write a picture into a catalogue",
        "atelier styles add waves.jpg --title 'The great wave' --licence 'Public domain' --catalog styles/catalog.yaml",
    )
    add.add_argument("file", metavar="FILE", type=Path, help="the picture; it is copied beside the catalogue")
    add.add_argument("--catalog", metavar="FILE", type=Path, default=Path("styles/catalog.yaml"))
    add.add_argument("--title", required=True)
    add.add_argument("--licence", required=True, help="as the source states it, or its SPDX identifier")
    add.add_argument("--artist", default="")
    add.add_argument("--year", default="")
    add.add_argument("--source", default="", help="where it is from: a URL, a museum")
    add.add_argument("--id", help="default: made of the title")

    kubeflow = verbs.add_parser(
        "kubeflow",
        help="Kubeflow Pipelines and Vertex AI",
        description="The same pipeline on Kubeflow Pipelines and Vertex AI.",
    )
    kubeflow_verbs.add(kubeflow.add_subparsers(metavar="VERB", required=True), _verb)

    bench = _verb(
        verbs,
        "bench",
        _bench,
        "measure speed, beside what one would do without Atelier",
        "atelier bench train ingest",
    )
    bench.add_argument("names", metavar="NAME", nargs="*", help="as docs/performance.md lists them; none: all of them")
    bench.add_argument("--output", metavar="DIR", type=Path, default=Path("output"), help="for bench.json")
    bench.set_defaults(wrong_usage=bench.error)
    return parser


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, function: object, text: str, example: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"example: {example}")
    verb.set_defaults(verb=function)
    return verb


def _add_beam(verb: argparse.ArgumentParser) -> None:
    text = "a value of the section beam, as in runner=dask; may be repeated"
    verb.add_argument("--beam", metavar="KEY=VALUE", action="append", default=[], help=text)


def _number(kind: Callable[[str], float], least: float, most: float = math.inf) -> Callable[[str], float]:
    """A type of arguments: a number from `least` to `most`."""

    def number(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"{text}: expected {least} " + ("or more" if most == math.inf else f"to {most}")
            )
        return value

    return number


def _run(options: argparse.Namespace) -> int:
    from pipeline.config import config

    settings = config.load(options.config, options.set)
    if options.data:
        settings = settings.with_source(options.data)

    from pipeline import local_runner
    from pipeline.config import file_checks
    from pipeline.console import Console

    file_checks.check_files(settings)
    output = options.output or Path("output", settings.name)
    outcome = local_runner.run(settings, output, Console())
    print(local_runner.summary(outcome, output))
    for reason in outcome.result["reasons"]:
        print(f"atelier: {reason}", file=sys.stderr)
    return 0 if outcome.passed else 1


def _ingest(options: argparse.Namespace) -> int:
    from pipeline.config import config

    settings = config.load_ingest(options.set)
    beam = config.load_beam(options.beam)

    from pipeline.beam import beam_args
    from pipeline.console import Console
    from pipeline.ingest import ingest

    with beam_args.reaching(beam), Console().bar(f"ingesting {options.source}") as progress:
        report = ingest.ingest(options.source, options.output, settings, beam_args.of(beam), progress)
    print(ingest.summary(report, options.output))
    return 0


def _render(options: argparse.Namespace) -> int:
    from pipeline.config import config

    overrides = config.load_rendering(options.set).model_dump(mode="json", exclude_unset=True)
    if options.workers is not None and options.workers < 1:
        raise config.ConfigError(f"--workers {options.workers}: expected at least 1")
    beam = config.load_beam([*([f"workers={options.workers}"] if options.workers else []), *options.beam])
    if options.size is not None and not 32 <= options.size <= 32768:
        raise config.ConfigError(f"--size {options.size}: expected 32 to 32768 pixels")
    for strength in options.strength:
        if not 0 <= strength <= 1:
            raise config.ConfigError(f"--strength {strength}: expected 0 (the content) to 1 (the preset in full)")

    from pipeline.commands import render_command
    from pipeline.console import Console

    report = render_command.run(
        options.content,
        options.styles,
        options.output,
        Console(),
        overrides=overrides,
        ids=options.style,
        size=options.size,
        strengths=options.strength,
        beam=beam,
        picture_format=options.format,
        max_bad_fraction=options.max_bad_fraction,
    )
    print(report)
    return 0


def _serve(options: argparse.Namespace) -> int:
    from pipeline.config.config import ConfigError

    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port {options.port}: expected 0 to 65535")
    if options.max_message_mb < 1 or options.max_message_mb > 2047:
        raise ConfigError(f"--max-message-mb {options.max_message_mb}: expected 1 to 2047, more is beyond gRPC")
    if options.max_pixels < 1:
        raise ConfigError(f"--max-pixels {options.max_pixels}: expected at least 1")
    if not options.file_system_poll_wait_seconds > 0:
        raise ConfigError(f"--file-system-poll-wait-seconds {options.file_system_poll_wait_seconds}: expected above 0")

    from pipeline.commands import serve_command

    serve_command.run(
        options.models,
        options.model_config_file,
        options.name,
        host=options.host,
        port=options.port,
        batching_file=options.batching_parameters_file,
        ssl_file=options.ssl_config_file,
        max_message_mb=options.max_message_mb,
        max_pixels=options.max_pixels,
        poll_seconds=options.file_system_poll_wait_seconds,
    )
    return 0


def _predict(options: argparse.Namespace) -> int:
    if (options.cert is None) != (options.key is None):
        options.wrong_usage("--cert and --key go together")
    of_servers = ("model", "version", "label", "deadline", "gzip", "tls", "ca", "cert", "max_message_mb")
    if options.tflite and (given := [name for name in of_servers if getattr(options, name)]):
        options.wrong_usage(f"--{given[0].replace('_', '-')} is for a server, not for --tflite")

    from pipeline.commands import predict_command

    return predict_command.run(options)


def _add_style(options: argparse.Namespace) -> int:
    from components.style_catalog import adding

    style = adding.add(
        options.catalog,
        options.file,
        title=options.title,
        licence=options.licence,
        artist=options.artist,
        year=options.year or None,
        source=options.source,
        id=options.id,
    )
    print(f"{options.catalog}: {style.id}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    return source_tree.module("benchmarks", "bench_command").run(options)


if __name__ == "__main__":
    sys.exit(main())
