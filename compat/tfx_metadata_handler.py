"""TFX's handler of ML Metadata, which has no hook for what happens before and after it connects.

Needed with TFX 1.21, which connects again for each step of a node: MLMD waits forever for a server that hangs, and
needs `compat.mlmd_on_postgresql` on PostgreSQL. It can go when `tfx.orchestration.metadata.Metadata` takes a function
that makes its store.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ml_metadata.metadata_store import MetadataStore

UPSTREAM = {"tfx": "1.21.0"}


@contextmanager
def watch_connections(before: Callable[[], None], after: Callable[[MetadataStore], object]) -> Iterator[None]:
    """Calls two functions at each connection that TFX makes within the block.

    Args:
      before: is called first; what it raises is raised where TFX connects.
      after: is called with the store that TFX has got.
    """
    from tfx.orchestration import metadata  # TFX takes seconds

    enter = metadata.Metadata.__enter__

    def enter_watched(self: metadata.Metadata) -> metadata.Metadata:
        before()
        entered = enter(self)
        after(entered.store)
        return entered

    metadata.Metadata.__enter__ = enter_watched
    try:
        yield
    finally:
        metadata.Metadata.__enter__ = enter
