"""The URL of a metadata database, `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`: read, checked, and shown safely."""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

FORM = "mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE or postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE"
HIDDEN = "***"

_KINDS: dict[str, Literal["mysql", "postgresql"]] = {
    "mysql": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
_PORTS = {"mysql": 3306, "postgresql": 5432}
_ENCODE = "a special character in the user, the password or the database is written as in %40 for @ and %2F for /"


@dataclass(frozen=True)
class Server:
    """Where a database is, and who asks for it."""

    kind: Literal["mysql", "postgresql"]
    user: str
    password: str | None = field(repr=False)
    """None: the URL has none."""
    host: str
    port: int
    database: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"


class SecretUrl(str):
    """A URL whose `repr` leaves the password out: that is what error messages and logs show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return redacted(self)


def parse(url: str) -> Server:
    """Takes a URL apart, percent-encoded parts decoded.

    Raises:
      ValueError: it is not of the form; the message says what is wrong, and quotes nothing that could be a password.
    """
    try:
        return _parse(url)
    except ValueError as error:
        raise ValueError(f"{error}; expected {FORM}") from None


def redacted(url: str) -> str:
    """The URL with `***` instead of its password; of a text that is no such URL only the scheme is left."""
    try:
        server = _parse(url)
    except ValueError:
        scheme, separator, _ = url.partition("://")
        return f"{scheme}://{HIDDEN}" if separator and re.fullmatch("[a-z]{1,20}", scheme) else HIDDEN
    return url if server.password is None else re.sub("^([^:]+://[^:]+):.*@", rf"\1:{HIDDEN}@", url)


def _parse(url: str) -> Server:
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise ValueError("it has a space or a control character")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _KINDS:
        raise ValueError("its scheme is not mysql or postgresql")
    if "?" in rest or "#" in rest:
        raise ValueError(f"it has a ? or #, but takes no options; {_ENCODE}")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise ValueError("its host cannot be read") from None
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    database = parts.path.removeprefix("/")
    if "/" in database or "@" in parts.path or "@" in password or "@" in user:
        raise ValueError(f"its parts cannot be told apart; {_ENCODE}")
    if not user:
        raise ValueError("it has no user")
    if not host:
        raise ValueError("it has no host")
    if not database:
        raise ValueError("it has no database")
    if len(database) > 64:
        raise ValueError("its database's name is longer than 64 characters")
    kind = _KINDS[scheme]
    return Server(
        kind=kind,
        user=_decoded(user),
        password=_decoded(password) if colon else None,
        host=host,
        port=_port(parts.netloc) or _PORTS[kind],
        database=_decoded(database),
    )


def _port(netloc: str) -> int | None:
    found = re.fullmatch(r"(?:\[[^]]*\]|[^:[]*)(?::(.*))?", netloc.rpartition("@")[2])
    if not found:
        raise ValueError("its host cannot be read")
    text = found[1]
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError("its port is no number from 1 to 65535")
    return int(text)


def _decoded(part: str) -> str:
    if re.search("%(?![0-9a-fA-F]{2})", part):
        raise ValueError("it has a % that begins no encoded character; % itself is written as %25")
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its encoded characters are no UTF-8") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("it has a control character")
    return text
