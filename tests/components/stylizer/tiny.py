"""A small network that has every layer of the stylizer's, for tests that need no trained one."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras import Model


def build_network(styles: int = 2, *, blocks: int = 1) -> "Model":
    """Random rows: each layer, style and strength matters, and nothing is the identity. It is the same each time."""
    import keras

    from components.stylizer import network

    keras.utils.set_random_seed(1)
    model = network.build(styles, channels=(3, 4, 5), blocks=blocks)
    random = np.random.default_rng(5)
    for variable in model.variables:
        if variable.name in ("scale", "offset"):
            variable.assign(random.normal(1, 0.5, variable.shape))
    return model
