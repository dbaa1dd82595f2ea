"""`atelier`: the command line.

Exit codes: 0 done; 1 a gate refused, or the input was bad (one line on standard error says why);
2 wrong usage. Nothing heavy is imported before a verb needs it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.verb(options)
    except KeyboardInterrupt:
        print("atelier: stopped; the next run goes on from the finished nodes", file=sys.stderr)
        return 1
    except Exception as error:
        if not _is_users_to_mend(error):
            raise
        print(f"atelier: {error}", file=sys.stderr)
        return 1


def _is_users_to_mend(error: Exception) -> bool:
    """Errors whose message is written for the user; their classes lie in modules that may not be loaded."""
    names = {"ConfigError", "DataError", "IngestError"}
    return any(base.__name__ in names for base in type(error).__mro__)


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
    return parser


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, function: object, text: str, example: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"example: {example}")
    verb.set_defaults(verb=function)
    return verb


def _run(options: argparse.Namespace) -> int:
    from pipeline import config

    settings = config.load(options.config, options.set)
    if options.data:
        settings = settings.with_source(options.data)

    from pipeline import local_runner
    from pipeline.console import Console

    output = options.output or Path("output", settings.name)
    outcome = local_runner.run(settings, output, Console())
    print(local_runner.summary(outcome, output))
    for reason in outcome.result["reasons"]:
        print(f"atelier: {reason}", file=sys.stderr)
    return 0 if outcome.passed else 1


def _ingest(options: argparse.Namespace) -> int:
    from pipeline import config

    settings = config.ingest(options.set)

    from pipeline import ingest
    from pipeline.console import Console

    with Console().bar(f"ingesting {options.source}") as progress:
        report = ingest.ingest(options.source, options.output, settings, config.BEAM_ARGS, progress)
    print(ingest.summary(report, options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
