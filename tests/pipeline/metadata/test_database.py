"""The metadata database: its URL, what MLMD is given, what is said when it cannot be had. No server, no TensorFlow."""

import json
import logging
import os
import re
import socket
import threading
import time

import pytest
from ml_metadata import errors
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from pydantic import SecretStr

from compat import mlmd_on_postgresql
from pipeline import local_runner
from pipeline.config import config
from pipeline.config.sections.metadata import Metadata
from pipeline.metadata import database, database_server, database_url
from pipeline.metadata.database_url import SecretUrl
from pipeline.terminal.console import Console

SECRET = "Tiger9"  # noqa: S105  # of nothing


@pytest.fixture(autouse=True)
def no_password_around(monkeypatch):
    monkeypatch.delenv(database.PASSWORD_VARIABLE, raising=False)


# ---- the URL


@pytest.mark.parametrize(
    ("url", "kind", "user", "password", "host", "port", "database"),
    [
        ("mysql://ann:Tiger9@db/lineage", "mysql", "ann", SECRET, "db", 3306, "lineage"),
        ("postgresql://ann@db.local:6000/lineage", "postgresql", "ann", None, "db.local", 6000, "lineage"),
        ("postgres://ann:@10.0.0.1/l", "postgresql", "ann", "", "10.0.0.1", 5432, "l"),
        ("mysql://a%40b:p%40ss%2Fw%3A%25@h:1/my%20db", "mysql", "a@b", "p@ss/w:%", "h", 1, "my db"),
        ("mysql://ann:a:b@h/d", "mysql", "ann", "a:b", "h", 3306, "d"),
        ("mysql://ann:x@[::1]:33/d", "mysql", "ann", "x", "::1", 33, "d"),
        ("postgresql://%C3%A9:%F0%9F%90%AF@h/d", "postgresql", "é", "🐯", "h", 5432, "d"),
    ],
)
def test_a_url_is_taken_apart(url, kind, user, password, host, port, database):
    secret = None if password is None else SecretStr(password)
    server = database_url.parse_url(url)
    assert server == database_url.Server(kind, user, secret, host, port, database)
    assert SECRET not in repr(server)


WRONG = [
    ("sqlite://ann:Tiger9@h/d", "scheme is not mysql or postgresql"),
    ("Tiger9", "scheme is not mysql or postgresql"),
    ("mysql:ann:Tiger9@h/d", "scheme is not mysql or postgresql"),
    ("MYSQL+x://ann:Tiger9@h/d", "scheme is not mysql or postgresql"),
    ("mysql://ann:Tiger9@/d", "no host"),
    ("mysql://ann:Tiger9@:3306/d", "no host"),
    ("mysql://h/d", "no user"),
    ("mysql://:Tiger9@h/d", "no user"),
    ("mysql://ann:Tiger9@h", "no database"),
    ("mysql://ann:Tiger9@h/", "no database"),
    ("mysql://ann:Tiger9@h/d/e", "told apart"),
    ("mysql://ann:Tiger9@h/" + "d" * 65, "longer than 64"),
    ("mysql://ann:Tiger9@h:0/d", "port is not a number from 1 to 65535"),
    ("mysql://ann:Tiger9@h:65536/d", "port is not a number from 1 to 65535"),
    ("mysql://ann:Tiger9@h:x/d", "port is not a number from 1 to 65535"),
    ("mysql://ann:Tiger9@h:/d", "port is not a number from 1 to 65535"),
    ("mysql://ann:Tiger9@h:١٢/d", "port is not a number from 1 to 65535"),
    ("mysql://ann:Tiger9@[::1/d", "host cannot be read"),
    ("mysql://ann:Tiger9@::1/d", "no host"),
    ("mysql://ann:Tiger9@h::1/d", "port is not a number"),
    ("mysql://ann:Tiger9@[::1]x/d", "host cannot be read"),
    ("mysql://ann:Tiger9@h/d?ssl=1", "options are not supported"),
    ("mysql://ann:Tiger9@h/d#x", "options are not supported"),
    ("mysql://ann:Tiger9?@h/d", "options are not supported"),
    ("mysql://ann:Tiger9/x@h/d", "told apart"),
    ("mysql://ann:Tiger9@x@h/d", "told apart"),
    ("mysql://ann:Tiger9%@h/d", "% itself is written as %25"),
    ("mysql://ann:Tiger9%FF@h/d", "not valid UTF-8"),
    ("mysql://ann:Tiger9%00@h/d", "control character"),
    ("mysql://ann:Tiger9 @h/d", "a space or a control character"),
    ("mysql://ann:Tiger9\n@h/d", "a space or a control character"),
]


