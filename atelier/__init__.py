"""The ground floor: what all other packages stand on. It imports neither TensorFlow nor TFX."""

__version__ = "0.1.0"
