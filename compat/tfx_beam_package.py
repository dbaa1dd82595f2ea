"""Keeps TFX from packing a copy of itself for each Beam node of a run whose workers are on this machine.

`tfx.utils.dependency_utils` builds a source distribution of TFX for remote workers, whatever the runner: 50 MB in the
temporary folder that are never removed, and three seconds, for each of five nodes. Workers on this machine have TFX.

Needed with TFX 1.21. It can go when `make_beam_dependency_flags` asks for the runner first:
`tests/compat/test_tfx_beam_package.py` then fails.
"""

import contextlib
from collections.abc import Iterator

UPSTREAM = {"tfx": "1.21.0"}


@contextlib.contextmanager
def skip_package() -> Iterator[None]:
    """Beam's arguments stay as they are until the block ends."""
    from tfx.utils import dependency_utils  # seconds, as all of TFX

    add_package = dependency_utils.make_beam_dependency_flags
    dependency_utils.make_beam_dependency_flags = lambda arguments: arguments
    try:
        yield
    finally:
        dependency_utils.make_beam_dependency_flags = add_package
