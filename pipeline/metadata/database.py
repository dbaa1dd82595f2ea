"""ML Metadata's database: SQLite in the output folder, or one on a server, by `metadata.connection`.

MLMD's own clients are few of words: MySQL's says nothing of why it could not connect, PostgreSQL's writes it to
standard error only, and both wait without end for a server that hangs, which stops Python as well. So the server is
asked first, over a plain socket, and what is wrong is told in one line.
"""

import hashlib
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import tenacity
from ml_metadata import errors
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from pydantic import SecretStr

from compat import mlmd_on_postgresql, tfx_metadata_handler
from compat.standard_streams import record_errors
from pipeline.config.sections.metadata import Metadata
from pipeline.metadata import database_server
from pipeline.metadata.database_url import HIDDEN, Server, parse_url
from pipeline.records.dataset import DataError

PASSWORD_VARIABLE = "ATELIER_METADATA_PASSWORD"  # noqa: S105  # its name, not its value
SQLITE_FILE = "metadata.db"
ID_FILE = "metadata.id"
ATTEMPTS = 20
"""Of the first connection, about half a second apart: where several begin with an empty database, one makes the tables
and the others fail until they are there."""

_CONTEXT_TYPES = ("pipeline", "pipeline_run", "node", "execution_cache")
_REFUSED = f"user or password was refused; the password is the URL's, or {PASSWORD_VARIABLE}'s"
_REFUSALS = (
    # The server has just answered, and MySQL's client does not say what else is wrong: the user is.
    (
        r"mysql_real_connect failed: errno: , error: $",
        f"{_REFUSED} (MLMD needs an account with mysql_native_password, from here often 'USER'@'127.0.0.1')",
    ),
    (r"password authentication failed|no password supplied|role \"[^\"]*\" (is not|does not)", _REFUSED),
    (r"Unknown database|database \"[^\"]*\" does not exist", "there is no such database; create it"),
    (r"Access denied for user .* to database", "there is no such database, or the user has no rights on it; create it"),
    (r"permission denied|command denied", "the user may not make tables in this database; make it its owner"),
    (r"no pg_hba.conf entry", "the server lets this user in from elsewhere only; see its pg_hba.conf"),
)
_NO_CONNECTION = (
    "Failed to establish connection to Metadata|mysql_real_connect failed|Lost connection|gone away"
    "|PostgreSQL metadata source error: *$|FATAL|server closed the connection|no connection to the server"
)
_GO_ON = "once it is back, the same command goes on from the finished nodes"


class MetadataError(DataError):
    """The metadata database cannot be used; the message names it, what is wrong, and what to do."""


def build_connection_config(settings: Metadata, output: Path) -> mlmd.ConnectionConfig:
    """What MLMD and TFX connect with.

    Args:
      settings: a password that their URL leaves out is taken from ATELIER_METADATA_PASSWORD.
      output: folder of the run, where SQLite's file lies.
    """
    server = _parse_server(settings)
    return _configure_sqlite(output) if server is None else _configure_server(server)


def ask_server(settings: Metadata, output: Path) -> mlmd.ConnectionConfig:
    """`build_connection_config`, after the server has answered.

    Raises:
      MetadataError: it does not.
    """
    if server := _parse_server(settings):
        _check_server(server)
    return build_connection_config(settings, output)


def open_store(connection: mlmd.ConnectionConfig) -> MetadataStore:
    """A store that works the same on every database."""
    store = MetadataStore(connection)
    return mlmd_on_postgresql.repair_store(store) if connection.HasField("postgresql") else store


def connect(settings: Metadata, output: Path, pipeline_name: str) -> str:
    """Makes sure before a run that the database is there, has its tables, and keeps this folder's runs apart.

    TFX tells pipelines apart by name alone, and takes from its cache what any of that name has made. On a server a
    name therefore belongs to the output folder that used it first; another folder's pipeline gets a name with a suffix.

    Args:
      settings: where the database is.
      output: folder of the run; it gets a file `metadata.id`.
      pipeline_name: as the user knows it.

    Returns:
      The pipeline's name in the database.

    Raises:
      MetadataError: the server is down or refuses, or the database is missing.
    """
    server = _parse_server(settings)
    if server is None:
        return pipeline_name
    _check_server(server)
    store = _connect_first(server)
    try:
        return _claim(store, output, pipeline_name, _register_context_types(store))
    except errors.StatusError as error:
        raise MetadataError(f"{_name_database(server)}: {_join_lines(str(error))}") from None


@contextmanager
def watch_connection(settings: Metadata) -> Iterator[None]:
    """While TFX runs: each of its connections finds out first whether the server answers; its log has no password.

    Raises:
      MetadataError: within the block, where TFX connects and the server is down or hangs.
    """
    server = _parse_server(settings)
    if server is None:
        yield
        return

    def repair(store: MetadataStore) -> None:
        if server.kind == "postgresql":
            mlmd_on_postgresql.repair_store(store)

    log = logging.getLogger("absl")
    log.addFilter(_hide_password)
    try:
        with tfx_metadata_handler.watch_connections(lambda: _check_server(server), repair):
            yield
    finally:
        log.removeFilter(_hide_password)


def explain_lost_server(settings: Metadata, error: BaseException) -> str:
    """One line that says so if `error`, which has ended a run, comes from a server that is gone; else ""."""
    server = _parse_server(settings)
    if server is None:
        return ""
    text = _join_lines(str(error))
    if isinstance(error, MetadataError):
        return f"{text}; {_GO_ON}"
    if not isinstance(error, errors.StatusError) and not re.search(_NO_CONNECTION, text):
        return ""
    if problem := database_server.find_problem(server):
        return f"{_name_database(server)}: {problem}; {_GO_ON}"
    return f"{_name_database(server)}: {text}" + (f"; {_GO_ON}" if re.search(_NO_CONNECTION, text) else "")


