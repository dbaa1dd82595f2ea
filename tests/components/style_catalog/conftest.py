import hashlib

import numpy as np
import pytest
import yaml
from PIL import Image


def draw_noise(seed, height=80, width=96):
    """[height, width, 3] uint8: an image like no other."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def make_entry(tmp_path):
    """Writes an image into the catalog's folder and gives the entry for it."""

    def make(style_id, seed=0, height=80, width=96, **values):
        file = tmp_path / f"{style_id}.png"
        Image.fromarray(draw_noise(seed, height, width)).save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        known = {"id": style_id, "file": file.name, "title": "A title", "licence": "CC0-1.0", "sha256": digest}
        return {key: value for key, value in {**known, **values}.items() if value is not ...}

    return make


@pytest.fixture
def write_catalog(tmp_path):
    """Writes entries as the folder's catalog."""

    def write(*entries):
        file = tmp_path / "catalog.yaml"
        file.write_text(yaml.safe_dump(list(entries)))
        return file

    return write
