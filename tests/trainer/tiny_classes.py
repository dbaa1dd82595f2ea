"""What `tiny_data` holds, in numbers; needs no TensorFlow."""

from tests.trainer.image_kinds import IMAGES

SIZE = 48
CLASSES = ("reddish thing", "greenish thing", "bluish thing")
"""Learnable at a glance: the channel that is lightest."""
TRAIN_COUNTS = (20, 12, 8)
EVAL_COUNTS = (5, 5, 5)
GOLDEN = tuple(IMAGES)
