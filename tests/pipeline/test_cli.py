"""The command line as a process: exit codes, and what it says when something is wrong."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atelier import tfrecord
from pipeline import cli, console, local_runner
from pipeline.config import config
from pipeline.records import dataset

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
name: pets
evaluator: {min_accuracy: 0.9, max_accuracy_drop: 0.01}
"""


def atelier(*arguments):
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def refusal(*arguments):
    """The one line that an unsuccessful command leaves."""
    done = atelier(*arguments)
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
    done = atelier(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    for word in words:
        assert word in text


def test_the_example_in_the_help_of_run_is_right():
    words = next(line for line in atelier("run", "--help").stdout.splitlines() if "example:" in line).split()[3:]
    options = cli._parser().parse_args(["run", *words])
    assert config.load(ROOT / options.config, options.set).trainer.head_epochs == 5


def test_help_needs_nothing_heavy():
    code = (
        "import sys\nfrom pipeline import cli\n"
        "try:\n    cli.main(['run', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'tfx', 'keras', 'apache_beam', 'numpy', 'PIL', 'pydantic', 'rich', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


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
    done = atelier(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: atelier")
    assert "Traceback" not in done.stderr


def test_a_missing_config_is_told(tmp_path):
    assert refusal("run", "--config", tmp_path / "none.yaml") == (
        f"atelier: {tmp_path}/none.yaml: no such file; the ready ones are in configs/"
    )


def test_an_unknown_key_is_told(pets):
    assert refusal("run", "--config", pets, "--set", "trainer.epochs=3") == (
        f"atelier: {pets}: unknown key trainer.epochs; did you mean trainer.head_epochs?"
    )
    assert refusal("ingest", "--source", "mnist", "--output", "x", "--set", "shard=3") == (
        "atelier: --set: unknown key ingest.shard; did you mean ingest.shards?"
    )


def test_no_data_at_all_is_told(pets, tmp_path):
    assert refusal("run", "--config", pets, "--output", tmp_path / "out") == (
        "atelier: no data: give --data DIR, or data.source in the config"
    )


@pytest.mark.slow
def test_a_missing_folder_is_told(pets, tmp_path):
    missing = tmp_path / "missing"
    assert refusal("run", "--config", pets, "--data", missing, "--output", tmp_path / "out") == (
        f"atelier: {missing}: no such folder; give a folder of labelled pictures, `mnist` or `photos`"
    )
    assert refusal("ingest", "--source", missing, "--output", tmp_path / "out2").startswith(f"atelier: {missing}: no ")


@pytest.mark.slow
def test_an_empty_folder_and_one_without_pictures_are_told(pets, tmp_path):
    folder = tmp_path / "pictures #1"  # in YAML the rest would be a comment
    folder.mkdir()
    message = f"atelier: {folder}: no pictures found; expected {folder}/CLASS/PICTURE or {folder}/train/CLASS/PICTURE"
    assert refusal("run", "--config", pets, "--data", folder, "--output", tmp_path / "out") == message
    (folder / "notes.txt").write_text("no picture, and no TFRecord")
    assert refusal("run", "--config", pets, "--data", folder, "--output", tmp_path / "out") == message
    assert refusal("ingest", "--source", folder, "--output", tmp_path / "out2") == message


@pytest.mark.slow
def test_an_output_that_is_a_file_is_told(pets, tmp_path):
    assert refusal("run", "--config", pets, "--data", tmp_path, "--output", pets) == (
        f"atelier: {pets}: cannot be used as the output folder: File exists"
    )
    assert refusal("run", "--config", pets, "--data", tmp_path, "--output", pets / "below") == (
        f"atelier: {pets}/below: cannot be used as the output folder: Not a directory"
    )


def test_records_with_other_keys_are_told_with_those_there(pets, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    with (folder / "a.tfrecord").open("wb") as stream:
        tfrecord.write(stream, tfrecord.example({"image": b"png", "label": 3}))
    output = tmp_path / "out"
    line = refusal("run", "--config", pets, "--data", folder, "--output", output, "--set", "data.image_key=picture")
    assert line == (
        f"atelier: {folder}/a.tfrecord: its records have no picture; set data.image_key to one of: image, label"
    )
    assert sorted(path.name for path in output.iterdir()) == ["run.log"]


def outcome(**changes):
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

        def pipeline_run(settings, output, _console):
            got.update(settings=settings, output=output)
            if isinstance(ended, BaseException):
                raise ended
            return ended

        monkeypatch.setattr(local_runner, "run", pipeline_run)
        monkeypatch.setattr(console, "Console", lambda: None)  # it would keep a copy of this process's stderr
        code = cli.main(["run", "--config", str(pets), *arguments])
        return code, capsys.readouterr().err.splitlines(), got

    return run_with


def test_a_run_that_passed_exits_with_0(run):
    code, reasons, got = run(outcome(), "--data", "pictures", "--set", "image.size=64")
    assert (code, reasons) == (0, [])
    assert got["settings"].data.source == "pictures"
    assert got["settings"].image.size == 64
    assert got["output"] == Path("output/pets")


def test_a_refusing_gate_exits_with_1_and_its_reasons(run):
    reasons = ["Evaluator: accuracy 0.7000 is below 0.9000 (all pictures)", "another"]
    code, told, got = run(outcome(blessed=False, reasons=reasons), "--output", "elsewhere")
    assert code == 1
    assert told == [f"atelier: {reason}" for reason in reasons]
    assert got["output"] == Path("elsewhere")


def test_a_failure_after_the_gates_exits_with_1(run):
    code, told, _ = run(outcome(failure="Pusher: disk full", reasons=["Pusher: disk full"]))
    assert (code, told) == (1, ["atelier: Pusher: disk full"])


def test_stopping_by_hand_is_no_traceback(run):
    code, told, _ = run(KeyboardInterrupt())
    after = "the next run into the same folder continues after the last finished node"
    assert (code, told) == (130, [f"atelier: stopped; {after}"])


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_stop_it_as_ctrl_c_does(number, expected, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_add_style", lambda _: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    code = cli.main(["styles", "add", "x.png", "--title", "x", "--licence", "x"])
    assert (code, capsys.readouterr().err) == (expected, "atelier: stopped\n")
    assert signal.getsignal(number) is before


def test_a_signal_that_the_shell_ignores_stops_nothing(monkeypatch):
    """As SIGHUP is under `nohup`."""
    monkeypatch.setattr(cli, "_add_style", lambda _: os.kill(os.getpid(), signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli.main(["styles", "add", "x.png", "--title", "x", "--licence", "x"]) is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_errors_that_were_written_for_people_are_shortened(run):
    class OurError(dataset.DataError):
        pass

    code, told, _ = run(OurError("pictures: broken"))
    assert (code, told) == (1, ["atelier: pictures: broken"])
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError("a bug"))
