"""`atelier ab` and `atelier feedback` through the command line, against a server without models."""

import contextlib
import io
import json
import re
import time

import click
import pytest
from click.testing import CliRunner

from pipeline import cli
from pipeline.commands.ab import guarding, judging
from serving.ab.answer_log import Answer, AnswerLog, format_now, read_log
from tests.serving.monitor.scraping import labeled, scrape
from tests.serving.registry.dying import KilledError, dying_at
from tests.serving.registry.label_server import LabelServer


def atelier(*words):
    """Standard output of a command, run in this process."""
    done = CliRunner().invoke(cli.cli, [str(word) for word in words], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.stdout


@pytest.fixture
def test(tmp_path):
    """A running test: version 1 is stable, version 2 the canary. Gives the server, the options and the log's folder."""
    for version in (1, 2):
        folder = tmp_path / "serving_model" / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"made up")
    fake = LabelServer(1)
    with fake.serving() as target:
        where = ["--models", tmp_path / "serving_model"]
        atelier("models", "promote", 1, *where, "--target", target)
        atelier("models", "promote", 2, *where, "--target", target, "--alias", "canary")
        yield fake, [*where, "--log", tmp_path / "answers.jsonl"], ["--target", target]


def write(log, errors, requests=300):
    """Answers of both arms with their truths; `errors` of the canary's and of the control group's are wrong."""
    writer = AnswerLog(log)
    for arm, version, wrong in (("canary", 2, errors[0]), ("control", 1, errors[1])):
        for number in range(requests):
            id_ = f"{arm}{number}"
            writer.add_answer(Answer(id_, format_now(), arm, version, "cat", 0.9, 5.0, 0.1, 0.1))
            writer.add_truths([(id_, "dog" if number < wrong else "cat")])
    writer.close()


def test_the_report_names_arms_numbers_and_verdict(test, tmp_path):
    _, where, _ = test
    write(tmp_path / "answers.jsonl", (60, 20))
    found = json.loads(atelier("ab", "report", *where, "--json"))
    assert (found["verdict"], found["arms"]["canary"]["wrong"]) == ("roll back", 60)
    assert found["arms"]["control"]["version"] == 1
    text = atelier("ab", "report", *where)
    for words in ("0.8000", "0.9333", "E-value of the errors: ", "roll back: the canary makes more errors: 60 errors"):
        assert words in text
    assert "wait: the canary has 300 of at least 500" in atelier("ab", "report", *where, "--min-requests", 500)


def test_no_canary_and_no_log_are_no_data(test, tmp_path):
    _, where, target = test
    assert "no data: " in atelier("ab", "report", *where)
    assert "no client has logged an answer" in atelier("ab", "report", *where)
    atelier("models", "rollback", *where[:2], *target, "--alias", "canary")
    assert "no data: there is no canary: canary and stable are both version 1" in atelier("ab", "report", *where)


def test_a_space_after_the_comma_is_no_part_of_a_class(tmp_path):
    log = tmp_path / "answers.jsonl"
    write(log, (0, 0), requests=2)
    (tmp_path / "truths.csv").write_text("canary0, cat\ncanary1 ,cat \n")
    atelier("feedback", "--log", log, "--file", tmp_path / "truths.csv")
    assert read_log(log)[1]["canary0"] == read_log(log)[1]["canary1"] == "cat"


def test_a_truth_that_no_answer_names_is_added_with_a_warning_and_an_empty_one_is_not(tmp_path, capfd):
    log = tmp_path / "answers.jsonl"
    write(log, (0, 0), requests=2)
    assert cli.main(["feedback", "canary0", "Cat", "--log", str(log)]) == 0
    assert "no answer in" in (told := capfd.readouterr().err)
    assert "the class Cat;" in told
    assert cli.main(["feedback", "canary0", "cat", "--log", str(log)]) == 0
    assert capfd.readouterr().err == ""
    assert cli.main(["feedback", "canary0", " ", "--log", str(log)]) == 2
    assert cli.main(["feedback", "canary0", "--file", str(log), "--log", str(log)]) == 2
    assert read_log(log)[1]["canary0"] == "cat"