@pytest.mark.parametrize(("url", "problem"), WRONG)
def test_a_wrong_url_is_refused_as_the_config_is_read_without_its_password(url, problem, tmp_path):
    file = tmp_path / "pets.yaml"
    file.write_text(
        "name: pets\nevaluator: {min_accuracy: 0.9, max_accuracy_drop: 0.01}\n"
        f"metadata: {{connection: {json.dumps(url)}}}\n"
    )
    with pytest.raises(config.ConfigError) as caught:
        config.load(file)
    message = str(caught.value)
    assert problem in message
    assert "metadata.connection" in message
    assert database_url.FORM in message
    assert SECRET not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "values", [f"mysql://ann:{SECRET}@h/d", {"connection": {"url": SECRET}}, {"connection": [SECRET]}]
)
def test_nor_is_it_quoted_where_there_is_no_text_at_all(values, tmp_path):
    file = tmp_path / "pets.yaml"
    file.write_text(json.dumps({"name": "pets", "evaluator": {}, "metadata": values}))
    with pytest.raises(config.ConfigError) as caught:
        config.load(file)
    assert "metadata" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://ann:Tiger9@h:1/d", "mysql://ann:***@h:1/d"),
        ("mysql://ann:a:b%40c@[::1]/d", "mysql://ann:***@[::1]/d"),
        ("postgres://ann@h/d", "postgres://ann@h/d"),
        ("mysql://ann:Tiger9@h/d/e", "mysql://***"),
        ("Tiger9", "***"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert database_url.redact(url) == shown


def test_a_config_never_shows_the_password():
    url = f"mysql://ann:{SECRET}@h/d"
    settings = config.Config(
        name="pets",
        evaluator=config.Evaluator(min_accuracy=0.9, max_accuracy_drop=0.01),
        metadata=Metadata(connection=SecretUrl(url)),
    )
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in text
        assert "mysql://ann:***@h/d" in text
    assert settings.metadata.connection.get_secret_value() == url
    assert settings.model_copy(update={"name": "cars"}).metadata.connection.get_secret_value() == url


# ---- what MLMD is given


def connection(url, tmp_path):
    return database.build_connection_config(Metadata(connection=SecretUrl(url)), tmp_path)


def test_without_a_url_it_is_sqlite_in_the_output_folder(tmp_path):
    made = connection("", tmp_path)
    assert made.sqlite.filename_uri == str(tmp_path / "metadata.db")
    assert MetadataStore(made).get_contexts() == []
    assert (tmp_path / "metadata.db").is_file()
    assert database.connect(Metadata(), tmp_path, "pets") == "pets"


def test_mysql_gets_the_values_as_they_are(tmp_path):
    made = connection("mysql://ann:p%27%20x@localhost/d", tmp_path).mysql
    assert (made.user, made.password, made.database, made.port) == ("ann", "p' x", "d", 3306)
    assert made.host == "127.0.0.1"  # its client would take localhost for a socket file
    assert made.skip_db_creation


def test_postgresql_gets_them_quoted_for_libpq(tmp_path):
    made = connection("postgresql://an%20n:p%27%5C@h/d%20sslmode%3Ddisable", tmp_path).postgresql
    assert (made.user, made.password, made.dbname) == ("'an n'", r"'p\'\\'", "'d sslmode=disable'")
    assert (made.host, made.port) == ("'h'", "5432")
    assert made.skip_db_creation


def test_a_password_that_is_left_out_is_the_environments(tmp_path, monkeypatch):
    assert connection("mysql://ann@h/d", tmp_path).mysql.password == ""
    monkeypatch.setenv(database.PASSWORD_VARIABLE, SECRET)
    assert connection("mysql://ann@h/d", tmp_path).mysql.password == SECRET
    assert connection("mysql://ann:@h/d", tmp_path).mysql.password == ""
    assert connection("mysql://ann:other@h/d", tmp_path).mysql.password == "other"  # noqa: S105


# ---- a server that does not answer as it should


@pytest.fixture
def listener():
    """Listens on a free port, and answers each connection with its `answer`; b"" closes it, None says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers: list[bytes | None] = []
        kept: list[socket.socket] = []

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                kept.append(client)
                if answers[0] is not None:
                    client.sendall(answers[0])
                    client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], answers
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for client in kept:
            client.close()


MYSQL = b"\x4a\0\0\0\x0a5.5.5-10.11.19-MariaDB\0rest"
TOO_MANY = b"\x17\0\0\0\xff\x10\x04Too many connections"


@pytest.mark.parametrize(
    ("kind", "answer", "problem"),
    [
        ("mysql", MYSQL, ""),
        ("mysql", TOO_MANY, "the server refuses connections: Too many connections"),
        ("mysql", b"SSH-2.0-OpenSSH\r\n", "no MySQL or MariaDB server listens there"),
        ("mysql", b"", "closes the connection at once"),
        ("mysql", None, "does not answer within"),
        ("postgresql", b"N", ""),
        ("postgresql", b"S", ""),
        ("postgresql", MYSQL, "no PostgreSQL server listens there"),
        ("postgresql", b"", "closes the connection at once"),
        ("postgresql", None, "does not answer within"),
    ],
)
def test_what_a_server_answers_tells_what_is_wrong(listener, monkeypatch, kind, answer, problem):
    monkeypatch.setattr(database_server, "TIMEOUT_S", 0.3)
    port, answers = listener
    answers.append(answer)
    found = database_server.find_problem(database_url.Server(kind, "ann", SecretStr(SECRET), "127.0.0.1", port, "d"))
    assert problem in found
    assert bool(problem) == bool(found)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_a_run_is_refused_before_anything_begins(scheme, tmp_path):
    port = free_port()
    settings = config.Config(
        name="pets",
        evaluator=config.Evaluator(min_accuracy=0.9, max_accuracy_drop=0.01),
        metadata=Metadata(connection=SecretUrl(f"{scheme}://ann:{SECRET}@127.0.0.1:{port}/lineage")),
    )
    with (tmp_path / "screen").open("w") as screen, pytest.raises(database.MetadataError) as caught:
        local_runner.run(settings, tmp_path / "output", Console(screen))
    assert str(caught.value) == (
        f"metadata database 127.0.0.1:{port}/lineage (user ann): the server is down (Connection refused); "
        "start it, or correct metadata.connection"
    )


MYSQL_SILENT = "mysql_real_connect failed: errno: , error: "


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        (MYSQL_SILENT, "user or password was refused.*ATELIER_METADATA_PASSWORD.*'USER'@'127.0.0.1'"),
        ('FATAL:  password authentication failed for user "a"', "user or password was refused"),
        ("fe_sendauth: no password supplied", "user or password was refused"),
        ('FATAL:  database "d" does not exist', "there is no such database; create it"),
        ("Changing to databasemysql_query failed: errno: Unknown database 'd'", "there is no such database; create it"),
        ("mysql_query failed: errno: Access denied for user 'a'@'h' to database 'd'", "no rights on it"),
        ("PostgreSQL metadata source error: ERROR:  permission denied for schema public", "make it its owner"),
        ('FATAL:  no pg_hba.conf entry for host "h"', "pg_hba.conf"),
    ],
)
def test_a_refusal_is_told_at_once(monkeypatch, tmp_path, words, meaning):
    tries: list[object] = []

    def refused(server_config):
        tries.append(server_config)
        return None, words

    monkeypatch.setattr(database, "_check_server", lambda _: None)
    monkeypatch.setattr(database, "_open", refused)
    with pytest.raises(database.MetadataError, match=meaning) as caught:
        database.connect(Metadata(connection=SecretUrl("mysql://ann@h/d")), tmp_path, "pets")
    assert len(tries) == 1
    assert "\n" not in str(caught.value)


def test_a_half_made_database_is_tried_again_but_not_for_ever(monkeypatch, tmp_path):
    pauses: list[float] = []
    words = (
        "There are a subset of tables in MLMD instance. This may be due to concurrent connection to the empty database"
    )
    monkeypatch.setattr(database, "_check_server", lambda _: None)
    monkeypatch.setattr(database, "_open", lambda _: (None, words))
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(database.MetadataError, match=r"half made.*drop the database and create it again"):
        database.connect(Metadata(connection=SecretUrl("mysql://ann@h/d")), tmp_path, "pets")
    assert len(pauses) == database.ATTEMPTS - 1
    assert sum(pauses) < 20


def test_the_first_connection_is_tried_until_the_tables_are_there(monkeypatch, tmp_path):
    store = database.open_store(connection("", tmp_path))
    answers = [(None, "Deadlock found"), (None, "duplicate key value"), (store, "")]
    monkeypatch.setattr(database, "_check_server", lambda _: None)
    monkeypatch.setattr(database, "_open", lambda _: answers.pop(0))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert database.connect(Metadata(connection=SecretUrl("mysql://ann@h/d")), tmp_path, "pets") == "pets"
    assert answers == []
    assert {kind.name for kind in store.get_context_types()} == {"pipeline", "pipeline_run", "node", "execution_cache"}


def test_what_a_client_writes_to_standard_error_is_heard_and_passed_on(monkeypatch, capfd):
    def fails(_):
        os.write(2, b'E1 postgresql PostgreSQL error: FATAL:  database "d" does not exist\n')
        raise RuntimeError("PostgreSQL metadata source error: ")

    monkeypatch.setattr(database, "open_store", fails)
    assert database._open(mlmd.ConnectionConfig()) == (None, 'FATAL:  database "d" does not exist')
    assert 'database "d" does not exist' in capfd.readouterr().err


# ---- names


@pytest.fixture
def store(tmp_path):
    return database.open_store(connection("", tmp_path))


@pytest.fixture
def shared(store, monkeypatch, tmp_path):
    """`connect` to one database from any output folder; gives the pipeline's name there."""
    monkeypatch.setattr(database, "_check_server", lambda _: None)
    monkeypatch.setattr(database, "_open", lambda _: (store, ""))
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def connect(folder, name="pets"):
        (tmp_path / folder).mkdir(exist_ok=True)
        return database.connect(Metadata(connection=SecretUrl("mysql://ann@h/d")), tmp_path / folder, name)

    return connect


def test_a_name_belongs_to_the_folder_that_used_it_first(shared, store, tmp_path):
    assert shared("one") == "pets"
    other = shared("two")
    assert other.startswith("pets-")
    assert len(other) == len("pets-") + 8
    assert [shared("one"), shared("two"), shared("two", "cars")] == ["pets", other, "cars"]
    assert shared("one", "cars").startswith("cars-")
    context = store.get_context_by_type_and_name("pipeline", "pets")
    assert context.custom_properties["output_folder"].string_value == str(tmp_path / "one")


def test_a_new_folder_in_the_place_of_one_that_was_deleted_is_another(shared, tmp_path):
    assert shared("one") == "pets"
    (tmp_path / "one" / database.ID_FILE).unlink()
    assert shared("one") != "pets"


def test_a_copy_of_a_folder_is_another(shared, tmp_path):
    assert shared("one") == "pets"
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / database.ID_FILE).write_text((tmp_path / "one" / database.ID_FILE).read_text())
    assert shared("copy") != "pets"


