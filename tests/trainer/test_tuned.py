"""What Keras Tuner writes beside the values that it chose."""

from pipeline.config.training import Space
from trainer import tuned


def test_keras_tuners_bookkeeping_is_left_out():
    found = {"dropout": 0.3, "tuner/epochs": 5, "tuner/bracket": 1, "tuner/trial_id": "0003", "fine_tune_at": 4}
    assert tuned.values(found) == {"dropout": 0.3, "fine_tune_at": 4}


def test_keys_of_fine_tuning_are_some_that_can_be_searched():
    assert set(tuned.OF_FINE_TUNING) < set(Space.model_fields)
