"""MariaDB and PostgreSQL, each started for a test: on loopback, with a free port and a data directory of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

PASSWORD = "pa@ss/w'o:rd %1"  # noqa: S105  # of a server that lives as long as the test; hard to write into a URL
DATABASE = "lineage"
_POSTGRESQL_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # where Debian keeps them


def explain_missing() -> str:
    """The reason to skip the tests; "" if both servers are installed."""
    found = _find("mariadbd") and _find("mariadb-install-db") and _find("mariadb") and _find("initdb") and _find("psql")
    return "" if found else "needs both servers: apt-get install mariadb-server postgresql"


class Database:
    """A server that can be killed and started again."""

    scheme: str
    account: str
    """Of the system, that the server runs as if the tests are root's."""

    def __init__(self, folder: Path) -> None:
        """Lays out its files.

        Args:
          folder: not one of pytest's, which every other pytest of this user closes to the server's account.
        """
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.port = _find_free_port()
        self._server: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            folder.chmod(0o711)
            shutil.chown(self.data, self.account)

    def build_url(self, password: bool = True) -> str:
        secret = f":{quote(PASSWORD, safe='')}" if password else ""
        return f"{self.scheme}://atelier{secret}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            command = [*self._build_prefix(), *self._build_command()]
            self._server = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.data)
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "server.log").read_text())
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.send_signal(number)

    def kill(self) -> None:
        """As if the machine lost its power; gone when this returns."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(30)
            self._server = None

    def _build_prefix(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]

    def _run(self, *command: object, text: str = "") -> None:
        words = [*self._build_prefix(), *(str(word) for word in command)]
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, cwd=self.data)
        assert done.returncode == 0, done.stdout + done.stderr

    def _build_command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Mariadb(Database):
    scheme = "mysql"
    account = "mysql"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._socket = self.data / "socket"
        self._run(_find("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}",
                  "--auth-root-authentication-method=normal", "--skip-test-db")  # fmt: skip
        self.start()
        secret = PASSWORD.replace("'", "''")
        self._run(_find("mariadb"), "--no-defaults", f"--socket={self._socket}", "--user=root", text=f"""
            CREATE DATABASE {DATABASE};
            CREATE USER 'atelier'@'127.0.0.1' IDENTIFIED BY '{secret}';
            GRANT ALL ON {DATABASE}.* TO 'atelier'@'127.0.0.1';
        """)  # fmt: skip

    def _build_command(self) -> list[str]:
        return [_find("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self._socket}",
                "--bind-address=127.0.0.1", f"--port={self.port}"]  # fmt: skip

    def _answers(self) -> bool:
        command = [_find("mariadb"), "--no-defaults", f"--socket={self._socket}", "--user=root", "--execute=SELECT 1"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Postgresql(Database):
    scheme = "postgresql"
    account = "postgres"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.data / "secret").write_text("of the superuser")
        if os.geteuid() == 0:
            shutil.chown(self.data / "secret", self.account)
        self._run(_find("initdb"), self.data / "cluster", "--username=super", "--auth=scram-sha-256",
                  f"--pwfile={self.data / 'secret'}", "--no-sync")  # fmt: skip
        self.start()
        secret = PASSWORD.replace("'", "''")
        self._run("env", "PGPASSWORD=of the superuser", _find("psql"), "--host=127.0.0.1", f"--port={self.port}",
                  "--username=super", "--dbname=postgres", "--set=ON_ERROR_STOP=1", text=f"""
            CREATE ROLE atelier LOGIN PASSWORD '{secret}';
            CREATE DATABASE {DATABASE} OWNER atelier;
        """)  # fmt: skip

    def _build_command(self) -> list[str]:
        return [_find("postgres"), "-D", str(self.data / "cluster"), "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.data}"]  # fmt: skip

    def _answers(self) -> bool:
        command = [_find("pg_isready"), "--host=127.0.0.1", f"--port={self.port}", "--quiet"]
        return subprocess.run(command, check=False).returncode == 0


def _find(program: str) -> str:
    folders = [*os.get_exec_path(), "/usr/sbin", *(str(folder) for folder in _POSTGRESQL_BINARIES)]
    return shutil.which(program, path=os.pathsep.join(folders)) or ""


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
