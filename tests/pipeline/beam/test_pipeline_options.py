"""The options of every runner, each one read back by Beam itself: what it does not know it drops with a log line."""

import importlib.util
import logging

import pytest

from atelier.errors import BeamError
from pipeline.beam import pipeline_options
from pipeline.config import config
from pipeline.config.sections.beam import Beam
from tests.deferred import deferred_imports

with deferred_imports():
    from apache_beam.options.pipeline_options import PipelineOptions

FLINK = "--flink_master=http://flink:8081"
ENDPOINT = "--job_endpoint=localhost:8099"
POOL = ("--environment_type=EXTERNAL", "--environment_config=localhost:50000")
CLOUD = {"project": "my-project", "region": "europe-west1", "service_account": "me@my-project"}


def read(arguments):
    """What Beam makes of the arguments, beside its defaults."""
    import compat.beam_on_dask  # noqa: F401  # as Beam does, which looks the runner up by its path

    found = PipelineOptions(list(arguments)).get_all_options(drop_default=True)
    return {name: value for name, value in found.items() if name != "labels"}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (pipeline_options.build_pipeline_options(Beam()), 1),
        (pipeline_options.build_pipeline_options(Beam(workers=3)), 3),
        (pipeline_options.build_pipeline_options(Beam(workers=3, temp_location="/shared/tmp")), 0),
        (pipeline_options.build_pipeline_options(Beam(runner="flink", workers=2, options=(FLINK,))), 0),
        (("--direct_num_workers=two",), 0),
        ((), 0),
    ],
)
def test_processes_on_this_machine_are_told_from_other_runners(arguments, count):
    assert pipeline_options.count_processes(arguments) == count


@pytest.mark.parametrize(
    ("settings", "cloud", "expected"),
    [
        (
            {},
            {},
            {"runner": "FnApiRunner"},  # and Beam's defaults: in memory, one worker
        ),
        (
            {"workers": 3, "temp_location": "/shared/tmp"},
            CLOUD,
            {
                "runner": "compat.beam_worker_processes.LocalRunner",
                "direct_running_mode": "multi_processing",
                "direct_num_workers": 3,
                "temp_location": "/shared/tmp",
            },
        ),
        (
            {"runner": "dask", "workers": 2, "setup_file": "/not/used/setup.py"},
            {},
            {"runner": "compat.beam_on_dask.DaskRunner", "dask_workers": 2, "partition_size": 1},
        ),
        (
            {"runner": "dask", "options": ("--dask_client_address=tcp://scheduler:8786", "--dask_npartitions=8")},
            {},
            {"runner": "compat.beam_on_dask.DaskRunner", "address": "tcp://scheduler:8786", "npartitions": 8},
        ),
        (
            {"runner": "flink", "workers": 4, "options": (FLINK,)},
            CLOUD,
            {"runner": "FlinkRunner", "parallelism": 4, "flink_master": "http://flink:8081"},
        ),
        (
            {"runner": "flink", "options": (ENDPOINT, *POOL)},
            {},
            {
                "runner": "FlinkRunner",
                "parallelism": 1,
                "job_endpoint": "localhost:8099",
                "environment_type": "EXTERNAL",
                "environment_config": "localhost:50000",
            },
        ),
        (
            {"runner": "spark", "workers": 2, "options": ("--spark_master_url=spark://spark:7077",)},
            {},
            {"runner": "SparkRunner", "sdk_worker_parallelism": "2", "spark_master_url": "spark://spark:7077"},
        ),
        (
            {"runner": "portable", "workers": 2, "temp_location": "s3://bucket/tmp", "options": (ENDPOINT,)},
            {},
            {
                "runner": "PortableRunner",
                "sdk_worker_parallelism": "2",
                "temp_location": "s3://bucket/tmp",
                "job_endpoint": "localhost:8099",
            },
        ),
        (
            {
                "runner": "dataflow",
                "workers": 8,
                "temp_location": "gs://bucket/tmp",
                "options": ("--job_name=mine",),
            },
            CLOUD,
            {
                "runner": "DataflowRunner",
                "max_num_workers": 8,
                "temp_location": "gs://bucket/tmp",
                "project": "my-project",
                "region": "europe-west1",
                "service_account_email": "me@my-project",
                "job_name": "mine",
            },
        ),
        (
            {
                "runner": "dataflow",
                "temp_location": "gs://bucket/tmp",
                "options": ("--region=us-east1", "--job_name=mine", "--sdk_container_image=gcr.io/my-project/atelier"),
            },
            CLOUD,
            {
                "runner": "DataflowRunner",
                "max_num_workers": 1,
                "temp_location": "gs://bucket/tmp",
                "project": "my-project",
                "region": "us-east1",
                "service_account_email": "me@my-project",
                "job_name": "mine",
                "sdk_container_image": "gcr.io/my-project/atelier",
            },
        ),
    ],
)
def test_beam_knows_every_option(settings, cloud, expected, caplog):
    with caplog.at_level(logging.WARNING):
        found = read(pipeline_options.build_pipeline_options(Beam(**settings), **cloud))
    assert found == expected
    assert not caplog.text


def test_the_defaults_stay_in_this_process():
    assert pipeline_options.build_pipeline_options(Beam()) == pipeline_options.IN_MEMORY
    assert config.load_beam() == Beam()


