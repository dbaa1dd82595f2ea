"""The command line as a process: exit codes, and what it says when something is wrong."""

import importlib.metadata
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from atelier import tfrecord
from pipeline import cli, local_runner
from pipeline.commands import run as run_verb
from pipeline.commands import styles
from pipeline.config import config
from pipeline.records import dataset
from pipeline.terminal import console

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
name: pets
evaluator: {min_accuracy: 0.9, max_accuracy_drop: 0.01}
"""


def run_atelier(*arguments):
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def catch_error(*arguments):
    """The one line that an unsuccessful command leaves."""
    done = run_atelier(*arguments)
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def pets(tmp_path):
    (tmp_path / "pets.yaml").write_text(CONFIG)
    return tmp_path / "pets.yaml"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["run", "ingest"]),
        (["run", "--help"], ["--config", "--data", "--output", "--set", "example: atelier run --config configs/"]),
        (["ingest", "--help"], ["--source", "--output", "--set", "example: atelier ingest --source "]),
    ],
)
def test_help(arguments, words):
    done = run_atelier(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    for word in words:
        assert word in text


def test_the_example_in_the_help_of_run_is_right():
    words = next(line for line in run_atelier("run", "--help").stdout.splitlines() if "example:" in line).split()[3:]
    parsed = run_verb.command.make_context("run", words).params
    assert config.load(ROOT / parsed["config"], parsed["overrides"]).trainer.head_epochs == 5


VERBS = [
    [],
    ["run"],
    ["ingest"],
    ["render"],
    ["serve"],
    ["predict"],
    ["stylize"],
    ["web"],
    ["studio"],
    ["styles"],
    ["styles", "add"],
    ["styles", "train"],
    ["kubeflow"],
    ["kubeflow", "compile"],
    ["kubeflow", "replay"],
    ["kubeflow", "submit"],
    ["kubeflow", "traffic"],
    ["kubeflow", "image"],
    ["bench"],
    ["models"],
    ["models", "list"],
    ["models", "show"],
    ["models", "compare"],
    ["models", "promote"],
    ["models", "reference"],
    ["models", "rollback"],
    ["models", "history"],
    ["ab"],
    ["ab", "report"],
    ["ab", "guard"],
    ["feedback"],
    ["monitor"],
]
GROUPS = [[], ["styles"], ["kubeflow"], ["models"], ["ab"]]


def test_all_verbs_are_in_the_list():
    def walk(command, names, context):
        yield names
        for name in command.list_commands(context) if isinstance(command, click.Group) else ():
            yield from walk(command.get_command(context, name), [*names, name], context)

    with click.Context(cli.cli) as context:
        assert sorted(walk(cli.cli, [], context)) == sorted(VERBS)


def test_servers_that_run_side_by_side_have_ports_of_their_own():
    with click.Context(cli.cli) as context:
        commands = [cli.cli.get_command(context, name) for name in cli.cli.list_commands(context)]
    ports = [option.default for command in commands if command for option in command.params if option.name == "port"]
    assert len(ports) == len(set(ports)) == 4  # serve, web, monitor, studio


def test_help_imports_nothing_heavy_and_has_an_example():
    code = f"""
import contextlib, io, sys
from pipeline import cli
for verb in {VERBS}:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main([*verb, "--help"]) == 0, verb
    assert out.getvalue().startswith("Usage: " + " ".join(["atelier", *verb])), verb
    assert ("example: atelier " in out.getvalue()) == (verb not in {GROUPS}), verb
    heavy = {{
        "tensorflow", "tfx", "keras", "apache_beam", "numpy", "PIL", "pydantic", "rich", "yaml", "grpc",
        "components", "serving", "trainer", "pipeline.config", "kubeflow",
    }}
    assert not heavy & set(sys.modules), (verb, heavy & set(sys.modules))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb[:1] in (["run"], ["predict"], ["kubeflow"])])