def test_pipelines_of_other_programs_are_left_alone(shared, store):
    type_id = store.put_context_type(mlmd.ContextType(name="pipeline"))
    store.put_contexts([mlmd.Context(type_id=type_id, name="pets")])
    assert shared("one").startswith("pets-")


# ---- in mid-run


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (database.MetadataError("metadata database h:1/d: the server is down"), "d: the server is down; once"),
        (errors.InternalError("mysql_query failed: errno: Lost connection to MySQL\nserver"), "is down .*; once"),
        (RuntimeError("Failed to establish connection to Metadata storage with error: x"), "is down .*; once"),
        (ValueError("the Trainer's own"), "^$"),
    ],
)
def test_a_lost_database_is_told_from_a_failed_node(error, reason):
    settings = Metadata(connection=SecretUrl(f"mysql://ann:{SECRET}@127.0.0.1:{free_port()}/d"))
    told = database.explain_lost_server(settings, error)
    assert re.search(reason, told)
    assert "\n" not in told
    assert database.explain_lost_server(Metadata(), error) == ""


def test_an_error_of_a_server_that_answers_is_no_outage(monkeypatch):
    monkeypatch.setattr(database_server, "find_problem", lambda _: "")
    settings = Metadata(connection=SecretUrl("postgresql://ann@h/d"))
    told = database.explain_lost_server(
        settings, errors.InternalError("PostgreSQL metadata source error: ERROR:  disk full")
    )
    assert told == "metadata database h:5432/d (user ann): PostgreSQL metadata source error: ERROR: disk full"
    told = database.explain_lost_server(
        settings, errors.InternalError("PostgreSQL metadata source error: FATAL:  restarted")
    )
    assert told.endswith("goes on from the finished nodes")


