import math

import pytest

from pipeline.report import plots


def row(epoch, accuracy, val_accuracy):
    return {"epoch": float(epoch), "accuracy": accuracy, "val_accuracy": val_accuracy}


def test_epochs_count_on_through_the_phases():
    chart = plots.build_training_chart(
        {"head": {"curves": [row(0, 0.2, 0.4), row(1, 0.6, 0.8)]}, "fine_tune": {"curves": [row(0, 0.8, 1.0)]}},
        "accuracy",
    )
    assert chart is not None
    # Three epochs on an axis from 0.5 to 3.5, 46 to 430 wide: 128 units each, the first in the middle of its own.
    assert [(tick.at, tick.text) for tick in chart.x_ticks] == [(110, "1"), (238, "2"), (366, "3")]
    assert [(caption.at, caption.text) for caption in chart.captions] == [(174, "head"), (366, "fine-tune")]
    assert chart.dividers == [302]
    train, evaluation = chart.lines
    assert (train.name, evaluation.name) == ("train", "eval")
    # Values from 0.2 to 1.0 on an axis from 220 (bottom) to 26 (top); a phase's line does not run into the next one's.
    assert evaluation.path == "M110 171.5L238 74.5M366 26"
    assert [dot.text for dot in evaluation.dots] == [
        "eval accuracy 0.4000, epoch 1",
        "eval accuracy 0.8000, epoch 2",
        "eval accuracy 1.0000, epoch 3",
    ]
    assert chart.description == (
        "head: train accuracy from 0.2000 to 0.6000; head: eval accuracy from 0.4000 to 0.8000; "
        "fine-tune: train accuracy from 0.8000 to 0.8000; fine-tune: eval accuracy from 1.0000 to 1.0000"
    )


def test_what_is_missing_or_not_finite_leaves_a_gap():
    curves = [row(0, 0.5, math.nan), {"epoch": 1.0, "accuracy": None, "val_accuracy": 0.5}, row(2, 0.5, math.inf)]
    chart = plots.build_training_chart({"head": {"curves": curves}}, "accuracy")
    assert chart is not None
    train, evaluation = chart.lines
    assert [dot.text[-7:] for dot in train.dots] == ["epoch 1", "epoch 3"]
    assert [dot.text[-7:] for dot in evaluation.dots] == ["epoch 2"]


@pytest.mark.parametrize("phases", [{}, {"head": {}}, {"head": {"curves": []}}, {"head": {"curves": [{"epoch": 0.0}]}}])
def test_no_curve_without_a_measurement(phases):
    assert plots.build_training_chart(phases, "loss") is None


def test_long_trainings_have_few_ticks_and_no_dots():
    chart = plots.build_training_chart({"head": {"curves": [row(i, i / 200, i / 200) for i in range(200)]}}, "accuracy")
    assert chart is not None
    assert [tick.text for tick in chart.x_ticks] == [str(1 + 20 * i) for i in range(10)]
    assert all(not line.dots for line in chart.lines)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.13, 0.3, [0.1, 0.15, 0.2, 0.25, 0.3]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.981, 0.9994, [0.98, 0.985, 0.99, 0.995, 1.0]),
        (3.0, 1234.0, [0, 500, 1000, 1500]),
        (0.9, 0.9, [0.8, 0.82, 0.84, 0.86, 0.88, 0.9]),
        (0.0, 0.0, [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, expected):
    assert plots._choose_ticks(low, high) == pytest.approx(expected)


def test_reliability_by_hand():
    chart = plots.build_reliability_diagram([[0.25, 0.5, 3.0], [0.75, 1.0, 1.0]])
    assert chart is not None
    perfect, measured = chart.lines
    assert perfect.path == "M46 220L430 26"
    assert [(dot.x, dot.y) for dot in measured.dots] == [(142, 123), (334, 26)]
    assert measured.dots[0].radius > measured.dots[1].radius
    assert measured.dots[0].text == "said 0.250, came true 0.500, 3 times"
    assert plots.build_reliability_diagram([]) is None


def test_expected_calibration_error_by_hand():
    # (3 * |0.25 - 0.5| + 1 * |0.75 - 1|) / 4
    assert plots.compute_calibration_error([[0.25, 0.5, 3.0], [0.75, 1.0, 1.0]]) == pytest.approx(0.25)
    assert plots.compute_calibration_error([[0.1, 0.2, 9.0], [0.9, 0.4, 1.0]]) == pytest.approx(0.14)