def test_the_setup_file_goes_to_remote_workers_by_its_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "setup.py").touch()
    monkeypatch.chdir(tmp_path)
    for runner in ("flink", "spark", "portable", "dataflow"):
        settings = Beam.model_validate(
            {
                "runner": runner,
                "setup_file": "setup.py",
                "temp_location": "gs://bucket/tmp",
                "options": (ENDPOINT,),
            }
        )
        assert f"--setup_file={tmp_path}/setup.py" in pipeline_options.build_pipeline_options(settings)
    for here in (Beam(setup_file="setup.py"), Beam(runner="dask", setup_file="setup.py")):
        assert not [option for option in pipeline_options.build_pipeline_options(here) if "setup" in option]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["runner=dataflow"], ["beam.temp_location", "gs://"]),
        (["runner=dataflow", "temp_location=/tmp"], ["beam.temp_location is '/tmp'", "gs://"]),
        (["runner=portable"], ["beam.options", "--job_endpoint=..."]),
        (["runner=flink"], ["beam.options", "--job_endpoint=... or --flink_master=..."]),
        (["runner=spark"], ["beam.options", "--job_endpoint=... or --spark_master_url=..."]),
        (["options=[--runner=FlinkRunner]"], ["--runner", "beam.runner"]),
        (["options=[--direct_num_workers=4]"], ["--direct_num_workers", "beam.workers"]),
        (["options=[--temp_location=/tmp]"], ["--temp_location", "beam.temp_location"]),
        (["options=[--setup_file=/x/setup.py]"], ["--setup_file", "beam.setup_file"]),
        (["options=[--job_endpoint, 'localhost:8099']"], ["'localhost:8099'", "--NAME=VALUE"]),
        (["options=--job_endpoint=localhost:8099"], ["beam.options", "tuple"]),
        (["runner=portable", f"options=[{ENDPOINT}]", "setup_file=no/setup.py"], ["beam.setup_file", "no/setup.py"]),
        (["runner=portable", f"options=[{ENDPOINT}]", "setup_file=README.md"], ["beam.setup_file", "README.md"]),
        (["runner=dusk"], ["beam.runner", "'dask'"]),
        (["workers=0"], ["beam.workers"]),
        (["beam.worker=2"], ["beam.worker", "beam.workers"]),
        (["workers"], ["--beam workers", "--beam workers=2"]),
    ],
)
def test_what_cannot_work_is_refused_by_its_key(overrides, words):
    with pytest.raises(config.ConfigError) as refusal:
        config.load_beam(overrides)
    message = str(refusal.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_run_refuses_it_too(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("name: x\nevaluator: {min_accuracy: 0, max_accuracy_drop: 1}\nbeam: {runner: dataflow}\n")
    with pytest.raises(config.ConfigError) as refusal:
        config.load(file)
    assert str(refusal.value).startswith(f"{file}: beam.temp_location is ''")


def test_dask_that_is_missing_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else found(name))
    with pytest.raises(BeamError, match=r"beam\.runner=dask.*pip install 'dask\[distributed\]==2026"):
        pipeline_options.build_pipeline_options(Beam(runner="dask"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Beam()),
        (["--beam", "runner=dask", "--beam", "beam.workers=2"], Beam(runner="dask", workers=2)),
        (["--beam", "runner=flink", "--beam", f"options=[{FLINK}]"], Beam(runner="flink", options=(FLINK,))),
    ],
)
def test_ingest_and_render_take_the_section(arguments, expected, monkeypatch, tmp_path):
    from pipeline import cli
    from pipeline.commands.work import render_folder
    from pipeline.ingest import ingest, ingest_report

    used = []
    monkeypatch.setattr(ingest, "ingest", lambda *arguments: used.append(arguments[3]))
    monkeypatch.setattr(ingest_report, "summarize", lambda *_: "")
    monkeypatch.setattr(render_folder, "render_folder", lambda *_, beam, **__: used.append(beam))
    output = ["--output", str(tmp_path)]
    assert cli.main(["ingest", "--source", "mnist", *output, *arguments]) == 0
    render = ["render", "--content", "photos", "--styles", "builtin", *output]
    assert cli.main([*render, *arguments]) == 0
    assert cli.main([*render, *arguments, "--workers", "2"]) == 0
    assert used == [
        pipeline_options.build_pipeline_options(expected),
        expected,
        expected.model_copy(update={"workers": 2}),
    ]


def test_a_wrong_section_ends_in_one_line(capsys, tmp_path):
    from pipeline import cli

    arguments = ["ingest", "--source", "mnist", "--output", str(tmp_path), "--beam", "runner=portable"]
    assert cli.main(arguments) == 1
    assert capsys.readouterr().err.startswith("atelier: --beam: beam.runner is portable: name the place")


@pytest.mark.slow
def test_a_job_service_that_does_not_answer_is_named(capsys, tmp_path):
    from pipeline import cli

    for label in "abc":
        (tmp_path / "images" / label).mkdir(parents=True)
        for n in range(10):
            (tmp_path / "images" / label / f"{n}.png").write_bytes(b"")
    options = "options=[--job_endpoint=localhost:1, --job_server_timeout=1]"
    arguments = ["ingest", "--source", str(tmp_path / "images"), "--output", str(tmp_path / "data")]
    assert cli.main([*arguments, "--beam", "runner=portable", "--beam", options]) == 1
    assert "beam.options: no job service answers at --job_endpoint=localhost:1" in capsys.readouterr().err
