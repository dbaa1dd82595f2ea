"""What a person sees: lines elsewhere, a bar on a terminal, and nothing of what libraries write."""

import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compat.standard_streams import send_to_file
from pipeline.terminal import console


@pytest.fixture
def screen():
    return io.StringIO()


@pytest.fixture
def plain(screen):
    return console.Console(screen)


@pytest.fixture
def terminal(screen, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen.isatty = lambda: True
    return console.Console(screen)


def read_lines(screen):
    """What was written, with every duration as T."""
    return re.sub(r"\d+\.\d s", "T s", screen.getvalue()).splitlines()


def fail_in(shown, *steps):
    """Begins these of three steps, of which the last one fails."""

    def run():
        with shown.show_steps(3):
            for step in steps:
                shown.begin(step)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run()


def test_steps_are_lines_where_there_is_no_terminal(plain, screen):
    plain.say("loading")
    with plain.show_steps(2):
        plain.begin("Trainer")
        plain.show_detail("epoch 1/2")
        assert plain.step == "Trainer"
        plain.begin("Pusher")
    plain.say("done")
    assert read_lines(screen) == ["loading", "    epoch 1/2", "[1/2] Trainer T s", "[2/2] Pusher T s", "done"]
    assert plain.step == "Pusher"


def test_no_step_is_begun_no_line_is_written(plain, screen):
    with plain.show_steps(3):
        pass
    assert read_lines(screen) == []


def test_a_failing_step_is_not_told_as_done_and_stays_the_last_one(plain, screen):
    fail_in(plain, "Transform", "Trainer")
    assert read_lines(screen) == ["[1/3] Transform T s"]
    assert plain.step == "Trainer"


def test_a_second_round_of_steps_counts_anew(plain, screen):
    for name in ("ingest", "train"):
        with plain.show_steps(1):
            assert plain.step == ""
            plain.begin(name)
    assert read_lines(screen) == ["[1/1] ingest T s", "[1/1] train T s"]


def test_text_that_looks_like_markup_is_shown_as_it_is(plain, screen):
    plain.say("[red]7[/red] of [3, 224, 224]" + " x" * 100)
    assert read_lines(screen) == ["[red]7[/red] of [3, 224, 224]" + " x" * 100]  # nor is it wrapped


def test_a_terminal_shows_a_bar_with_the_step_and_its_detail(terminal, screen):
    with terminal.show_steps(2):
        terminal.begin("Trainer")
        terminal.show_detail("epoch 1/2")
        terminal._progress.refresh()
        shown = screen.getvalue()
    assert "Trainer: epoch 1/2" in shown
    assert "0/2" in shown
    assert "[1/2] Trainer" in screen.getvalue()


def test_work_in_one_piece_is_a_line_once_it_has_begun_where_there_is_no_terminal(plain, screen):
    with plain.show_bar("ingesting images") as progress:
        assert read_lines(screen) == []
        progress(0, 30)
        progress(30, 30)
    assert read_lines(screen) == ["ingesting images"]


def test_work_in_one_piece_is_a_bar_on_a_terminal(terminal, screen):
    with terminal.show_bar("ingesting images") as progress:
        progress(12, 30)
    assert "ingesting images" in screen.getvalue()
    assert "12/30" in screen.getvalue()


@pytest.mark.parametrize("name", ["shots[/x]", "beach [edited].jpg", "[red]7[/red]", ":dog:", "[link=x]y"])
def test_names_that_look_like_markup_are_shown_as_they_are_on_a_terminal(terminal, screen, name):
    with terminal.show_bar(f"ingesting {name}") as progress:
        progress(1, 2)
        progress(1, 2, f"now {name}")
    with terminal.show_steps(1):
        terminal.begin("Trainer")
        terminal.show_detail(name)
    terminal.say(name)
    shown = screen.getvalue()
    for text in (f"ingesting {name}", f"now {name}", f"Trainer: {name}"):
        assert text in shown
    assert shown.endswith(f"{name}\n")


def test_a_long_text_is_cut_off_so_that_bar_and_numbers_fit_into_80_columns(screen, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    screen.isatty = lambda: True
    with console.Console(screen).show_bar("ingesting") as progress:
        progress(123, 45678, "a very long name of a folder " * 5)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    drawn = [line for line in re.split(r"[\r\n]+", shown) if "45678" in line]
    assert drawn
    assert all(len(line) <= 80 and "123/45678" in line and "0:00:0" in line and "…" in line for line in drawn)


def test_a_bar_may_leave_the_counting_to_its_text(terminal, screen):
    with terminal.show_bar("preparing", counted=False) as progress:
        progress(475, 1000, "1 of 2 rendered")
    assert "1 of 2 rendered" in screen.getvalue()
    assert "1000" not in screen.getvalue()


def test_after_a_failure_a_terminal_gets_plain_lines_again(terminal, screen):
    fail_in(terminal, "Transform", "Trainer")
    before = screen.getvalue()
    terminal.show_detail("still here")
    assert screen.getvalue().removeprefix(before) == "    still here\n"


def test_the_log_takes_what_python_and_other_code_write(tmp_path):
    program = f"""
import os, subprocess, sys
from pathlib import Path
from compat.standard_streams import send_to_file
from pipeline.terminal import console
shown = console.Console()
print("before")
with send_to_file(Path({str(tmp_path)!r}, "deep", "run.log")):
    print("from Python")
    sys.stderr.write("from Python's stderr\\n")
    os.write(2, b"from C++\\n")
    subprocess.run(["echo", "from a child"])
    shown.say("to the person")
print("after")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["before", "after"]
    assert done.stderr.splitlines() == ["to the person"]
    assert sorted((tmp_path / "deep" / "run.log").read_text().splitlines()) == [
        "from C++",
        "from Python",
        "from Python's stderr",
        "from a child",
    ]


def test_the_streams_come_back_after_a_failure_and_the_log_is_continued(tmp_path, capfd):
    log = tmp_path / "run.log"

    def fail(word):
        with send_to_file(log):
            os.write(1, f"{word}\n".encode())
            raise ValueError(word)

    descriptors = Path("/proc/self/fd")
    open_before = len(list(descriptors.iterdir()))
    for word in ("one", "two"):
        with pytest.raises(ValueError, match=word):
            fail(word)
    os.write(1, b"visible\n")
    assert capfd.readouterr().out == "visible\n"
    assert log.read_text() == "one\ntwo\n"
    assert len(list(descriptors.iterdir())) == open_before


def test_nodes_and_epochs_are_read_from_the_logs(plain, screen):
    with plain.show_steps(2), console.show_logged_progress(plain):
        logging.getLogger("absl").info("Component %s is running.", "Trainer")
        logging.getLogger("absl").info("Component %s is finished.", "Trainer")
        logging.getLogger("atelier.trainer").info("head epoch %d/%d", 1, 5)
        logging.getLogger("atelier.trainer").debug("not for people")
        logging.getLogger("tensorflow").info("neither")
        logging.getLogger("absl").info("Component %s is running.", "Pusher")
    logging.getLogger("atelier.trainer").info("after the run")
    assert read_lines(screen) == ["    head epoch 1/5", "[1/2] Trainer T s", "[2/2] Pusher T s"]
