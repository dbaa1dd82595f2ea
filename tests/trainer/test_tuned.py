"""What Keras Tuner writes beside the values that it chose."""

from trainer import tuned


def test_keras_tuners_bookkeeping_is_left_out():
    found = {"dropout": 0.3, "tuner/epochs": 5, "tuner/bracket": 1, "tuner/trial_id": "0003", "fine_tune_at": 4}
    assert tuned.drop_bookkeeping(found) == {"dropout": 0.3, "fine_tune_at": 4}
