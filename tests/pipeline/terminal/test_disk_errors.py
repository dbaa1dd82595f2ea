"""A full disk, a read-only one, a quota: one line, whatever verb and whatever library meets it, and nothing half."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.terminal import disk_errors
from tests.e2e import forked
from tests.kubeflow import replayable

ROOT = Path(__file__).resolve().parents[3]
CONFIG = "name: t\nevaluator: {min_accuracy: 0.2, max_accuracy_drop: 1.0}\n"
COMPILED = (
    CONFIG + "kubeflow: {target: kfp, root: /data, image: 'r.example/a:1', classes: 2}\ndata: {source: /data/in}\n"
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "/a/b"), "/a/b: No space left on device: free some space"),
        (OSError(28, "No space left on device"), "out: No space left on device: free some space"),
        (PermissionError(13, "Permission denied", b"/a/b"), "/a/b: Permission denied: change its permissions"),
        # As Beam passes on what a worker has met.
        (
            RuntimeError("Traceback ...\nOSError: [Errno 30] Read-only file system: '/a/b' [while running 'Map(f)']"),
            "/a/b: Read-only file system: give an output in a folder that can be written to",
        ),
        # As shutil.copytree gathers them.
        (
            shutil.Error([("/a", "/b", "[Errno 28] No space left on device: '/b'")]),
            "/b: No space left on device: free some space",
        ),
        # As h5py, TensorFlow and SQLite tell it.
        (OSError("Can't write data (file write failed: errno = 122, error message = 'Disk quota exceeded')"), "out: "),
        (RuntimeError("/a/b.tfrecord; No space left on device [Op:SaveV2]"), "/a/b.tfrecord: No space left on device"),
        (RuntimeError("mysql: database or disk is full"), "out: No space left on device"),
        (ValueError("wrong"), ""),
        (FileNotFoundError(2, "No such file or directory", "x"), ""),
    ],
)
def test_errors_of_the_disk_are_put_in_a_line(error, line):
    told = disk_errors.explain(error, Path("out"))
    assert told.startswith(line)
    assert bool(told) == bool(line)
    assert "\n" not in told


def test_the_error_behind_an_error_is_found():
    error = RuntimeError("a worker failed")
    error.__cause__ = OSError(28, "No space left on device", "/a/b")
    assert disk_errors.explain(error, Path("out")).startswith("/a/b: No space left on device")


@contextmanager
def mount_disk(folder, *options):
    """A disk of its own in memory; skips where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def images(tmp_path):
    random = np.random.default_rng(0)  # the split of an image follows from its content
    for label in ("cat", "dog"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(12):
            noise = random.integers(0, 256, (300, 300), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "in" / label / f"{number}.png")
    return tmp_path / "in"


def run_and_catch_error(*arguments, stdout=subprocess.PIPE):
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    # Buffered, as by default: else print() itself fails, which cannot be told from writing to the output folder.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, cwd=ROOT, env=buffered, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )
    return read_error(done)


def read_error(done):
    """Of a command that was refused."""
    assert done.returncode == 1, done
    line = done.stderr.splitlines()[-1]
    assert line.startswith("atelier: ")
    assert "Traceback" not in done.stderr
    return line


@pytest.mark.slow
def test_an_ingest_on_a_full_disk_leaves_nothing(images, tmp_path):
    with mount_disk(tmp_path / "disk", "-o", "size=1m") as disk:
        for beam in ("workers=1", "workers=2"):
            line = run_and_catch_error("ingest", "--source", images, "--output", disk / "out", "--beam", beam)
            assert f"{disk}/" in line
            assert "No space left on device: free some space" in line
            assert list(disk.iterdir()) == []


@pytest.mark.parametrize(
    "verb",
    [
        "ingest --source in --output disk/out",
        "styles add in/cat/0.png --title x --licence CC0 --catalog disk/catalog.yaml",
        "run --config pets.yaml --data in --output disk/out",
        pytest.param("render --content in --styles builtin --output disk/out", marks=pytest.mark.slow),
        pytest.param("kubeflow compile --config compiled.yaml --output disk/out/p.yaml", marks=pytest.mark.slow),
        pytest.param("kubeflow replay pipeline.json --root disk/out", marks=pytest.mark.slow),
        pytest.param("bench train --output disk/out", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("images")
def test_every_verb_that_writes_tells_a_read_only_disk(verb, tmp_path):
    (tmp_path / "pets.yaml").write_text(CONFIG)
    (tmp_path / "compiled.yaml").write_text(COMPILED)
    replayable.write(tmp_path, replayable.build_pipeline({"a": replayable.build_task()}))
    given = {path.name for path in tmp_path.iterdir()} | {"disk"}
    with mount_disk(tmp_path / "disk") as disk:
        (disk / "out").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        places = [tmp_path / word if word.partition("/")[0] in given else word for word in verb.split()]
        # To import TFX takes 10 s, which a forked process is spared.
        line = read_error(forked.run_atelier(*places)) if "kubeflow compile" in verb else run_and_catch_error(*places)
        assert f"{disk}/" in line
        assert "Read-only file system" in line
        assert [path.name for path in disk.rglob("*")] == ["out"]


@pytest.mark.slow
def test_a_style_that_cannot_be_copied_in_full_is_not_there(images, tmp_path):
    noise = tmp_path / "noise.png"
    Image.effect_noise((1200, 1200), 90).save(noise)
    with mount_disk(tmp_path / "disk", "-o", "size=1m") as disk:
        add = ("styles", "add", "--title", "x", "--licence", "CC0", "--catalog", disk / "catalog.yaml")
        assert "No space left on device" in run_and_catch_error(*add, noise)
        assert [path.name for path in disk.rglob("*")] == ["pictures"]


@contextmanager
def fill_disk(folder):
    """A disk on which one more file may be made, and nothing be written to it."""
    with mount_disk(folder, "-o", "size=64k") as disk, (disk / "fill").open("wb") as fill:
        with suppress(OSError):
            while True:
                os.write(fill.fileno(), bytes(4096))
        yield disk


@pytest.mark.slow
def test_a_compiled_specification_on_a_full_disk_is_as_it_was(tmp_path):
    (tmp_path / "compiled.yaml").write_text(COMPILED)
    with fill_disk(tmp_path / "disk") as disk:
        words = ("kubeflow", "compile", "--config", tmp_path / "compiled.yaml", "--output", disk / "p.yaml")
        line = read_error(forked.run_atelier(*words))
        assert line.startswith(f"atelier: {disk}/p.yaml: No space left on device: free some space")
        assert [path.name for path in disk.iterdir()] == ["fill"]


@pytest.mark.slow
def test_a_replay_on_a_full_disk_leaves_no_file_in_part(tmp_path):
    file = replayable.write(tmp_path, replayable.build_pipeline({"a": replayable.build_task()}))
    with fill_disk(tmp_path / "disk") as disk:
        line = run_and_catch_error("kubeflow", "replay", file, "--root", disk / "root")
        assert f"{disk}/root/" in line
        assert "No space left on device: free some space" in line
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["fill"]


def test_a_benchmark_on_a_full_disk_is_told_and_what_was_measured_is_on_the_terminal(tmp_path):
    module = tmp_path / "made_up.py"
    module.write_text(
        "from benchmarks.measure import Result\ndef run():\n    yield Result('a', 'b', 3.0, 2.0, 's', None)\n"
    )
    program = "import sys; from benchmarks import bench_command; from pipeline import cli; "
    program += "bench_command.MODULES['made-up'] = 'made_up'; sys.exit(cli.main(sys.argv[1:]))"
    with fill_disk(tmp_path / "disk") as disk:
        command = [sys.executable, "-c", program, "bench", "made-up", "--output", str(disk)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "1.500" in done.stdout
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"atelier: {disk}/bench.json: No space left on device: free some space")
        assert [path.name for path in disk.iterdir()] == ["fill"]


@pytest.mark.slow
def test_a_full_standard_output_is_told(images, tmp_path):
    with Path("/dev/full").open("w") as full:
        line = run_and_catch_error("ingest", "--source", images, "--output", tmp_path / "out", stdout=full)
    assert line.startswith("atelier: standard output: No space left on device")


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(images, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pipeline.cli", "ingest", "--source", images, "--output", tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert "Error" not in done.stderr