def _parse_server(settings: Metadata) -> Server | None:
    if not settings.connection:
        return None
    server = parse_url(settings.connection.get_secret_value())
    # MySQL's client takes this very name for a socket file, wherever its makers thought that it lies.
    host = "127.0.0.1" if server.kind == "mysql" and server.host == "localhost" else server.host
    password = server.password or SecretStr(os.environ.get(PASSWORD_VARIABLE, "") if server.password is None else "")
    return replace(server, host=host, password=password)


def _configure_sqlite(output: Path) -> mlmd.ConnectionConfig:
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(output / SQLITE_FILE)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return config


def _configure_server(server: Server) -> mlmd.ConnectionConfig:
    """With `skip_db_creation`: a mistyped name is to be an error, not a new database."""
    config = mlmd.ConnectionConfig()
    if server.kind == "mysql":
        config.mysql.host, config.mysql.port = server.host, server.port
        config.mysql.user, config.mysql.password = server.user, _read_password(server)
        config.mysql.database, config.mysql.skip_db_creation = server.database, True
        return config
    # MLMD puts the values unquoted into a line of libpq's.
    config.postgresql.host, config.postgresql.port = _quote(server.host), str(server.port)
    config.postgresql.user, config.postgresql.dbname = _quote(server.user), _quote(server.database)
    if password := _read_password(server):
        config.postgresql.password = _quote(password)
    config.postgresql.skip_db_creation = True
    return config


def _read_password(server: Server) -> str:
    return server.password.get_secret_value() if server.password else ""


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _name_database(server: Server) -> str:
    return f"metadata database {server} (user {server.user})"


def _check_server(server: Server) -> None:
    if problem := database_server.find_problem(server):
        raise MetadataError(f"{_name_database(server)}: {problem}")


def _connect_first(server: Server) -> MetadataStore:
    config = _configure_server(server)

    def connect() -> tuple[MetadataStore | None, str]:
        store, words = _open(config)
        for pattern, meaning in _REFUSALS:
            if store is None and re.search(pattern, words):
                raise MetadataError(f"{_name_database(server)}: {meaning}")
        return store, words

    store, words = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random(0.25, 0.75),
        retry=tenacity.retry_if_result(lambda answer: answer[0] is None),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        sleep=lambda seconds: time.sleep(seconds),
    )(connect)
    if store is not None:
        return store
    if "concurrent connection" in words:
        words = "its tables are half made, by a first connection that was cut: drop the database and create it again"
    raise MetadataError(f"{_name_database(server)}: {_join_lines(words)}")


def _open(config: mlmd.ConnectionConfig) -> tuple[MetadataStore | None, str]:
    """Returns the store, or the error instead: PostgreSQL's stands on standard error, others in the exception."""
    store, words = None, ""
    log: list[str] = []
    with record_errors(log):
        try:
            store = open_store(config)
        except (RuntimeError, errors.StatusError) as error:
            words = str(error)
    reported = re.findall(r"PostgreSQL error: (.*)", "".join(log))
    return store, reported[-1] if reported else words


def _register_context_types(store: MetadataStore) -> int:
    """Returns the id of TFX's type of pipelines."""
    known = {kind.name for kind in store.get_context_types()}
    for name in _CONTEXT_TYPES:
        if name not in known:
            store.put_context_type(mlmd.ContextType(name=name))
    if not known.issuperset(_CONTEXT_TYPES):
        # On PostgreSQL two runs that begin at once both make a type of the same name. After this both see both of
        # them, and take the first; contexts under two types would be two pipelines.
        time.sleep(1)
    return store.get_context_type("pipeline").id


def _claim(store: MetadataStore, output: Path, pipeline_name: str, type_id: int) -> str:
    """Puts TFX's own context of the pipeline there before TFX does, with the folder that it belongs to."""
    owner = _identify_owner(output)
    own_name = f"{pipeline_name}-{owner[:8]}"
    for name in (pipeline_name, own_name):
        context = mlmd.Context(type_id=type_id, name=name)
        context.custom_properties["output_folder"].string_value = str(output.resolve())
        context.custom_properties["output_id"].string_value = owner
        try:
            store.put_contexts([context])
        except errors.AlreadyExistsError:
            context = store.get_context_by_type_and_name("pipeline", name)
        if context.custom_properties["output_id"].string_value == owner:
            return name
    raise MetadataError(
        f"pipeline {own_name} of the metadata database belongs to another output folder: give this run another name"
    )


def _identify_owner(output: Path) -> str:
    """Of an output folder: another one for a copy of it, or for a new one in its place, whose artifacts are gone."""
    file = output / ID_FILE
    if not file.is_file():
        file.write_text(uuid.uuid4().hex, encoding="ascii")
    identity = f"{file.read_text(encoding='ascii')} {output.resolve()}"
    return hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()


def _hide_password(record: logging.LogRecord) -> bool:
    """LocalDagRunner logs what it connects with, as protobuf text; a filter may change what it lets pass."""
    if record.args and "password: " in (text := record.getMessage()):
        record.msg, record.args = re.sub(r'(password: )"(?:[^"\\]|\\.)*"', rf'\1"{HIDDEN}"', text), ()
    return True


def _join_lines(text: str) -> str:
    return " ".join(text.split()) or "no connection"
