import pytest

from pipeline.report import trials

SPACE = {
    "rate": {"min": 1e-4, "max": 1e-2, "sampling": "log"},
    "dropout": {"min": 0.0, "max": 0.5, "sampling": "linear"},
    "optimizer": ["adam", "sgd", "rmsprop"],
    "batch_size": [],
}
RUN = [
    {"trial": "2", "accuracy": 0.9, "epochs": 9, "values": {"rate": 1e-3, "dropout": 0.25, "optimizer": "sgd"}},
    {"trial": "0", "accuracy": 0.8, "epochs": 9, "values": {"rate": 1e-2, "dropout": 0.0, "optimizer": "adam"}},
    {"trial": "1", "accuracy": 0.7, "epochs": 3, "values": {"rate": 1e-4, "dropout": 0.5, "optimizer": "rmsprop"}},
]


def test_each_value_has_its_place_by_hand():
    chart = trials.build_parallel_coordinates(RUN, SPACE)
    assert chart is not None
    # Four axes from 60 to 840; each from 270 (bottom) to 40 (top).
    assert [(axis.x, axis.name) for axis in chart.axes] == [
        (60, "rate"),
        (320, "dropout"),
        (580, "optimizer"),
        (840, "eval accuracy"),
    ]
    assert [[(tick.y, tick.text) for tick in axis.ticks] for axis in chart.axes] == [
        [(270, "0.0001"), (40, "0.01")],
        [(270, "0"), (40, "0.5")],
        [(212.5, "adam"), (155, "sgd"), (97.5, "rmsprop")],
        [(270, "0.7"), (40, "0.9")],
    ]
    # The worst first, so that the chosen one is drawn over the others; 1e-3 is half of the powers of ten.
    assert [line.path for line in chart.lines] == [
        "M60 270L320 40L580 97.5L840 270",
        "M60 40L320 270L580 212.5L840 155",
        "M60 155L320 155L580 155L840 40",
    ]
    assert [line.chosen for line in chart.lines] == [False, False, True]
    assert [line.opacity for line in chart.lines] == pytest.approx([0.15, 0.45, 0.75], abs=0.006)
    assert chart.lines[-1].text == "2: rate 0.001, dropout 0.25, optimizer sgd, eval accuracy 0.9"


def test_one_trial_and_none():
    chart = trials.build_parallel_coordinates(RUN[:1], SPACE)
    assert chart is not None
    assert chart.lines[0].path == "M60 155L320 155L580 155L840 40"
    assert trials.build_parallel_coordinates([], SPACE) is None


def test_rows_say_three_digits():
    row = {"trial": "3", "accuracy": 0.5, "epochs": None, "values": {"rate": 0.00123456, "batch_size": 128}}
    assert trials.format_rows([row]) == [{**row, "values": {"rate": "0.00123", "batch_size": "128"}}]