def test_the_guard_rolls_a_worse_canary_back_and_logs_why(test, tmp_path):
    fake, where, target = test
    write(tmp_path / "answers.jsonl", (60, 20))
    advice = atelier("ab", "guard", *where, "--once", "--advise")
    assert "roll back: the canary makes more errors" in advice
    assert fake.labels == {"stable": 1, "canary": 2}
    assert "canary: 2 -> 1" in atelier("ab", "guard", *where, *target, "--once")
    assert fake.labels == {"stable": 1, "canary": 1}
    last = json.loads(atelier("models", "history", *where[:2], "--json"))[-1]["intent"]
    assert (last["verb"], last["alias"], last["numbers"]["arms"]["canary"]["wrong"]) == ("rollback", "canary", 60)
    assert "60 errors in 300 requests" in last["why"]
    # What was counted before does not count for a canary that is set anew.
    atelier("models", "promote", 2, *where[:2], *target, "--alias", "canary")
    assert "no data: no request of the canary was logged" in atelier("ab", "guard", *where, *target, "--once")


def test_the_guard_promotes_a_better_canary_and_waits_between_equals(test, tmp_path):
    fake, where, target = test
    write(tmp_path / "answers.jsonl", (30, 32))
    assert "wait: the arms are not told apart" in atelier("ab", "guard", *where, *target, "--once")
    assert fake.labels == {"stable": 1, "canary": 2}
    (tmp_path / "answers.jsonl").unlink()
    write(tmp_path / "answers.jsonl", (20, 60))
    assert "stable: 1 -> 2" in atelier("ab", "guard", *where, *target, "--once")
    assert fake.labels == {"stable": 2, "canary": 2}
    with pytest.raises(Exception, match="--target"):
        atelier("ab", "guard", *where, "--once")


@pytest.mark.parametrize("errors", [(60, 20), (20, 60)])
def test_the_guard_does_not_act_on_aliases_that_were_moved_while_it_judged(test, tmp_path, monkeypatch, errors):
    """A large log takes long to judge; the verdict on one canary is not for the next."""
    fake, where, target = test
    (tmp_path / "serving_model/3").mkdir()
    (tmp_path / "serving_model/3/saved_model.pb").write_bytes(b"made up")
    write(tmp_path / "answers.jsonl", errors)

    def judge_and_move(*arguments, judge=judging.judge_test):
        report = judge(*arguments)
        atelier("models", "promote", 3, *where[:2], *target, "--alias", "canary")
        return report

    monkeypatch.setattr(guarding, "judge_test", judge_and_move)
    assert "somebody else has moved an alias" in atelier("ab", "guard", *where, *target, "--once")
    assert fake.labels == {"stable": 1, "canary": 3}


@pytest.mark.slow
@pytest.mark.parametrize(("errors", "verb"), [((60, 20), "rollback"), ((20, 60), "promote")])
def test_a_guard_that_was_killed_is_settled_by_the_next(test, tmp_path, errors, verb):
    """Whichever step it was killed at, the next guard ends where an undisturbed one does, and the log has no gap."""
    fake, where, target = test

    def die():
        raise KilledError

    told, interrupted = [], 0
    for fatal in range(99):
        (tmp_path / "answers.jsonl").unlink(missing_ok=True)  # answers from before this canary do not count
        write(tmp_path / "answers.jsonl", errors)
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KilledError):
            moments = dying_at(fatal, die, patch.setattr)
            atelier("ab", "guard", *where, *target, "--once")
        if len(moments) <= fatal:
            break
        told.append(atelier("ab", "guard", *where, *target, "--once"))
        version = 1 if verb == "rollback" else 2
        assert fake.labels == {"stable": version, "canary": version}
        changes = json.loads(atelier("models", "history", *where[:2], "--json"))
        assert {each["outcome"] for each in changes} <= {"done", "undone"}
        assert changes[-1]["intent"]["verb"] == verb
        interrupted += "was interrupted; now it is" in told[-1]
        if verb == "promote":
            atelier("models", "rollback", *where[:2], *target)
        atelier("models", "promote", 2, *where[:2], *target, "--alias", "canary")
    assert fatal >= 8
    assert interrupted >= 6
    assert any("now it is done" in each for each in told)
    assert any("now it is undone" in each for each in told)


