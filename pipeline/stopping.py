"""SIGTERM and a closed terminal end a command as Ctrl-C does: what it started ends, and what is unfinished goes."""

import contextlib
import signal
import threading
from collections.abc import Iterator

_LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The process was asked to end, by a signal other than Ctrl-C's."""

    def __init__(self, number: int) -> None:
        """Remembers the signal."""
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raises `Stopped` where one of these signals arrives, unless it is ignored, as `nohup` lets SIGHUP be."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _LIKE_CTRL_C}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the signal's number, as shells tell it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def _raise(number: int, _frame: object) -> None:
    raise Stopped(number)
