"""`atelier bench`: what it runs, prints and writes; the benchmarks are made up."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from benchmarks import bench_command
from benchmarks.measure import Result, at_least, at_most
from pipeline import cli

ROOT = Path(__file__).resolve().parents[2]
FAST = Result("fast", "with a target", 1.0, 2.0, "s", at_most(0.6))
MISSED = Result("fast", "with another", 1.0, 2.0, "files/s", at_least(0.9))
SLOW = Result("slow", "for orientation", 3.0, 2.0, "s", None)


@pytest.fixture
def modules(monkeypatch):
    """Two benchmarks under made-up names; their results may be changed."""
    results = {"fast": [FAST, MISSED], "slow": [SLOW]}
    for name in results:
        fake = types.SimpleNamespace(run=lambda name=name: iter(results[name]))
        monkeypatch.setitem(sys.modules, f"made_up_{name}", fake)
    monkeypatch.setattr(bench_command, "MODULES", {name: f"made_up_{name}" for name in results})
    return results


def run_bench(output, *names):
    return cli.main(["bench", *names, "--output", str(output)])


def read_cases(output):
    return [entry["case"] for entry in json.loads((output / "bench.json").read_text())]


def test_one_is_run_by_its_name(modules, tmp_path, capsys):
    assert run_bench(tmp_path / "new", "slow") == 0
    assert json.loads((tmp_path / "new/bench.json").read_text()) == [SLOW.as_json()]
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["slow"]
    assert last == f"written to {tmp_path / 'new/bench.json'}"


def test_without_a_name_all_are_run(modules, tmp_path):
    run_bench(tmp_path)
    assert read_cases(tmp_path) == ["with a target", "with another", "for orientation"]


def test_results_of_what_did_not_run_are_kept_and_others_replaced(modules, tmp_path):
    run_bench(tmp_path)
    modules["fast"][:] = [Result("fast", "a new case", 1.0, 1.0, "s", None)]
    run_bench(tmp_path, "fast")
    assert read_cases(tmp_path) == ["for orientation", "a new case"]


def test_what_was_measured_before_a_benchmark_failed_is_written(modules, tmp_path, monkeypatch):
    def run():
        yield SLOW
        raise RuntimeError("the rest fails")

    monkeypatch.setattr(sys.modules["made_up_slow"], "run", run)
    with pytest.raises(RuntimeError, match="the rest fails"):
        run_bench(tmp_path, "slow")
    assert read_cases(tmp_path) == ["for orientation"]


def test_an_unknown_name_is_wrong_usage(modules, tmp_path, capsys):
    assert run_bench(tmp_path, "fast", "speed") == 2
    assert "speed is not a benchmark. The benchmarks are fast, slow." in capsys.readouterr().err
    assert not (tmp_path / "bench.json").exists()


def split_words(result):
    return " ".join(bench_command.format_line(result).split())


def test_a_line_says_whether_the_target_holds():
    assert split_words(FAST) == "fast with a target 1 2 s 0.500 <= 0.6 holds"
    assert split_words(MISSED) == "fast with another 1 2 files/s 0.500 >= 0.9 MISSED"
    assert split_words(SLOW) == "slow for orientation 3 2 s 1.500"


def test_every_name_has_its_module():
    for module in bench_command.MODULES.values():
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_outside_of_the_source_it_says_so_in_one_line(tmp_path):
    command = [sys.executable, "-c", "from pipeline import cli; raise SystemExit(cli.main(['bench']))"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert line == f"atelier: {tmp_path}: no folder benchmarks/ of Atelier here; run this in the root of its source"
