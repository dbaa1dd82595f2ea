"""The section `evaluator`: the gate of the SavedModel."""

from atelier import layout
from atelier.settings.field_types import Count, Fraction
from atelier.settings.section import Section
from trainer.settings import Name


class Evaluator(Section):
    """The SavedModel's gate. Both thresholds must be given: no model passes by forgetting them."""

    min_accuracy: Fraction
    """Least accuracy on the test split."""
    max_accuracy_drop: Fraction
    """Against the baseline, in accuracy (0.01 is one point)."""
    top_k: Count = 3
    """The report also shows how often the label is among this many most probable classes."""
    slices: tuple[Name, ...] = (layout.CLASS_ID, layout.IMAGE_FORMAT)
    """Features whose values are reported one by one; those that the records lack are left out."""
    min_slice_accuracy: Fraction = 0.0
    """Least accuracy on each value of each feature in `slices`; a feature that the records lack rejects the model. 0:
    none is asked for. A slice of few images varies by chance: 20 images at an accuracy of 0.9 lie below 0.8 in one of
    23 runs."""
