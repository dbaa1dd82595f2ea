"""Standard error of a server's process: its own lines, without the hundreds of TensorFlow's and gRPC's native code.

Two of gRPC's tell what nothing else does: that a client's first bytes were not what this port speaks. They are put
into words. gRPC writes the one about plain text only while it traces HTTP/2, so that is switched on. It costs half a
millisecond of a processor a call (3.0 instead of 2.5 with the tests' tiny model); `GRPC_TRACE= atelier serve ...` does
without.

Needed with TensorFlow 2.21 and gRPC 1.85. It can go when both write to Python's `logging`, and gRPC's server tells of
failed handshakes there.
"""

import contextlib
import io
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator

UPSTREAM = {"tensorflow": "2.21.0", "grpcio": "1.85.1"}

ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "INFO", "GRPC_TRACE": "http"}
"""To be set before TensorFlow and gRPC are imported, unless the user has set them."""

_log = logging.getLogger("atelier.serving")
_NATIVE = re.compile(rb"^(WARNING: All log messages before absl|[IWEF]\d{4} )")
_TLS_TO_PLAIN = re.compile(rb"Connect string mismatch: expected 'P' \(80\) got .* \(22\) at byte 0")
_HANDSHAKE = re.compile(rb"Handshake failed with error SSL_ERROR_SSL: error:\w+:SSL routines:OPENSSL_internal:(\w+)")
_NOT_TLS = (b"WRONG_VERSION_NUMBER", b"HTTP_REQUEST")


@contextlib.contextmanager
def filter_native_lines() -> "Iterator[Terminal]":
    """Takes descriptor 2 over, and gives the stream that still leads to where it led.

    Lines of native code go nowhere, but for those that `explain` knows; all others go through. What cannot be written,
    for lack of space, is lost: the server goes on.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    terminal = Terminal(saved)
    reader = threading.Thread(target=_pass_on, args=(reading, saved), name="native-log", daemon=True)
    reader.start()
    try:
        yield terminal
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)  # closes the pipe's last writing end, which ends the reader
        reader.join()
        os.close(saved)


class Terminal(io.TextIOBase):
    """A stream to a descriptor that raises nothing."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        """Writes what can be written."""
        _write(self._descriptor, text.encode(errors="backslashreplace"))
        return len(text)


def _write(descriptor: int, line: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, line)


def explain(line: bytes) -> str | None:
    """Puts a line of gRPC about a client that cannot be understood into words; None for any other line."""
    if _TLS_TO_PLAIN.search(line):
        return (
            "a client began with TLS, and this port speaks plain text: leave TLS out at the client, or start the "
            "server with --ssl-config-file"
        )
    if found := _HANDSHAKE.search(line):
        if found[1] in _NOT_TLS:
            return (
                "a client began with plain text, and this port speaks TLS: the client needs TLS and the CA (--tls --ca)"
            )
        return f"a client's TLS handshake failed: {found[1].decode().replace('_', ' ').lower()}"
    return None


def _pass_on(reading: int, terminal: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if message := explain(line):
                _log.warning(message)
            elif not _NATIVE.match(line):
                _write(terminal, line)
