"""Serves the page: its files, its data as server-sent events, kept images, and the drift for Prometheus."""

import asyncio
import contextlib
import mimetypes
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from atelier import strict_json
from serving.ab.samples import NAME
from serving.monitor.metrics.drift import DriftMetrics
from serving.monitor.page.access import PARAMETER, Access
from serving.monitor.page.watcher import Watcher
from serving.web import packages, server
from serving.web.headers import ASK_AGAIN, SECURITY_HEADERS

RANGES = (5, 60, 1440)
"""Minutes that the charts may show."""
EVERY_S = 1.0
"""Between two looks, and between two events."""

_STATIC = Path(__file__).with_name("static")
_SHARED = {"style.css": "style.css", "icon.svg": "icon.svg", "dom.js": "page/dom.js"}
"""What this page has in common with that of `atelier web`."""
_CHARTS = {"vendor/uplot.js": "dist/uPlot.esm.js", "vendor/uplot.css": "dist/uPlot.min.css"}


def collect_files() -> dict[str, bytes]:
    """Returns the files of the page by their paths.

    Raises:
      WebError: uPlot cannot be downloaded.
    """
    shared, charts = Path(server.__file__).with_name("static"), packages.install(packages.CHARTS)
    files = {path: (shared / name).read_bytes() for path, name in _SHARED.items()}
    files |= {path: (charts / name).read_bytes() for path, name in _CHARTS.items()}
    return files | {file.name: file.read_bytes() for file in _STATIC.iterdir() if file.is_file()}


class LivePage:
    """The application, and the thread that looks for what is new."""

    def __init__(self, watcher: Watcher, *, token: str = "", host: str = server.HOST) -> None:
        """Takes the first look.

        Args:
          watcher: what is shown.
          token: see `Access`.
          host: that the server listens on.

        Raises:
          WebError: uPlot cannot be downloaded.
        """
        self._watcher, self._files = watcher, collect_files()
        self._registry = CollectorRegistry()
        self._registry.register(DriftMetrics(lambda: watcher.effects))
        self._stop = threading.Event()
        routes = [
            Route("/events", self._send_events),
            Route("/metrics", self._send_metrics),
            Route("/samples/{name}", self._send_sample),
            Route("/{path:path}", self._send_file),
        ]
        self.app = Starlette(routes=routes, middleware=[Middleware(Access, token=token, host=host)])
        watcher.look()
        self._thread = threading.Thread(target=self._keep_looking, name="monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and all streams of events."""
        self._stop.set()

    def _keep_looking(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._watcher.look()

    async def _send_events(self, request: Request) -> Response:
        try:
            minutes = int(request.query_params.get("minutes", RANGES[0]))
        except ValueError:
            minutes = 0
        if minutes not in RANGES:
            return PlainTextResponse(f"minutes: expected one of {', '.join(map(str, RANGES))}\n", 400, SECURITY_HEADERS)
        headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
        return StreamingResponse(self._stream_summaries(minutes), headers=headers, media_type="text/event-stream")

    async def _stream_summaries(self, minutes: int) -> AsyncIterator[str]:
        while not self._stop.is_set():
            summary = await run_in_threadpool(self._watcher.summarize, minutes)
            yield f"data: {strict_json.dumps(summary)}\n\n"
            await asyncio.sleep(EVERY_S)

    async def _send_metrics(self, request: Request) -> Response:
        del request
        headers = {**SECURITY_HEADERS, "Content-Type": CONTENT_TYPE_LATEST}
        return Response(generate_latest(self._registry), headers=headers)

    async def _send_sample(self, request: Request) -> Response:
        folder, name = self._watcher.sources.samples, request.path_params["name"]
        content = None
        if folder is not None and NAME.fullmatch(name):
            with contextlib.suppress(OSError):
                content = await run_in_threadpool((folder / name).read_bytes)
        if content is None:
            return PlainTextResponse("not found\n", 404, SECURITY_HEADERS)
        headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
        return Response(content, headers=headers, media_type="image/jpeg")

    async def _send_file(self, request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        if path not in self._files:
            return PlainTextResponse("not found\n", 404, SECURITY_HEADERS)
        kind = "text/javascript" if path.endswith(".js") else mimetypes.guess_type(path)[0]
        return Response(self._files[path], headers={**SECURITY_HEADERS, "Cache-Control": ASK_AGAIN}, media_type=kind)


def serve(page: LivePage, host: str, port: int, token: str, on_ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
      page: is stopped then.
      host: address to listen on.
      port: 0 takes a free one.
      token: that the address has.
      on_ready: is told the page's address.

    Raises:
      WebError: the address cannot be used.
    """
    query = f"?{PARAMETER}={token}" if token else ""
    try:
        server.run(page.app, host, port, lambda address: on_ready(address + query), on_stop=page.stop)
    finally:
        page.stop()
