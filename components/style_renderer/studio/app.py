"""The studio's HTTP interface: JSON, images, and a stream of events."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from atelier import __version__, storage
from atelier.errors import AtelierError
from atelier.files.slugs import make_slug
from components.style_renderer.studio import jobs, request, security, uploads
from components.style_renderer.studio.folder import explain_full_disk
from components.style_renderer.studio.jobs import Jobs
from components.style_renderer.studio.request import Controls, Preset, Request, StudioError, parse
from components.style_renderer.studio.runner import Runner
from components.style_renderer.studio.styles import Styles
from components.style_renderer.studio.uploads import Uploads

_STATIC = Path(__file__).with_name("static")
_MAX_JSON = 2**20
_SMALL = 256
_SILENCE_S = 15.0
"""An event is sent at least this often, so that dead connections are found."""
_PRESETS = "presets.json"

Handler = Callable[[HttpRequest], Awaitable[Response]]


class Studio:
    """What the routes work on."""

    def __init__(self, folder: Path, command: tuple[str, ...] | None = None) -> None:
        """Reads what is in the folder; `command` starts another worker than the engine's.

        Raises:
          AtelierError: a catalog or the file of presets is faulty.
        """
        self._presets_file = folder / _PRESETS
        self._presets = jobs.read_presets(self._presets_file)
        self._uploads = Uploads(folder / "images")
        self._styles = Styles(folder / "styles")
        self._jobs = Jobs(folder / "jobs")
        options = {"command": command} if command else {}
        self.runner = Runner(folder, self._jobs, self._uploads, self._styles, **options)

    async def get_state(self, _: HttpRequest) -> Response:
        """All that a page shows when it is opened."""
        return JSONResponse(self._describe_state())

    async def stream_events(self, _: HttpRequest) -> Response:
        """What changes, from a snapshot on."""

        async def stream() -> AsyncIterator[str]:
            with self.runner.follow() as page:
                yield _format({"event": "state", **self._describe_state()})
                while True:
                    try:
                        event = await asyncio.wait_for(page.get(), _SILENCE_S)
                    except TimeoutError:
                        yield ": still here\n\n"
                        continue
                    if event is None:
                        return
                    yield _format(event)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def add_image(self, http: HttpRequest) -> Response:
        """Keeps an image or a mask."""
        encoded = await _read_body(http, uploads.MAX_BYTES)
        name = http.query_params.get("name", "image")
        return JSONResponse(await asyncio.to_thread(self._uploads.add, name, encoded))

    async def get_image(self, http: HttpRequest) -> Response:
        """A view of an uploaded image."""
        size = _SMALL if "small" in http.query_params else jobs.VIEW
        return _answer_jpeg(await asyncio.to_thread(self._uploads.encode_view, http.path_params["id"], size))

    async def describe_image(self, http: HttpRequest) -> Response:
        """An uploaded image's facts."""
        return JSONResponse(self._uploads.describe(http.path_params["id"]))

    async def add_style(self, http: HttpRequest) -> Response:
        """Adds a style to the user's catalog."""
        encoded = await _read_body(http, uploads.MAX_BYTES)
        facts = {name: http.query_params.get(name, "").strip() for name in ("title", "licence", "artist")}
        if not facts["title"] or not facts["licence"]:
            raise StudioError("a style needs a title and a license")
        added = await asyncio.to_thread(self._styles.add, encoded, **facts)
        self.runner.tell({"event": "styles", "styles": self._styles.list()})
        return JSONResponse({"id": added})

    async def get_style_image(self, http: HttpRequest) -> Response:
        """A style's thumbnail."""
        return _answer_jpeg(await asyncio.to_thread(self._styles.encode_thumbnail, http.path_params["id"]))

    async def add_job(self, http: HttpRequest) -> Response:
        """Queues a job."""
        job = self.runner.add(await _read_json(http, Request))
        return JSONResponse(self.runner.describe(job))

    async def remove_job(self, http: HttpRequest) -> Response:
        """Removes a job."""
        self.runner.remove(http.path_params["id"])
        return JSONResponse({})

    async def control_job(self, http: HttpRequest) -> Response:
        """Changes the controls of a job."""
        self.runner.control(http.path_params["id"], await _read_json(http, Controls))
        return JSONResponse({})

    async def stop_job(self, http: HttpRequest) -> Response:
        """Stops a job."""
        self.runner.stop(http.path_params["id"])
        return JSONResponse({})

    async def resume_job(self, http: HttpRequest) -> Response:
        """Lets a job go on."""
        self.runner.resume(http.path_params["id"])
        return JSONResponse({})

    async def get_job_image(self, http: HttpRequest) -> Response:
        """The newest image of a job: for the page, or whole, as a download."""
        job = self._jobs.get(http.path_params["id"])
        file = self._jobs.find_image(job.id)
        if file is None:
            raise StudioError("the job has no image yet")
        if "download" in http.query_params:
            return FileResponse(file, media_type="image/jpeg", filename=f"{make_slug(job.title)}-{job.id}.jpg")
        size = _SMALL if "small" in http.query_params else jobs.VIEW
        return _answer_jpeg(await asyncio.to_thread(uploads.make_view, self._jobs.find_view(job.id) or file, size))

    async def preview(self, http: HttpRequest) -> Response:
        """The one pass, or null where it does not know a style."""
        return JSONResponse({"jpeg": await self.runner.ask("preview", await _read_json(http, Request))})

    async def estimate(self, http: HttpRequest) -> Response:
        """Time and memory that a job is expected to take."""
        return JSONResponse(await self.runner.ask("estimate", await _read_json(http, Request)))

    async def keep_preset(self, http: HttpRequest) -> Response:
        """Keeps settings under a name."""
        preset = await _read_json(http, Preset)
        self._write_presets(self._presets | {preset.name: preset.request})
        return JSONResponse({})

    async def remove_preset(self, http: HttpRequest) -> Response:
        """Forgets settings."""
        name = http.query_params.get("name", "")
        self._write_presets({key: value for key, value in self._presets.items() if key != name})
        return JSONResponse({})

    def _write_presets(self, presets: dict[str, Any]) -> None:
        storage.write_bytes(str(self._presets_file), json.dumps(presets, indent=1).encode())
        self._presets = presets
        self.runner.tell({"event": "presets", "presets": presets})

    def _describe_state(self) -> dict[str, Any]:
        return {
            "atelier": __version__,
            "ready": self.runner.is_ready,
            "problem": self.runner.problem,
            "styles": self._styles.list(),
            "jobs": [self.runner.describe(job) for job in self._jobs.list()],
            "presets": self._presets,
            "sizes": request.SIZES,
        }


