"""Serves the page on this machine's loopback address."""

import contextlib
import gzip
import hashlib
import mimetypes
import socket
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serving.web.errors import WebError
from serving.web.headers import ASK_AGAIN, KEEP, SECURITY_HEADERS
from serving.web.site import SiteFile

HOST = "127.0.0.1"
PORT = 8600

_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".tflite": "application/octet-stream"}
"""Content types that browsers insist on; the system's table of types may differ."""
_NAMES = {HOST: "localhost", "0.0.0.0": socket.gethostname(), "::": socket.gethostname()}  # noqa: S104 (names of them)
"""What a browser calls an address."""
_STOP_S = 10
"""A browser that has gone to sleep takes no more of an answer, nor does it end it."""
_COMPRESSED = {".html", ".css", ".js", ".json", ".svg"}


def make_app(files: Mapping[str, SiteFile]) -> Starlette:
    """Returns the application that answers GET and HEAD for these files.

    Args:
      files: asked again for each request; a `Site` finds newer models then.
    """
    prepared: dict[str, _Prepared] = {}

    # Starlette runs it in a thread: a newer model is read from the disk.
    def respond(request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        file = files.get(path)
        if file is None:
            return PlainTextResponse("not found\n", 404, SECURITY_HEADERS)
        if path not in prepared or prepared[path].file is not file:
            prepared[path] = _Prepared(path, file)
        return prepared[path].answer(request)

    # A page of another site that lets its name point here must not read this one.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", HOST])
    return Starlette(routes=[Route("/{path:path}", respond, methods=["GET"])], middleware=[hosts])


def serve(files: Mapping[str, SiteFile], port: int, on_ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
      files: of the page.
      port: 0 takes a free one.
      on_ready: is told the page's address.

    Raises:
      WebError: the port is in use, or not allowed.
    """
    run(make_app(files), HOST, port, on_ready)


def run(
    app: ASGIApp,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    *,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Serves an application until SIGINT or SIGTERM.

    Args:
      app: the application; it has a lifespan if `on_stop` is given.
      host: name or address to listen at.
      port: 0 takes a free one.
      on_ready: is told the address for a browser on this machine.
      on_stop: ends answers that would go on for ever.

    Raises:
      WebError: the port is in use or not allowed, or the host is not this machine's.
    """
    with contextlib.closing(_listen(host, port)) as listening:
        name = _NAMES.get(host) or (f"[{host}]" if ":" in host else host)
        on_ready(f"http://{name}:{listening.getsockname()[1]}/")
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="on" if on_stop else "off",
            server_header=False,
            timeout_graceful_shutdown=_STOP_S if on_stop else None,
        )
        _Server(config, on_stop or (lambda: None)).run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn raises a signal again after it has stopped for it; here stopping is all that the signal asks for."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_stop()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


class _Prepared:
    """A file with its headers."""

    def __init__(self, path: str, file: SiteFile) -> None:
        suffix = f".{path.rpartition('.')[2]}"
        self.file = file
        self._plain = file.content
        self._compressed = file.compressed or (gzip.compress(file.content, mtime=0) if suffix in _COMPRESSED else None)
        self._headers = {
            **SECURITY_HEADERS,
            "Content-Type": _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream",
            "Cache-Control": KEEP if file.lasting else ASK_AGAIN,
            "ETag": f'"{hashlib.sha256(file.content).hexdigest()[:32]}"',
            "Vary": "Accept-Encoding",
        }

    def answer(self, request: Request) -> Response:
        """Returns the file, compressed if the browser takes that, or the word that it has not changed."""
        if self._headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=self._headers)
        if self._compressed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self._compressed, headers={**self._headers, "Content-Encoding": "gzip"})
        return Response(self._plain, headers=self._headers)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise WebError(f"{host}: {error.strerror}; choose another address with --host") from None
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise WebError(
            f"{host}:{port}: {error.strerror}; choose another port with --port, or 0 for a free one"
        ) from None
    listening.listen()
    return listening
