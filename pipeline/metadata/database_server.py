"""Asks a MySQL or PostgreSQL server over a plain socket whether it answers, within a time; no driver is needed."""

import socket
import struct

from pipeline.metadata.database_url import Server

TIMEOUT_S = 10.0
"""For the connection, and again for the answer."""

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL answers it with one letter, before any login, and does not log it."""
_MYSQL_ERROR = 0xFF
_START_IT = "start it, or correct metadata.connection"


def find_problem(server: Server) -> str:
    """What keeps the server from answering, and what to do; "" if it answers.

    Args:
      server: neither its user nor its password is sent.
    """
    try:
        with socket.create_connection((server.host, server.port), timeout=TIMEOUT_S) as connection:
            if server.kind == "postgresql":
                connection.sendall(_SSL_REQUEST)
            answer = connection.recv(1024)
    except socket.gaierror:
        return "no such host; correct metadata.connection"
    except TimeoutError:
        return f"the server does not answer within {TIMEOUT_S:.0f} s; is it the right host and port, and does it hang?"
    except OSError as error:
        return f"the server is down ({error.strerror or error}); {_START_IT}"
    if not answer:
        return f"the server closes the connection at once; {_START_IT}"
    return _check_postgresql(answer) if server.kind == "postgresql" else _check_mysql(answer)


def _check_postgresql(answer: bytes) -> str:
    return "" if answer[:1] in b"SNE" else "no PostgreSQL server listens there"


def _check_mysql(answer: bytes) -> str:
    """A packet: length (3 bytes), number (1), then the protocol's version 10 and more, or an error and its text."""
    if len(answer) < 5 or answer[3] != 0 or answer[4] not in (10, _MYSQL_ERROR):
        return "no MySQL or MariaDB server listens there"
    if answer[4] == _MYSQL_ERROR:
        return f"the server refuses connections: {' '.join(answer[7:].decode(errors='replace').split())}"
    return ""
