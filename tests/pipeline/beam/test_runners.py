"""The same ingest on every Beam runner that runs here: the same files, byte for byte."""

import json
import shutil
import sys
import tarfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atelier.errors import BeamError
from pipeline.beam import pipeline_options
from pipeline.config import config
from pipeline.config.sections.beam import Beam
from pipeline.ingest import ingest
from tests.deferred import deferred_imports

with deferred_imports():
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.stager import Stager

    from tests.pipeline import job_service, sdist_worker

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("atelier", "compat", "components", "pipeline", "trainer", "serving")
DASK = Beam(runner="dask", workers=2)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Some 40 files in four classes: formats, sizes, a copy, a broken one and one that is no image."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number, label in enumerate(("ape", "bee", "cat", "dog")):
        (root / label).mkdir()
        for n in range(10):
            pixels = random.integers(0, 256, (20 + n, 24 + number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{n}.{('png', 'jpg', 'webp')[n % 3]}")
    (root / "ape" / "copy.png").write_bytes((root / "ape" / "0.png").read_bytes())
    (root / "bee" / "broken.jpg").write_bytes((root / "bee" / "1.jpg").read_bytes()[:200])
    (root / "cat" / "note.txt").write_text("no image")
    Image.new("RGB", (700, 300), "#306090").save(root / "dog" / "large.png")
    return root


def run_ingest(images, output, settings):
    """Every file of the data set by name, and the report without its times."""
    report = ingest.ingest(
        str(images),
        output,
        config.Ingest(max_bad_fraction=0.2, store_size=256),
        pipeline_options.build_pipeline_options(settings),
    )
    files = {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert json.loads(files.pop("ingest_report.json")) == json.loads(json.dumps(report))
    return files, {name: value for name, value in report.items() if name not in ("seconds", "pictures_per_second")}


@pytest.fixture(scope="module")
def in_memory(images, tmp_path_factory):
    files, report = run_ingest(images, tmp_path_factory.mktemp("memory") / "set", Beam())
    assert len([name for name in files if name.endswith(".tfrecord")]) == 7
    assert report["quarantine"]["count"] >= 1
    assert report["duplicates"]["pictures"] == 1
    return files, report


@pytest.fixture
def copy_shards_on_the_runner(in_memory, monkeypatch):
    """Both pipelines of an ingest run, as for a large data set; what they are compared with, the driver has copied."""
    monkeypatch.setattr(ingest, "_DRIVER_COPIES", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("copy_shards_on_the_runner")
def test_two_processes_ingest_the_same(images, in_memory, tmp_path):
    assert run_ingest(images, tmp_path / "set", Beam(workers=2)) == in_memory


@pytest.mark.slow
@pytest.mark.usefixtures("copy_shards_on_the_runner")
def test_dask_with_two_workers_ingests_the_same(images, in_memory, tmp_path):
    assert run_ingest(images, tmp_path / "set", DASK) == in_memory


@pytest.mark.slow
@pytest.mark.usefixtures("copy_shards_on_the_runner")
def test_the_portable_runner_ingests_the_same(images, in_memory, tmp_path):
    with job_service.running(tmp_path / "service") as portable:
        assert run_ingest(images, tmp_path / "set", portable) == in_memory
        # Flink's and Spark's classes in Beam, which do the same where there is a job service.
        for runner in ("flink", "spark"):
            settings = portable.model_copy(update={"runner": runner})
            with beam.Pipeline(
                options=PipelineOptions(list(pipeline_options.build_pipeline_options(settings)))
            ) as pipeline:
                _ = pipeline | beam.Create([tmp_path / runner]) | beam.Map(Path.touch)
            assert (tmp_path / runner).is_file()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of this project: to build a package leaves files beside its setup.py."""
    folder = tmp_path_factory.mktemp("project") / "atelier"
    strange = shutil.ignore_patterns(".*", "output", "__pycache__", "build", "dist", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=strange)
    return folder


@pytest.mark.slow
def test_the_setup_files_package_holds_the_code_and_nothing_else(project, tmp_path):
    package = Stager._build_setup_package(str(project / "setup.py"), str(tmp_path))
    with tarfile.open(package) as archive:
        found = {member.name.partition("/")[2] for member in archive if member.isfile()}
    files = [path for name in PACKAGES for path in (project / name).rglob("*") if path.is_file()]
    expected = {
        str(path.relative_to(project))
        for path in files
        if path.suffix in (".j2", ".html", ".css", ".js", ".npz", ".svg")
        or path.name == "package-lock.json"
        or (path.suffix == ".py" and (path.parent / "__init__.py").is_file())
    }
    assert "components/style_renderer/gallery/gallery.html.j2" in expected
    extra = {name for name in found - expected if not name.startswith("atelier_tfx.egg-info/")}
    assert extra <= {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"}
    assert expected <= found


@pytest.mark.slow
@pytest.mark.usefixtures("copy_shards_on_the_runner")
def test_a_worker_from_the_setup_files_package_ingests_the_same(project, images, in_memory, tmp_path):
    boot = tmp_path / "boot"
    boot.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(sdist_worker.__file__)} "$@"\n')
    boot.chmod(0o755)
    service = tmp_path / "service"
    with job_service.running(service, pool_options=[f"--container_executable={boot}"]) as portable:
        settings = portable.model_copy(update={"setup_file": str(project / "setup.py")})
        assert run_ingest(images, tmp_path / "set", settings) == in_memory
        with beam.Pipeline(
            options=PipelineOptions(list(pipeline_options.build_pipeline_options(settings)))
        ) as pipeline:
            names = pipeline | beam.Create(["atelier.images", "pipeline.ingest.units", "trainer.backbones"])
            (tmp_path / "origins").mkdir()
            _ = names | beam.Map(
                lambda name, folder: Path(folder, name).write_text(str(import_module(name).__file__)),
                str(tmp_path / "origins"),
            )
    origins = list((tmp_path / "origins").iterdir())
    assert len(origins) == 3
    for origin in origins:
        assert Path(origin.read_text()).is_relative_to(service / sdist_worker.INSTALLED)


def append_line(line, file):
    with file.open("a") as stream:
        stream.write(f"{line}\n")


def build_dask_pipeline():
    return beam.Pipeline(options=PipelineOptions(list(pipeline_options.build_pipeline_options(DASK))))


@pytest.mark.slow
def test_dask_runs_every_branch_groups_by_key_and_raises_what_a_worker_raises(tmp_path):
    with build_dask_pipeline() as pipeline:
        pairs = pipeline | beam.Create([("a", 1), ("b", 2), ("a", 3), ("c", 4)])
        _ = pairs | "single" >> beam.Map(append_line, tmp_path / "single")
        grouped = pairs | beam.GroupByKey() | beam.MapTuple(lambda key, values: (key, sorted(values)))
        _ = grouped | "grouped" >> beam.Map(append_line, tmp_path / "grouped")
    assert sorted((tmp_path / "single").read_text().splitlines()) == ["('a', 1)", "('a', 3)", "('b', 2)", "('c', 4)"]
    assert sorted((tmp_path / "grouped").read_text().splitlines()) == ["('a', [1, 3])", "('b', [2])", "('c', [4])"]
    with pytest.raises(ZeroDivisionError), build_dask_pipeline() as pipeline:
        _ = pipeline | beam.Create([0, 1]) | beam.Map(lambda divisor: 1 / divisor)


def make_fn_with_late_output():
    class PutsOutAtTheEnd(beam.DoFn):
        def process(self, element):
            return []

        def finish_bundle(self):
            yield beam.utils.windowed_value.WindowedValue(1, 0, [beam.transforms.window.GlobalWindow()])

    return PutsOutAtTheEnd()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda p: p | beam.io.ReadFromText(__file__), "cannot read files"),
        (lambda p: p | beam.Create([1]) | beam.Partition(lambda x, n: x % n, 2), "mixes several outputs up"),
        (lambda p: p | beam.Create([1]) | beam.ParDo(make_fn_with_late_output()), "drops what finish_bundle puts out"),
        (lambda p: p | beam.Create([1]) | beam.WindowInto(beam.window.FixedWindows(5)), "has no WindowInto"),
    ],
)
def test_dask_refuses_what_beams_translation_loses(build, words):
    pipeline = build_dask_pipeline()
    build(pipeline)
    with pytest.raises(BeamError, match=rf"beam\.runner=dask: Beam's DaskRunner {words}, as .*docs/how-to/beam\.md"):
        pipeline.run()
