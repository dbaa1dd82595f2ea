import errno
import os

import numpy as np
import pytest

from atelier.files import mapped


def test_an_array_in_a_file_holds_what_is_written_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = mapped.create((2, 3, 5))
    assert (array.shape, array.dtype, array.any()) == ((2, 3, 5), np.float32, False)
    array[1, 2] = 7
    assert list(tmp_path.iterdir()) == []
    assert array.sum() == 35


def test_its_space_is_there_or_it_is_not_made(monkeypatch):
    reserved = []

    def reserve(descriptor, offset, length):
        reserved.append((offset, length))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    with pytest.raises(OSError, match="No space left on device"):
        mapped.create((1000, 1000, 3))
    assert reserved == [(0, 12_000_000)]