def test_the_log_gets_no_password():
    made = mlmd.ConnectionConfig()
    made.mysql.password = 'Ti"ger\\9'  # noqa: S105
    record = logging.LogRecord("absl", logging.INFO, "", 1, "Using connection config:\n %s", (made,), None)
    assert database._hide_password(record)
    assert 'password: "***"' in record.getMessage()
    assert "ger" not in record.getMessage()
    step = logging.LogRecord("absl", logging.INFO, "", 1, "Component %s is running.", ("Trainer",), None)
    assert database._hide_password(step)
    assert (step.msg, step.args) == ("Component %s is running.", ("Trainer",))


@pytest.mark.slow
def test_a_report_is_made_of_a_run_whose_database_is_gone(tmp_path):
    settings = config.Config(
        name="pets",
        evaluator=config.Evaluator(min_accuracy=0.9, max_accuracy_drop=0.01),
        metadata=Metadata(connection=SecretUrl(f"mysql://ann:{SECRET}@127.0.0.1:{free_port()}/d")),
    )
    nodes, reason = local_runner._read_nodes(settings, tmp_path, "pets")
    assert nodes == {}
    assert "the server is down" in reason


# ---- MLMD on PostgreSQL


@pytest.fixture
def mended(tmp_path):
    """SQLite in the place of PostgreSQL, mended as that is."""
    return mlmd_on_postgresql.repair_store(MetadataStore(connection("", tmp_path)))


