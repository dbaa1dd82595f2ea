"""The URL of a metadata database, `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`: read, checked, and shown safely."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

import pydantic

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
    password: pydantic.SecretStr | None
    """None: the URL has none."""
    host: str
    port: int
    database: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"


class SecretUrl(pydantic.SecretStr):
    """The URL as a value of the configuration: messages and logs show it without its password."""

    def _display(self) -> str:
        return redact(self.get_secret_value()) if self else ""

    def __repr__(self) -> str:
        return str(self)


def parse_url(url: str) -> Server:
    """Takes a URL apart, percent-encoded parts decoded.

    Raises:
      ValueError: it is not of the form; the message says what is wrong, and quotes nothing that could be a password.
    """
    try:
        return _parse(url)
    except ValueError as error:
        raise ValueError(f"{error}; expected {FORM}") from None


def redact(url: str) -> str:
    """The URL with `***` instead of its password; of a text that is no such URL only the scheme is left."""
    try:
        server = _parse(url)
    except ValueError:
        scheme, separator, _ = url.partition("://")
        return f"{scheme}://{HIDDEN}" if separator and re.fullmatch("[a-z]{1,20}", scheme) else HIDDEN
    return url if server.password is None else re.sub("^([^:]+://[^:]+):.*@", rf"\1:{HIDDEN}@", url)


class _DatabaseUrl(pydantic.AnyUrl):
    """Pydantic's own types for MySQL and PostgreSQL also take drivers in the scheme, and several hosts."""

    _constraints = pydantic.UrlConstraints(allowed_schemes=list(_KINDS), host_required=True)


_ADAPTER = pydantic.TypeAdapter(_DatabaseUrl)
_PROBLEMS = {
    "scheme": "its scheme is not mysql or postgresql",
    "empty host": "it has no host",
    "port": "its port is not a number from 1 to 65535",
    "IPv": "its host cannot be read",
}
"""By what pydantic's message has in it."""


def _parse(url: str) -> Server:
    _check_characters(url)
    try:
        parts = _ADAPTER.validate_python(url)
    except pydantic.ValidationError as error:
        told = error.errors(include_input=False, include_url=False)[0]["msg"]
        problem = next((problem for word, problem in _PROBLEMS.items() if word in told), "its host cannot be read")
        raise ValueError(problem) from None
    database = (parts.path or "").removeprefix("/")
    if not parts.username:
        raise ValueError("it has no user")
    if not database:
        raise ValueError("it has no database")
    if len(database) > 64:
        raise ValueError("its database's name is longer than 64 characters")
    authority = url.partition("://")[2].partition("/")[0]
    if parts.port == 0 or authority.endswith(":"):
        raise ValueError(_PROBLEMS["port"])
    kind = _KINDS[parts.scheme]
    # Pydantic takes an empty password, which is one, for none.
    password = "" if parts.password is None and ":@" in authority else parts.password
    return Server(
        kind=kind,
        user=_decode(parts.username),
        password=None if password is None else pydantic.SecretStr(_decode(password)),
        host=(parts.host or "").strip("[]"),
        port=parts.port or _PORTS[kind],
        database=_decode(database),
    )


def _check_characters(url: str) -> None:
    """Rejects what pydantic drops or encodes without a word."""
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise ValueError("it has a space or a control character")
    _, separator, rest = url.partition("://")
    if not separator:
        raise ValueError(_PROBLEMS["scheme"])
    if "?" in rest or "#" in rest:
        raise ValueError(f"it has a ? or #, but options are not supported; {_ENCODE}")
    if rest.count("@") > 1 or rest.count("/") > 1:
        raise ValueError(f"its parts cannot be told apart; {_ENCODE}")


def _decode(part: str) -> str:
    if re.search("%(?![0-9a-fA-F]{2})", part):
        raise ValueError("it has a % that begins no encoded character; % itself is written as %25")
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its encoded characters are not valid UTF-8") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("it has a control character")
    return text
