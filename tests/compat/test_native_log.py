import subprocess
import sys
from pathlib import Path

import pytest

from compat import native_log

PREFIX = b"I1124 12:14:30.375624   27175 ssl_transport_security.cc:2563] "
HANDSHAKE = PREFIX + b"Handshake failed with error SSL_ERROR_SSL: error:100000f7:SSL routines:OPENSSL_internal:"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (HANDSHAKE + b"WRONG_VERSION_NUMBER: Invalid certificate verification context\n", "began with plain text"),
        (HANDSHAKE + b"HTTP_REQUEST\n", "began with plain text"),
        (HANDSHAKE + b"PEER_DID_NOT_RETURN_A_CERTIFICATE\n", "failed: peer did not return a certificate"),
        (
            PREFIX + b"CANCEL PINGS: UNKNOWN:Failed parsing HTTP/2 (Connect string mismatch: expected 'P' (80) got "
            b"'\x16' (22) at byte 0)\n",
            "began with TLS",
        ),
    ],
)
def test_what_a_client_did_wrong_is_put_into_words(line, said):
    assert said in str(native_log.explain(line))


@pytest.mark.parametrize("line", [b"", PREFIX + b"CANCEL PINGS: OK\n", b"Traceback (most recent call last):\n"])
def test_other_lines_say_nothing(line):
    assert native_log.explain(line) is None


PROGRAM = """
import logging, os, sys
from compat import native_log
with native_log.filter_native_lines() as terminal:
    logging.basicConfig(stream=terminal, format="logged: %(message)s")
    os.write(2, b"I0000 00:00:1795 port.cc:153] oneDNN custom operations are on\\n")
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
    broken = b"Handshake failed with error SSL_ERROR_SSL: error:1:SSL routines:OPENSSL_internal:HTTP_REQUEST"
    os.write(2, b"I1124 12 h.cc:1] " + broken + b"\\n")
    print("a fault of Python's own", file=sys.stderr)
    terminal.write("the server's own line\\n")
os.write(2, b"I0000 after\\n")
"""


def test_the_terminal_gets_all_but_native_lines():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[-1] == "I0000 after"  # descriptor 2 is what it was
    *logged, _ = lines
    assert sorted(line.split(":")[0] for line in logged) == [
        "a fault of Python's own",
        "logged",
        "the server's own line",
    ]
    assert next(line for line in logged if line.startswith("logged")).startswith(
        "logged: a client began with plain text"
    )


FLOOD = """
import logging, os, sys
from compat import native_log
with native_log.filter_native_lines() as terminal:
    logging.basicConfig(stream=terminal)
    terminal.write("the first line\\n")
    for _ in range(3000):  # more than a pipe holds
        os.write(2, b"y" * 99 + b"\\n")
        logging.warning("the server's")
    print(sys.argv[1])
"""


def test_a_log_that_cannot_be_written_stops_nothing():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", FLOOD, "goes on"], stdout=subprocess.PIPE, stderr=full, text=True, check=True
        )
    assert done.stdout == "goes on\n"
