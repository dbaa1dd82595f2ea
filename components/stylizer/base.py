"""The file of the base network, which `train_base` made; BASE.md beside it is its model card."""

from pathlib import Path

BASE = Path(__file__).parent / "base.npz"
BASE_SHA256 = "eeaa59d02bb12c2c51f1954479d3db6de4628a3c4d099c3970df7ed6b158f6a8"
