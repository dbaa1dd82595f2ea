"""Twenty images of three classes, five of class 0 and fifteen of class 1, and two models' answers.

Worked out by hand, in images:

* SavedModel: 19 of 20 right; class 0: 5 of 5, class 1: 14 of 15.
* TFLite: 17 of 20 right; class 0: 4 of 5, class 1: 13 of 15. So it loses 0.1, and 0.2 on class 0.
* They disagree on 3 of 20: two that TFLite alone gets wrong, and one that both get wrong, differently.
"""

import numpy as np

LABELS = np.array([0] * 5 + [1] * 15)
SAVED_MODEL = np.array([0] * 5 + [1] * 14 + [0])
TFLITE = np.array([2] + [0] * 4 + [2] + [1] * 13 + [2])


def probabilities(classes: np.ndarray) -> np.ndarray:
    """[20, 3] float32: the answer gets 0.5 to 0.8, the next class (circularly) two thirds of the rest."""
    confidence = np.random.default_rng(0).uniform(0.5, 0.8, 20)
    rows = np.zeros((20, 3), np.float32)
    for share, step in ((confidence, 0), ((1 - confidence) * 2 / 3, 1), ((1 - confidence) / 3, 2)):
        rows[np.arange(20), (classes + step) % 3] = share
    return rows
