import numpy as np
import pytest

from pipeline.report import confusion
from tests.deferred import deferred_imports

with deferred_imports():
    from sklearn import metrics

# Of 10 cats 7 are recognized and 3 taken for dogs; of 4 dogs all; the one bird is taken for a cat.
CELLS = [[0, 0, 7], [0, 1, 3], [1, 1, 4], [2, 0, 1]]
NAMES = ["cat", "dog", "bird"]


def test_precision_and_recall_by_hand():
    bird, cat, dog = confusion.count_by_class(CELLS, NAMES)
    assert (cat.name, cat.images, cat.precision, cat.recall) == ("cat", 10, 7 / 8, 0.7)
    assert (cat.mistaken_for, cat.mistakes) == ("dog", 3)
    assert (dog.name, dog.images, dog.precision, dog.recall) == ("dog", 4, 4 / 7, 1.0)
    assert (dog.mistaken_for, dog.mistakes) == ("", 0)
    assert (bird.name, bird.images, bird.precision, bird.recall) == ("bird", 1, None, 0.0)


def test_precision_and_recall_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    actual = rng.integers(0, 12, 500)
    predicted = np.where(rng.random(500) < 0.6, actual, rng.integers(0, 12, 500))
    matrix = metrics.confusion_matrix(actual, predicted)
    cells = [[int(a), int(p), int(matrix[a, p])] for a, p in zip(*np.nonzero(matrix), strict=True)]
    rows = {int(row.name): row for row in confusion.count_by_class(cells, [])}
    precision, recall, _, support = metrics.precision_recall_fscore_support(actual, predicted)
    for number in range(12):
        row = rows[number]
        assert (row.precision, row.recall, row.images) == pytest.approx(
            (precision[number], recall[number], support[number])
        )


def test_a_class_that_is_only_predicted_comes_last():
    rows = confusion.count_by_class([[0, 2, 1], [0, 0, 1]], [])
    assert [(row.name, row.images, row.recall, row.precision) for row in rows] == [
        ("0", 2, 0.5, 1.0),
        ("2", 0, None, 0.0),
    ]


def test_images_without_a_prediction_count_as_mistakes():
    rows = confusion.count_by_class([[0, -1, 3], [0, 0, 1]], ["cat"])
    assert [(row.name, row.recall, row.mistaken_for) for row in rows] == [("cat", 0.25, "none")]


def test_pairs_are_sorted_by_images():
    assert confusion.find_pairs(CELLS, NAMES, most=5) == [
        confusion.Pair("cat", "dog", 3, 0.3),
        confusion.Pair("bird", "cat", 1, 1.0),
    ]
    assert confusion.find_pairs(CELLS, NAMES, most=1) == [confusion.Pair("cat", "dog", 3, 0.3)]


def test_heat_map_by_hand():
    rows = confusion.build_heat_map(CELLS, [*NAMES, "fish"])
    assert rows is not None
    assert [name for name, _ in rows] == ["cat", "dog", "bird", "fish"]
    assert [[cell.images for cell in cells] for _, cells in rows] == [
        [7, 3, 0, 0],
        [0, 4, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    cat = rows[0][1]
    # 10 * sqrt(0.7) = 8.4 and 10 * sqrt(0.3) = 5.5
    assert [cell.level for cell in cat] == [8, 5, 0, 0]
    assert [cell.right for cell in cat] == [True, False, False, False]


def test_one_mistake_in_a_thousand_has_a_shade():
    rows = confusion.build_heat_map([[0, 0, 9999], [0, 1, 1]], ["a", "b"])
    assert rows is not None
    cells = rows[0][1]
    assert [cell.level for cell in cells] == [10, 1]


@pytest.mark.parametrize(("classes", "drawn"), [(40, True), (41, False)])
def test_heat_maps_stay_legible(classes, drawn):
    assert (confusion.build_heat_map([[classes - 1, 0, 1]], []) is not None) == drawn


def test_nothing_comes_of_nothing():
    assert confusion.count_by_class([], NAMES) == []
    assert confusion.find_pairs([], NAMES, most=3) == []
    assert confusion.build_heat_map([], NAMES) is None
