"""`atelier web` from the command line."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from pipeline.cli import main
from tests.deferred import deferred_imports

with deferred_imports():
    from serving.web import packages
    from tests.serving.web.conftest import convert_net, push

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return push(convert_net("int8")["int8"], tmp_path_factory.mktemp("output"))


SHOWN = (0, 21, [256, 384, 512])
AGAIN = signal.SIGTERM


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache without the files of the built-in stylizer."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "atelier").mkdir()
    (folder / "atelier/npm").symlink_to(packages.find_cache() / "npm")
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, AGAIN])
def test_the_page_is_served_until_a_signal(output, cache, number):
    command = [sys.executable, "-m", "pipeline.cli", "web", "--models", str(output), "--port", "0"]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line == "atelier web: the run has pushed no stylizer: the page restyles with the built-in one\n"
        line = running.stdout.readline()
        found = re.fullmatch(r"atelier web: open (http://localhost:\d+/) in a browser; .*\n", line)
        assert found
        with urllib.request.urlopen(found[1]) as answer:  # noqa: S310
            assert b"Images never leave this machine" in answer.read()
        with urllib.request.urlopen(f"{found[1]}site.json") as answer:  # noqa: S310
            told = json.load(answer)["stylizer"]
            assert (told["version"], len(told["styles"]), [each["size"] for each in told["files"]]) == SHOWN
        running.send_signal(number)
        output_rest, errors = running.communicate(timeout=60)
    assert (running.returncode, output_rest) == (0, "atelier web: stopped\n")
    made = "atelier web: making the TFLite files of the built-in stylizer, once; this takes about 20 seconds\n"
    assert errors == ("" if number == AGAIN else made)


def test_the_page_is_exported(output, tmp_path, capsys):
    assert main(["web", "--models", str(output), "--export", str(tmp_path / "host")]) == 0
    assert (tmp_path / "host/index.html").is_file()
    assert json.loads((tmp_path / "host/site.json").read_text())["stylizer"] is None
    assert f"the page is in {tmp_path / 'host'}" in capsys.readouterr().out


def test_a_folder_without_models_is_one_line(tmp_path, capsys):
    assert main(["web", "--models", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"atelier: {tmp_path}: no pushed TFLite model")
    assert error.count("\n") == 1


def test_the_models_must_be_named(capsys):
    assert main(["web"]) == 2
    assert "Missing option '--models'" in capsys.readouterr().err