def test_a_look_that_fails_does_not_end_the_guard(test, tmp_path, monkeypatch):
    _, where, target = test
    (tmp_path / "answers.jsonl").write_text('{"a": 1}\n')
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        (tmp_path / "answers.jsonl").write_text("")
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    words = [str(word) for word in ("ab", "guard", *where, *target, "--every", 7)]
    done = CliRunner().invoke(cli.cli, words, standalone_mode=False)
    assert looks == [7, 7]
    assert "line 1: no record of an A/B test" in done.stderr
    assert "no data: no request of the canary was logged" in done.stdout


def test_the_guard_publishes_verdict_accuracy_and_versions(test, tmp_path, monkeypatch):
    _, where, target = test
    write(tmp_path / "answers.jsonl", (60, 20))
    scraped: list[dict] = []

    def sleep(_):
        (url,) = re.findall(r"metrics at (http://127\.0\.0\.1:\d+/metrics)\n", output.getvalue())
        scraped.append(scrape(url))
        raise KeyboardInterrupt

    output = io.StringIO()
    monkeypatch.setattr(time, "sleep", sleep)
    words = [*where, *target, "--target", "127.0.0.1:1", "--advise", "--metrics-port", 0]
    with contextlib.redirect_stdout(output), contextlib.suppress(KeyboardInterrupt, click.exceptions.Exit, click.Abort):
        cli.cli.main([str(word) for word in ("ab", "guard", *words)], standalone_mode=False)
    (samples,) = scraped
    assert samples["atelier_ab_verdict"] == {
        labeled(verdict=each): float(each == "roll back") for each in ("promote", "roll back", "wait", "no data")
    }
    assert samples["atelier_ab_e_value"][()] > 25
    assert samples["atelier_ab_requests"][labeled(arm="canary", version="2")] == 300
    assert samples["atelier_ab_errors"][labeled(arm="control", version="1")] == 20
    assert samples["atelier_accuracy_ratio"] == {
        labeled(arm="canary", version="2"): 0.8,
        labeled(arm="control", version="1"): pytest.approx(1 - 20 / 300),
    }
    up = samples["atelier_ab_server_up"]
    assert (up[labeled(target=target[1])], up[labeled(target="127.0.0.1:1")]) == (1, 0)
    states = samples["atelier_ab_server_version_state"]
    assert set(states) == {labeled(target=target[1], version=version, state="AVAILABLE") for version in ("1", "2")}


def test_a_host_for_metrics_without_a_port_is_wrong_usage(test):
    _, where, _ = test
    with pytest.raises(click.UsageError, match="--metrics-host needs --metrics-port"):
        atelier("ab", "guard", *where, "--advise", "--metrics-host", "0.0.0.0")  # noqa: S104


def test_feedback_by_id_and_by_file(test, tmp_path):
    log = tmp_path / "answers.jsonl"
    write(log, (0, 0), requests=2)
    assert atelier("feedback", "canary0", "dog", "--log", log) == f"{log}: 1 truth added\n"
    (tmp_path / "truths.csv").write_text("canary1,bird\ncontrol0,cat\n")
    assert atelier("feedback", "--file", tmp_path / "truths.csv", "--log", log) == f"{log}: 2 truths added\n"
    assert read_log(log)[1] == {"canary0": "dog", "canary1": "bird", "control0": "cat", "control1": "cat"}
    with pytest.raises(Exception, match="no request nobody; nothing was added"):
        atelier("feedback", "nobody", "dog", "--log", log)
    (tmp_path / "truths.csv").write_text("canary1,bird\ncontrol0\n")
    with pytest.raises(Exception, match=r"truths.csv: line 2: write the id"):
        atelier("feedback", "--file", tmp_path / "truths.csv", "--log", log)
    with pytest.raises(Exception, match="or --file"):
        atelier("feedback", "canary0", "--log", log)
