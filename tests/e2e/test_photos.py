"""Pretrained weights are really loaded: without them the same budget learns far less."""

from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, run_pipeline

pytestmark = pytest.mark.slow


def test_pretrained_weights_make_the_difference(tmp_path: Path) -> None:
    config = ROOT / "configs" / "photos.yaml"
    pretrained = run_pipeline(tmp_path / "output", "--config", config)
    assert pretrained.code == 0, pretrained.stderr
    accuracy = pretrained.result["metrics"]["accuracy"]
    assert accuracy >= 0.85
    random = run_pipeline(tmp_path / "output", "--config", config, "--set", "trainer.weights=none")
    assert random.code == 1
    assert random.result["nodes"]["Transform"] == "cached"
    assert random.result["metrics"]["accuracy"] <= accuracy - 0.4
