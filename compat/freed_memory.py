"""Memory that is free, and yet counts as this process's.

glibc keeps freed pages, and Linux counts the pages of mapped files to the process that touched them. It can go when
memory is bounded without it: tests/components/style_renderer/engine/test_memory.py measures that.
"""

import contextlib
import ctypes
import gc
import mmap

import numpy as np


def give_back() -> None:
    """Collects what was released, and has the C library return free pages to the system, which it else keeps."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def unmap(*arrays: np.ndarray) -> None:
    """Takes the pages of arrays that lie in files out of this process's memory; they come back when they are touched.

    What was written stays written: it is in the file, or the system's on its way there.
    """
    for array in arrays:
        base: object = array.base
        if isinstance(base, mmap.mmap):
            base.madvise(mmap.MADV_DONTNEED)
