import io
import json
import multiprocessing
import os
import shutil
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.beam.pipeline_options import build_process_options
from pipeline.config import config
from pipeline.ingest import ingest
from pipeline.ingest.errors import IngestError

BEAM = ("--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")


def draw_noise(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def fill(root, count, labels=("a", "b")):
    for number, label in enumerate(labels):
        (root / label).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            draw_noise([number, n]).save(root / label / f"{n:03d}.png")


def run(source, output, **settings):
    return ingest.ingest(str(source), output, config.Ingest(**settings), BEAM)


def build_png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\1\0IDAT"


def encode_jpeg():
    stream = io.BytesIO()
    draw_noise(1).resize((64, 64)).save(stream, "JPEG")
    return stream.getvalue()


def add_broken_files(root, monkeypatch):
    """Eight kinds of broken files; returns their names, legible, and reasons."""
    damaged = bytearray((root / "a" / "000.png").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    broken = {
        "a/cut.jpg": (encode_jpeg()[:500], "truncated"),
        "a/empty.png": (b"", "empty"),
        "a/text.jpg": (b"Not found: the page was moved", "not_an_image"),
        "a/bomb.png": (build_png_header(60_000, 60_000), "too_large"),
        "b/phone.jpg": (b"\0\0\0\x18ftypheic" + b"\0" * 100, "unsupported"),
        "b/damaged.png": (bytes(damaged), "corrupt"),
        "b/secret.png": (b"", "no_permission"),
        os.fsdecode(b"b/caf\xe9.png"): ((root / "a" / "001.png").read_bytes(), "unreadable_name"),
    }
    for path, (data, _) in broken.items():
        (root / path).write_bytes(data)
    read_bytes = Path.read_bytes

    def read_unless_secret(path):  # root may read everything: the refusal is played
        if path.name == "secret.png":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read_unless_secret)
    return {path.replace("\udce9", r"\xe9"): reason for path, (_, reason) in broken.items()}


def read_quarantine(folder):
    lines = (folder / "quarantine" / "quarantine.jsonl").read_text().splitlines()
    return {item["path"]: item["reason"] for item in map(json.loads, lines)}


def test_two_percent_of_broken_files_stop_the_run_unless_the_budget_allows_them(tmp_path, monkeypatch):
    root, output = tmp_path / "root", tmp_path / "out"
    fill(root, 196)
    expected = add_broken_files(root, monkeypatch)
    with pytest.raises(IngestError) as error:
        run(root, output)
    message = str(error.value)
    assert "8 of 400 files (2.0%) cannot be used" in message
    assert "(1.0%)" in message
    lines = message.splitlines()
    for path, reason in expected.items():
        assert any(line.split(maxsplit=2) == [reason, "1", path] for line in lines), reason
    failed = tmp_path / "out.failed"
    assert str(failed) in message
    assert read_quarantine(failed) == expected
    assert not output.exists()

    report = run(root, output, max_bad_fraction=0.02)
    assert read_quarantine(output) == expected
    assert report["quarantine"]["count"] == 8
    assert report["quarantine"]["reasons"] == dict.fromkeys(expected.values(), 1)
    assert sum(split["pictures"] for split in report["records"].values()) == 392
    assert not failed.exists()


def test_quarantine_keeps_what_could_be_read(tmp_path, monkeypatch):
    import tensorflow as tf

    root, output = tmp_path / "root", tmp_path / "out"
    fill(root, 30)
    expected = add_broken_files(root, monkeypatch)
    monkeypatch.setattr("pipeline.ingest.units.MAX_QUARANTINED_BYTES", 450)
    run(root, output, max_bad_fraction=0.5)
    kept = {}
    for record in tf.data.TFRecordDataset(str(output / "quarantine" / "quarantine.tfrecord")):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        (path,) = feature["path"].bytes_list.value
        (reason,) = feature["reason"].bytes_list.value
        assert expected[path.decode("utf-8", "backslashreplace")] == reason.decode()
        assert feature["detail"].bytes_list.value[0]
        kept[path] = feature["encoded"].bytes_list.value[0] if "encoded" in feature else None
    assert len(kept) == 8
    assert kept[b"a/text.jpg"] == b"Not found: the page was moved"
    assert kept[b"a/empty.png"] == b""
    assert kept[b"b/secret.png"] is None
    assert kept[b"a/cut.jpg"] is None  # 500 bytes are more than the cap


def test_a_failure_loses_nothing_that_was_good(tmp_path):
    root, output = tmp_path / "root", tmp_path / "out"
    fill(root, 30)
    run(root, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    (root / "a" / "empty.png").write_bytes(b"")
    with pytest.raises(IngestError, match="1 of 61 files"):
        run(root, output, max_bad_fraction=0.01)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert run(root, output, max_bad_fraction=0.02)["files"] == 61
    assert (output / "quarantine" / "quarantine.jsonl").read_text() != ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "root"]


def test_a_worker_process_that_is_killed_ends_the_ingest_in_words(tmp_path):
    fill(tmp_path / "source", 64)
    output = tmp_path / "output"
    run(tmp_path / "source", output)
    before = (output / "ingest_report.json").read_bytes()

    others = multiprocessing.active_children()  # of earlier tests in this process

    def kill_the_first():
        while not (workers := [child for child in multiprocessing.active_children() if child not in others]):
            time.sleep(0.01)
        workers[0].kill()

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises(IngestError, match=r"(?s)killed from outside.*beam.workers.*ingest.max_pixels"):
        ingest.ingest(str(tmp_path / "source"), output, config.Ingest(), build_process_options(2))
    killer.join()
    assert (output / "ingest_report.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_classes_are_counted_by_their_different_good_images(tmp_path):
    root = tmp_path / "root"
    fill(root, 30)
    fill(root, 2, labels=("few",))
    (root / "few" / "copy.png").write_bytes((root / "few" / "000.png").read_bytes())
    with pytest.raises(IngestError, match=r"fewer than three images in: few \(2\)"):
        run(root, tmp_path / "out")
    (root / "few" / "copy.png").write_bytes(b"broken")
    with pytest.raises(IngestError, match=r"fewer than three images in: few \(2\)"):
        run(root, tmp_path / "out", max_bad_fraction=0.5)


def test_a_class_whose_images_are_all_in_others_is_named_with_them(tmp_path):
    root = tmp_path / "root"
    fill(root, 10, labels=("cat", "dog", "emu"))
    shutil.copytree(root / "cat", root / "kitten")
    draw_noise([9, 9]).save(root / "kitten" / "own.png")
    with pytest.raises(IngestError, match=r"all 10 images of cat are in other classes, too: kitten \(10\)") as error:
        run(root, tmp_path / "out")
    assert "quarantine.jsonl" not in str(error.value)  # nothing lies there
    report = json.loads((tmp_path / "out.failed" / "ingest_report.json").read_text())
    assert report["conflicting_labels"]["pictures"] == 10
    for n in range(5):  # half of them in a third class, too, and the other half in a fourth
        shutil.move(root / "kitten" / f"{n:03d}.png", root / "emu" / f"again{n}.png")
    with pytest.raises(IngestError, match=r"all 10 images of cat .*: emu \(5\), kitten \(5\)"):
        run(root, tmp_path / "out")
    draw_noise([9, 8]).save(root / "cat" / "own.png")
    assert run(root, tmp_path / "out")["conflicting_labels"]["pictures"] == 10


def test_a_split_that_gets_nothing_is_named(tmp_path):
    fill(tmp_path / "root", 4)
    with pytest.raises(IngestError, match=r"no image is in eval.*raise ingest\.eval_fraction"):
        run(tmp_path / "root", tmp_path / "out", eval_fraction=1e-9)
    with pytest.raises(IngestError, match="no image of a, b is in the train split"):
        run(tmp_path / "root", tmp_path / "out", test_fraction=1 - 1e-9)


def test_sources_that_are_none_are_named(tmp_path):
    with pytest.raises(IngestError, match="nothing: no such folder"):
        run(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IngestError, match="no images found"):
        run(tmp_path / "empty", tmp_path / "out")
    fill(tmp_path / "one", 3, labels=("only",))
    with pytest.raises(IngestError, match="only one class"):
        run(tmp_path / "one", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_url_and_a_link_to_itself_are_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "root", 3)
    with pytest.raises(IngestError, match=r"gs:/bucket/x is a URL"):
        run(tmp_path / "root", Path("gs://bucket/x"))
    with pytest.raises(IngestError, match=r"a URL; copy the images"):
        run("gs://bucket/x", tmp_path / "out")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(IngestError, match=r"cannot be used as the output folder|cannot be written"):
        run(tmp_path / "root", tmp_path / "loop")
    with pytest.raises(IngestError, match=r"no such folder|cannot be listed"):
        run(tmp_path / "loop", tmp_path / "out")
    assert not Path("gs:").exists()


def test_outputs_that_would_lose_something_are_refused(tmp_path):
    root = tmp_path / "root"
    fill(root, 3)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(IngestError, match="file: cannot be used as the output folder: Not a directory"):
        run(root, tmp_path / "file")
    with pytest.raises(IngestError, match="cannot be"):
        run(root, tmp_path / "file" / "below")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(IngestError, match=r"holds thesis\.txt"):
        run(root, tmp_path / "mine")
    (tmp_path / "mine").rename(tmp_path / "out.failed")
    with pytest.raises(IngestError, match=r"out\.failed: .* holds thesis\.txt"):
        run(root, tmp_path / "out")
    for output in (root, root / "a", tmp_path):
        with pytest.raises(IngestError, match="source and output lie in one another"):
            run(root, output)
    with pytest.raises(IngestError, match="mount point"):
        run(root, Path("/proc"))
    with pytest.raises(IngestError, match="cannot be written"):
        run(root, Path("/proc/nothing/out"))
    assert (tmp_path / "out.failed" / "thesis.txt").read_text() == "mine"
