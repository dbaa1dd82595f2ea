"""A backbone is added by one file: it can be configured, built and fine-tuned."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deferred import deferred_imports
from trainer import backbones
from trainer.backbones import registry

with deferred_imports():
    import keras

ROOT = Path(__file__).parents[2]
FAMILY = """
from trainer.backbones.registry import Network, register

register(Network("two_convolutions", 2, (".h5",), lambda name, size, **_: None))
"""


def build_two_convolutions(name, size, **_):
    pixels = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(4, 3, 2, name="low")(pixels)
    return keras.Model(pixels, keras.layers.Conv2D(8, 3, 2, name="high")(x), name=name)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_NETWORKS", dict(registry._NETWORKS))
    monkeypatch.setattr(backbones, "NETWORKS", registry._NETWORKS)
    return registry.register


def test_a_new_file_is_found_and_its_name_is_one_of_the_configuration(tmp_path):
    for package in ("atelier", "trainer"):
        shutil.copytree(ROOT / package, tmp_path / package)
    (tmp_path / "trainer" / "backbones" / "families" / "two_convolutions.py").write_text(FAMILY)
    program = (
        "from trainer.settings import Trainer; "
        "print(Trainer(backbone='two_convolutions', fine_tune_at=1).backbone); "
        "Trainer(backbone='two_convolutions', fine_tune_at=2)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert done.stdout == "two_convolutions\n", done.stderr
    assert "trainer.fine_tune_at is 2: two_convolutions has the blocks 0 to 1" in done.stderr


def test_its_model_is_built_and_fine_tuned_by_its_own_blocks(registered, monkeypatch):
    def group_layers(layers):
        return tuple((name,) for name in layers)

    registered(registry.Network("two_convolutions", 2, (".h5",), build_two_convolutions, group_layers))
    monkeypatch.setattr(backbones, "NAMES", ("two_convolutions",))
    backbone = backbones.build("two_convolutions", 32, weights="none")
    assert (backbone.blocks, backbone.pooled_channels) == ((("low",), ("high",)), 8)
    backbones.set_trainable(backbone, 1)
    assert [layer.name for layer in backbone.model.layers if layer.trainable and layer.weights] == ["high"]


def test_a_name_is_registered_once(registered):
    with pytest.raises(ValueError, match=r"efficientnet_b0: .* registered already"):
        registered(registry.NETWORKS["efficientnet_b0"])
