"""The file of the base network, which `train_base` made; BASE.md beside it is its model card."""

from pathlib import Path

BASE = Path(__file__).parent / "base.npz"
BASE_SHA256 = "6f9ef3fee251e9884f46be6068c219fa4fe12d553dcc05de1fe236890985751c"
