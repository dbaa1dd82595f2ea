"""Arrays that lie in files, for what does not fit into memory.

The files have no name: they are gone with the arrays, whatever ends the process.
"""

import math
import os
import tempfile
from collections.abc import Sequence

import numpy as np


def create(shape: Sequence[int]) -> np.memmap:
    """Makes an array of float32 zeros in the folder of temporary files.

    Raises:
      OSError: the disk has not enough space. Without the reservation, a write would end the process with SIGBUS.
    """
    with tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, max(math.prod(shape) * np.dtype(np.float32).itemsize, 1))
        return np.memmap(file, np.float32, "r+", shape=tuple(shape))
