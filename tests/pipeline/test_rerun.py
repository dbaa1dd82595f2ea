"""What a second run into one output notices, through the command line and through LocalDagRunner."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import cli, fingerprint
from pipeline.records import dataset, inputs

CONFIG = """
name: rerun
data: {image_key: image/height}  # ends a run after its ingest
ingest: {eval_fraction: 0.3, test_fraction: 0.3, shards: 1, max_bad_fraction: 0.5}
evaluator: {min_accuracy: 0, max_accuracy_drop: 1}
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    """`in/` with links to two class folders, beside which the commands run."""
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for label in ("cat", "dog"):
        (tmp_path / "real" / label).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "real" / label / f"{number}.png")
        (tmp_path / "in" / label).symlink_to(tmp_path / "real" / label)
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


@pytest.fixture
def run(images, capfd):
    """Runs into `out`; gives the report of the ingest and what is said on standard error."""

    def run_again(data="in", output="out"):
        code = cli.main(["run", "--config", "config.yaml", "--data", data, "--output", output])
        said = capfd.readouterr().err
        report = Path(output, "data", "ingest_report.json")
        assert (code, "Traceback" in said) == (1, False)
        return json.loads(report.read_text()) if report.is_file() else None, said

    return run_again


def test_classes_and_images_behind_links(images, run):
    assert run()[0]["files"] == 40
    shutil.copy(images / "cat" / "0.png", images / "cat" / "again.png")
    assert run()[0]["files"] == 41
    (images.parent / "real" / "dog").rename(images.parent / "real" / "wolf")
    (images / "dog").unlink()
    (images / "wolf").symlink_to(images.parent / "real" / "wolf")
    assert run()[0]["classes"] == ["cat", "wolf"]
    assert Path("out/data/labels.txt").read_text() == "cat\nwolf\n"
    shutil.copytree(images / "cat", images / "ant")
    for file in (images / "ant").iterdir():
        Image.open(file).rotate(90).save(file)
    (images / "cat").unlink()
    assert run()[0]["classes"] == ["ant", "wolf"]


def test_names_that_are_not_utf8_end_in_quarantine(images, run):
    (images / "cat" / "0.png").rename(images / "cat" / os.fsdecode(b"caf\xe9.png"))
    images.rename(images.with_name(os.fsdecode(b"in\xe9 [1]*")))
    report, said = run(data=os.fsdecode(b"in\xe9 [1]*"))
    assert report["quarantine"]["reasons"] == {"unreadable_name": 1}
    assert report["source"] == r"in\xe9 [1]*"
    assert "image/height" in said  # the run went on to the records


@pytest.mark.parametrize("output", ["out [v1]", "o*t", "out?", os.fsdecode(b"out\xe9")])
def test_an_output_that_tensorflow_cannot_write_to_is_refused_at_once(run, output):
    report, said = run(output=output)
    assert report is None
    assert not Path(output).exists()
    assert re.search(r"out.*give ", said)
    assert said.count("\n") == 1


def test_two_meanings(images, run):
    (images / "old.tfrecord").write_bytes(b"")
    _, said = run()
    assert "old.tfrecord" in said
    assert "cat/0.png" in said
    images.rename(images.with_name("photos"))
    _, said = run(data="photos")
    assert "./photos" in said
    assert "builtin:photos" in said


@pytest.mark.slow
def test_local_dag_runner_takes_neither_a_schema_nor_records_for_unchanged(tmp_path):
    """Of equal size and time: by its path and by whole seconds the cache would not see it."""
    from tfx import v1 as tfx

    data = tmp_path / "in [1]"
    data.mkdir()
    records = data / "a.tfrecord"

    def write(image, most):
        from atelier import tfrecord

        with records.open("wb") as stream:
            tfrecord.write(stream, tfrecord.serialize_example({"image/encoded": image}))
        (data / "schema.pbtxt").write_text(f'feature {{ name: "image/encoded" type: BYTES }}  # {most}')
        for file in (records, data / "schema.pbtxt"):
            os.utime(file, (1, 1))

    def run_nodes():
        found = dataset.Dataset(data, {"all": "*.tfrecord"}, data / "schema.pbtxt", None, text_labels=False)
        contents = fingerprint.FileHashes(tmp_path / "hashes.json")
        linked = inputs.link_records(found, tmp_path / "out", contents)
        contents.save()
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="rerun",
            pipeline_root=str(tmp_path / "root"),
            components=[
                tfx.components.ImportExampleGen(
                    input_base=linked.folder,
                    input_config=tfx.proto.Input(
                        splits=[tfx.proto.Input.Split(name="all", pattern=linked.splits["all"])]
                    ),
                ),
                tfx.components.ImportSchemaGen(schema_file=linked.schema_file),
            ],
            enable_cache=True,
            metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                str(tmp_path / "metadata.db")
            ),
        )
        tfx.orchestration.LocalDagRunner().run(pipeline)
        newest = [
            max((tmp_path / "root" / name).iterdir(), key=lambda folder: int(folder.name))
            for name in ("ImportExampleGen/examples", "ImportSchemaGen/schema")
        ]
        shards = b"".join(gzip.decompress(file.read_bytes()) for file in newest[0].rglob("*.gz"))
        text = (newest[1] / "schema.pbtxt").read_text()
        return newest, (b"one" in shards, b"two" in shards, text[-1])

    write(b"one", 1)
    first = run_nodes()
    assert first[1] == (True, False, "1")
    assert run_nodes() == first  # from the cache
    write(b"two", 1)
    assert run_nodes()[1] == (False, True, "1")
    write(b"two", 2)
    assert run_nodes()[1] == (False, True, "2")