def test_a_verb_loads_only_its_own_file(verb):
    code = f"""
import sys
from pipeline import cli
cli.main({[*verb, "--help"]})
print(*sorted(name for name in sys.modules if name.startswith("pipeline.commands.")), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stderr.split() if not name.startswith("pipeline.commands.options")}
    assert loaded == {f"pipeline.commands.{verb[0]}"}


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in GROUPS])
def test_the_example_of_each_verb_can_be_parsed(verb):
    with click.Context(cli.cli) as context:
        command: Any = cli.cli
        for name in verb:
            command = command.get_command(context, name)
    words = shlex.split(command.example)
    assert words[: len(verb) + 1] == ["atelier", *verb]
    command.make_context(verb[-1], words[len(verb) + 1 :])


def test_the_version_is_that_of_the_installed_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"atelier {importlib.metadata.version('atelier-tfx')}\n"


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("atelier ", {"run", "ingest", "kubeflow"}),
        ("atelier render --fo", {"--format"}),
        ("atelier kubeflow re", {"replay"}),
    ],
)
def test_the_shell_completes_verbs_and_options(words, completions, monkeypatch, capsys):
    monkeypatch.setenv(cli.COMPLETION, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert cli.main([]) == 0
    assert completions <= {line.partition(",")[2] for line in capsys.readouterr().out.splitlines()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["render", "--size", "10"], "'--size': 10 is not in the range 32<=x<=32768"),
        (["render", "--strength", "2"], "'--strength': 2.0 is not in the range 0<=x<=1"),
        (["render", "--strength", "nan"], "'--strength': nan is not a finite number"),
        (["render", "--workers", "0"], "'--workers': 0 is not in the range x>=1"),
        (["render", "--format", "webp"], "'--format': 'webp' is not one of 'jpeg', 'png'"),
        (["serve", "--port", "70000"], "'--port': 70000 is not in the range 0<=x<=65535"),
        (["serve", "--max-message-mb", "2048"], "'--max-message-mb': 2048 is not in the range"),
        (["serve", "--max-pixels", "0"], "'--max-pixels': 0 is not in the range x>=1"),
        (["serve", "--file-system-poll-wait-seconds", "0"], "wait-seconds': 0.0 is not in the range x>0"),
        (["serve", "--file-system-poll-wait-seconds", "inf"], "inf is not a finite number"),
        (["serve"], "Give --models or --model-config-file."),
        (["serve", "--models", "a", "--model-config-file", "b"], "--models and --model-config-file exclude each other"),
    ],
)
def test_values_out_of_range_are_wrong_usage(arguments, words, capsys):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["run"],
        ["run", "--config"],
        ["run", "--config", "configs/mnist.yaml", "--epochs", "3"],
        ["ingest", "--source", "mnist"],
    ],
)
def test_wrong_usage_exits_with_2_and_shows_the_usage(arguments):
    done = run_atelier(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: atelier")
    assert "Traceback" not in done.stderr


def test_a_missing_config_is_told(tmp_path):
    assert catch_error("run", "--config", tmp_path / "none.yaml") == (
        f"atelier: {tmp_path}/none.yaml: no such file; the ready ones are in configs/"
    )


def test_an_unknown_key_is_told(pets):
    assert catch_error("run", "--config", pets, "--set", "trainer.epochs=3") == (
        f"atelier: {pets}: unknown key trainer.epochs; did you mean trainer.head_epochs?"
    )
    assert catch_error("ingest", "--source", "mnist", "--output", "x", "--set", "shard=3") == (
        "atelier: --set: unknown key ingest.shard; did you mean ingest.shards?"
    )


@pytest.mark.slow
def test_no_data_at_all_is_told(pets, tmp_path):
    assert catch_error("run", "--config", pets, "--output", tmp_path / "out") == (
        "atelier: no data is given: give --data DIR, or data.source in the configuration"
    )


@pytest.mark.slow
def test_a_missing_folder_is_told(pets, tmp_path):
    missing = tmp_path / "missing"
    line = catch_error("run", "--config", pets, "--data", missing, "--output", tmp_path / "out")
    assert line.startswith(f"atelier: {missing}: no such folder")
    for remedy in ("labeled images", "mnist", "photos"):
        assert remedy in line
    assert catch_error("ingest", "--source", missing, "--output", tmp_path / "out2").startswith(
        f"atelier: {missing}: no "
    )


@pytest.mark.slow
def test_an_empty_folder_and_one_without_images_are_told(pets, tmp_path):
    folder = tmp_path / "images #1"  # in YAML the rest would be a comment
    folder.mkdir()
    facts = (f"atelier: {folder}: no images found", f"{folder}/CLASS/IMAGE", f"{folder}/train/CLASS/IMAGE")
    run = ("run", "--config", pets, "--data", folder, "--output", tmp_path / "out")
    assert all(fact in catch_error(*run) for fact in facts)
    (folder / "notes.txt").write_text("no image, and no TFRecord")
    assert all(fact in catch_error(*run) for fact in facts)
    assert all(fact in catch_error("ingest", "--source", folder, "--output", tmp_path / "out2") for fact in facts)


@pytest.mark.slow
def test_an_output_that_is_a_file_is_reported(pets, tmp_path):
    assert catch_error("run", "--config", pets, "--data", tmp_path, "--output", pets) == (
        f"atelier: {pets}: cannot be used as the output folder: File exists"
    )
    assert catch_error("run", "--config", pets, "--data", tmp_path, "--output", pets / "below") == (
        f"atelier: {pets}/below: cannot be used as the output folder: Not a directory"
    )


@pytest.mark.slow
def test_records_with_other_keys_are_told_with_those_there(pets, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    with (folder / "a.tfrecord").open("wb") as stream:
        tfrecord.write(stream, tfrecord.serialize_example({"image": b"png", "label": 3}))
    output = tmp_path / "out"
    line = catch_error("run", "--config", pets, "--data", folder, "--output", output, "--set", "data.image_key=photo")
    assert line == (
        f"atelier: {folder}/a.tfrecord: its records have no photo; set data.image_key to one of: image, label"
    )
    assert sorted(path.name for path in output.iterdir()) == ["run.log"]


def make_outcome(**changes):
    result = {
        "blessed": True,
        "failure": "",
        "reasons": [],
        "metrics": {},
        "tflite": {},
        "tflite_push": {},
        "gates": {},
        "pushed": {},
        "gallery": None,
    }
    return local_runner.Outcome(result | changes, Path("report.html"))


@pytest.fixture
def run(pets, monkeypatch, capsys):
    """Runs the command line where the pipeline ends as given; its code, its reasons, and what the pipeline got."""

    def run_with(ended, *arguments):
        got: dict[str, object] = {}

        def run_pipeline(settings, output, _console):
            got.update(settings=settings, output=output)
            if isinstance(ended, BaseException):
                raise ended
            return ended

        monkeypatch.setattr(local_runner, "run", run_pipeline)
        monkeypatch.setattr(console, "Console", lambda: None)  # it would keep a copy of this process's stderr
        code = cli.main(["run", "--config", str(pets), *arguments])
        return code, capsys.readouterr().err.splitlines(), got

    return run_with


def test_a_run_that_passed_exits_with_0(run):
    code, reasons, got = run(make_outcome(), "--data", "images", "--set", "image.size=64")
    assert (code, reasons) == (0, [])
    assert got["settings"].data.source == "images"
    assert got["settings"].image.size == 64
    assert got["output"] == Path("output/pets")


def test_a_refusing_gate_exits_with_1_and_its_reasons(run):
    reasons = ["Evaluator: accuracy 0.7000 is below 0.9000 (all images)", "another"]
    code, told, got = run(make_outcome(blessed=False, reasons=reasons), "--output", "elsewhere")
    assert code == 1
    assert told == [f"atelier: {reason}" for reason in reasons]
    assert got["output"] == Path("elsewhere")


def test_a_failure_after_the_gates_exits_with_1(run):
    code, told, _ = run(make_outcome(failure="Pusher: disk full", reasons=["Pusher: disk full"]))
    assert (code, told) == (1, ["atelier: Pusher: disk full"])


def test_stopping_by_hand_is_no_traceback(run):
    code, told, _ = run(KeyboardInterrupt())
    after = "the next run into the same folder continues after the last finished node"
    assert (code, told) == (130, [f"atelier: stopped; {after}"])


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_stop_it_as_ctrl_c_does(number, expected, monkeypatch, capsys):
    monkeypatch.setattr(styles.add, "callback", lambda **_: os.kill(os.getpid(), number))
    before = signal.signal(number, signal.default_int_handler)  # under `nohup`, SIGHUP would be ignored
    try:
        code = cli.main(["styles", "add", "x.png", "--title", "x", "--licence", "x"])
        assert (code, capsys.readouterr().err) == (expected, "atelier: stopped\n")
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_a_signal_that_the_shell_ignores_stops_nothing(monkeypatch):
    """As SIGHUP is under `nohup`."""
    monkeypatch.setattr(styles.add, "callback", lambda **_: os.kill(os.getpid(), signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli.main(["styles", "add", "x.png", "--title", "x", "--licence", "x"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_errors_that_were_written_for_people_are_shortened(run):
    class OurError(dataset.DataError):
        pass

    code, told, _ = run(OurError("images: broken"))
    assert (code, told) == (1, ["atelier: images: broken"])
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError("a bug"))