def test_backslashes_reach_the_database_as_another_character_and_come_back(mended, tmp_path):
    type_id = mended.put_execution_type(mlmd.ExecutionType(name="Node", properties={"given": mlmd.STRING}))
    text = '{"a": "\\"q\\\\"}\n\'é\\'
    execution = mlmd.Execution(type_id=type_id, name="a\\b", properties={"given": mlmd.Value(string_value=text)})
    execution.custom_properties["free"].string_value = text
    execution.custom_properties["number"].int_value = 7
    execution.custom_properties["tree"].struct_value["key"] = text
    (number,) = mended.put_executions([execution])
    assert execution.properties["given"].string_value == text, "the caller's own message was changed"
    (found,) = mended.get_executions_by_id([number])
    assert found.properties == execution.properties
    assert found.custom_properties == execution.custom_properties
    assert found.name == "a\\b"
    assert mended.get_execution_by_type_and_name("Node", "a\\b").id == number
    (plain,) = MetadataStore(connection("", tmp_path)).get_executions_by_id([number])
    assert plain.name == f"a{mlmd_on_postgresql.STAND_IN}b"
    assert "\\" not in plain.properties["given"].string_value


def test_what_is_asked_for_by_ids_comes_in_their_order(mended):
    kinds = [mended.put_artifact_type(mlmd.ArtifactType(name=name)) for name in ("Model", "Schema")]
    ids = mended.put_artifacts([mlmd.Artifact(type_id=kinds[n % 2], uri=f"/{n}") for n in range(4)])
    asked = [ids[2], ids[0], ids[3], ids[1]]
    assert [artifact.id for artifact in mended.get_artifacts_by_id(asked)] == asked
    assert [artifact.id for artifact in mended.get_artifacts_by_id([ids[1], 999])] == [ids[1]]
    order = [kinds[1], kinds[0], kinds[1]]
    assert [kind.id for kind in mended.get_artifact_types_by_id(order)] == order
