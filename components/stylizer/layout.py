"""Names of the files in the stylizer's artifacts. Importing this module is cheap: the report reads it."""

STYLIZER_FILE = "stylizer.npz"
"""In StylizerTrainer's model: what `components.stylizer.stylizer.load` reads."""
TFLITE_FOLDER = "tflite"
"""In the SavedModel's `assets.extra/`: TFLite files with their cards; see `components.stylizer.exports.tflite`."""
TRAINING_FILE = "training.json"
"""In its ModelRun: what was trained."""
EVALUATION_FILE = "evaluation.json"
"""In StylizerEvaluator's evaluation: the verdict, and what was measured."""
GRID = "grid"
"""Folder in it: `<style>-<column>.jpg` for each style and each of `COLUMNS`, of the first held-out image."""
COLUMNS = ("content", "optimizer", "one-pass", "half")
"""The last is one pass at a strength of 0.5."""
