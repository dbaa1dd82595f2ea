import pytest

from benchmarks import measure
from benchmarks.measure import Result, at_least, at_most


@pytest.mark.parametrize(
    ("target", "ratio", "holds"),
    [
        (at_most(0.5), 0.5, True),
        (at_most(0.5), 0.51, False),
        (at_least(1.6), 1.6, True),
        (at_least(1.6), 1.59, False),
    ],
)
def test_a_target_includes_its_bound(target, ratio, holds):
    assert target.holds(ratio) is holds


def test_a_target_is_written_as_a_relation():
    assert [str(at_most(1.0)), str(at_least(0.125))] == ["<= 1", ">= 0.125"]


def test_a_result_as_json():
    assert Result("ingest", "few files", 30.0, 40.0, "files/s", at_least(0.9)).as_json() == {
        "name": "ingest",
        "case": "few files",
        "ours": 30.0,
        "beside": 40.0,
        "unit": "files/s",
        "ratio": 0.75,
        "target": ">= 0.9",
        "holds": False,
    }


def test_without_a_target_nothing_holds_or_fails():
    entry = Result("import", "help", 1.0, 2.0, "s", None).as_json()
    assert (entry["ratio"], entry["target"], entry["holds"]) == (0.5, None, None)


def make_sides(calls, ours=(), beside=()):
    """Two measurements that note who was called, and give these figures, or the number of the call."""

    def side(name, figures):
        def measured():
            calls.append(name)
            return figures[calls.count(name) - 1] if figures else float(len(calls))

        return measured

    return side("ours", ours), side("beside", beside)


def test_sides_take_turns_at_coming_first():
    calls: list[str] = []
    ours, beside = make_sides(calls)
    found = measure.interleave(ours, beside, rounds=3)
    assert calls == ["ours", "beside", "beside", "ours", "ours", "beside"]
    assert found == ([1.0, 4.0, 5.0], [2.0, 3.0, 6.0])


def test_there_are_five_rounds():
    calls: list[str] = []
    ours, beside = make_sides(calls)
    measure.interleave(ours, beside)
    assert len(calls) == 10


def test_compared_takes_the_medians_and_not_the_means():
    ours, beside = make_sides([], ours=(3.0, 1.0, 100.0), beside=(2.0, 2.0, 0.0))
    result = measure.compare("train", "an epoch", "s", at_most(1.5), ours, beside, rounds=3)
    assert result == Result("train", "an epoch", 3.0, 2.0, "s", at_most(1.5))
    assert result.ratio == 1.5
