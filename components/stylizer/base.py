"""The file of the base network, which `train_base` made; BASE.md beside it is its model card."""

from pathlib import Path

BASE = Path(__file__).parent / "base.npz"
BASE_SHA256 = "a18afa19ec2a852760379babd890b448908234d6bd36b2cf4a8a59ec8bfa22cf"
