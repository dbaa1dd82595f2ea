"""Memory that is free, and whether it counts as this process's.

glibc keeps some freed pages and gives others back, and Linux counts the pages of mapped files to the process that
touched them. It can go when memory is bounded without it (tests/components/style_renderer/engine/test_memory.py
measures that), and when TensorFlow keeps the memory of its tensors itself on a processor, as it does on a GPU.
"""

import contextlib
import ctypes
import gc
import mmap
from collections.abc import Iterator

import numpy as np

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of malloc.h; see mallopt(3)
_HIGHEST_THRESHOLD = 32 * 2**20
"""To which glibc raises the threshold of mmap by itself; that of trimming is twice as high."""


@contextlib.contextmanager
def keep() -> Iterator[None]:
    """While it is entered, glibc keeps what is released, so that the next step of a training needs no new pages.

    TensorFlow allocates every tensor anew. By default glibc asks the system for pages for each large one, and gives
    them back when it is released: about a third of the processor time of a stylizer's training went into that. Another
    C library is left as it is.
    """
    _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: -1})
    try:
        yield
    finally:
        # Thresholds that were set once no longer move: they stay at what they would have risen to.
        _set({_MMAP_MAX: 65536, _MMAP_THRESHOLD: _HIGHEST_THRESHOLD, _TRIM_THRESHOLD: 2 * _HIGHEST_THRESHOLD})
        give_back()


def _set(options: dict[int, int]) -> None:
    with contextlib.suppress(OSError, AttributeError):
        for option, value in options.items():
            ctypes.CDLL(None).mallopt(option, value)


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