def make_app(studio: Studio, token: str = "") -> Starlette:
    """The application; see `security.Guard` for the token."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with studio.runner.run():
            yield

    routes = [
        Route("/api/state", studio.get_state),
        Route("/api/events", studio.stream_events),
        Route("/api/images", _explain(studio.add_image), methods=["POST"]),
        Route("/api/images/{id}", _explain(studio.describe_image)),
        Route("/api/images/{id}/view", _explain(studio.get_image)),
        Route("/api/styles", _explain(studio.add_style), methods=["POST"]),
        Route("/api/styles/{id}/view", _explain(studio.get_style_image)),
        Route("/api/jobs", _explain(studio.add_job), methods=["POST"]),
        Route("/api/jobs/{id}", _explain(studio.remove_job), methods=["DELETE"]),
        Route("/api/jobs/{id}/view", _explain(studio.get_job_image)),
        Route("/api/jobs/{id}/controls", _explain(studio.control_job), methods=["POST"]),
        Route("/api/jobs/{id}/stop", _explain(studio.stop_job), methods=["POST"]),
        Route("/api/jobs/{id}/resume", _explain(studio.resume_job), methods=["POST"]),
        Route("/api/preview", _explain(studio.preview), methods=["POST"]),
        Route("/api/estimate", _explain(studio.estimate), methods=["POST"]),
        Route("/api/presets", _explain(studio.keep_preset), methods=["POST"]),
        Route("/api/presets", _explain(studio.remove_preset), methods=["DELETE"]),
        Mount("/", StaticFiles(directory=_STATIC, html=True)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(security.Guard, token=token)], lifespan=lifespan)


def _explain(handler: Handler) -> Handler:
    """Answers what a user can mend with a sentence, and 400 or, where the disk is full, 507."""

    async def answer(http: HttpRequest) -> Response:
        try:
            return await handler(http)
        except AtelierError as error:
            return JSONResponse({"error": str(error)}, 400)
        except ClientDisconnect:  # a page that was closed in mid-upload; nobody reads the answer
            return Response(status_code=400)
        except OSError as error:
            if not (full := explain_full_disk(error)):
                raise
            return JSONResponse({"error": full}, 507)

    return answer


async def _read_body(http: HttpRequest, most: int) -> bytes:
    """The body, at most so many bytes: what is longer is not read to its end."""
    too_long = StudioError(f"the file has more than {most // 2**20} MB, which is the limit of an upload")
    if int(http.headers.get("content-length") or 0) > most:
        raise too_long
    body = bytearray()
    async for part in http.stream():
        body += part
        if len(body) > most:
            raise too_long
    return bytes(body)


async def _read_json(http: HttpRequest, model: type) -> Any:
    # Forms of other sites cannot send this type without asking.
    if http.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise StudioError("expected application/json")
    return parse(model, await _read_body(http, _MAX_JSON))


def _answer_jpeg(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})


def _format(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"
