"""Looking after work that blocks, such as a Beam pipeline, from another thread."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def call_repeatedly(look: Callable[[], None], pause: float) -> Iterator[None]:
    """Calls `look` every `pause` seconds, from another thread, until the block ends.

    A look that takes long is repeated less often: looking never takes more than a tenth of the time.
    """
    ended = threading.Event()

    def watch() -> None:
        rest = pause
        while not ended.wait(rest):
            started = time.monotonic()
            look()
            rest = max(rest, 10 * (time.monotonic() - started))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
