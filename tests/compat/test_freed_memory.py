import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compat import freed_memory


def resident_mb(kind):
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024


def test_pages_of_files_are_let_go_and_what_was_written_stays(tmp_path):
    array = np.memmap(tmp_path / "a.f32", np.float32, "w+", shape=(16 * 2**20,))  # 64 MB
    before = resident_mb("RssFile")
    array[:] = 7
    assert resident_mb("RssFile") > before + 50
    freed_memory.unmap(array)
    assert resident_mb("RssFile") < before + 5
    assert (array == 7).all()


def test_arrays_in_memory_are_left_alone():
    array = np.ones(8)
    freed_memory.unmap(array, array[2:])
    assert array.tolist() == [1] * 8


@pytest.mark.slow
def test_free_memory_goes_back_to_the_system():
    gc.collect()
    kept = [bytes(60_000) for _ in range(3000)]  # too small for pages of their own
    last = kept[-1]  # keeps the heap from shrinking by itself
    del kept
    freed_memory.give_back()
    before = resident_mb("RssAnon")
    blocks = [bytes(60_000) for _ in range(3000)]
    grown = resident_mb("RssAnon")
    last = blocks[-1]
    del blocks
    freed_memory.give_back()
    assert grown > before + 100
    assert resident_mb("RssAnon") < before + 30
    assert len(last) == 60_000


KEEPING = """
import contextlib
import sys
from tests.compat.test_freed_memory import resident_mb
from compat import freed_memory

before = resident_mb("RssAnon")
with freed_memory.keep() if sys.argv[1] == "kept" else contextlib.nullcontext():
    for _ in range(3):
        block = bytearray(b"x") * (48 * 2**20)
        del block
        print(resident_mb("RssAnon") - before > 40)
block = bytearray(b"x") * (48 * 2**20)
del block
print(resident_mb("RssAnon") - before > 20)
"""


@pytest.mark.parametrize(
    ("mode", "is_held"), [("kept", ["True", "True", "True", "False"]), ("given back", ["False"] * 4)]
)
def test_what_is_released_is_kept_as_long_as_it_is_asked_for(mode, is_held):
    done = subprocess.run([sys.executable, "-c", KEEPING, mode], capture_output=True, text=True, check=True)
    assert done.stdout.split() == is_held
