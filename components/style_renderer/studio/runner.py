"""Runs jobs one at a time in the worker process, and tells the pages what becomes of them."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from components.style_renderer.studio.jobs import LATEST, Job, Jobs
from components.style_renderer.studio.request import Controls, Request, StudioError
from components.style_renderer.studio.styles import Styles
from components.style_renderer.studio.uploads import Uploads

WORKER = (sys.executable, "-m", "components.style_renderer.studio.worker")
LOG = "worker.log"
"""What the worker prints: TensorFlow's messages, and a traceback where there is one."""

_LINE_BYTES = 32 * 2**20
"""Of the worker's longest answer, a preview."""
_BACKLOG = 200
"""Events that a page may be behind before it is told to begin anew."""
_STARTS = 3
"""Times that the worker may end without having said anything."""


class Runner:
    """The queue."""

    def __init__(
        self, folder: Path, jobs: Jobs, uploads: Uploads, styles: Styles, command: Sequence[str] = WORKER
    ) -> None:
        """Runs nothing yet; `command` starts the worker."""
        self._folder, self._jobs, self._uploads, self._styles, self._command = folder, jobs, uploads, styles, command
        self._worker: asyncio.subprocess.Process | None = None
        self._pages: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._last_question = 0
        self._wake = asyncio.Event()
        self._finished = asyncio.Event()
        self._progress: dict[str, dict[str, Any]] = {}
        self._current = ""
        self.is_ready = False
        """Whether the worker has loaded what it computes with."""
        self.problem = ""
        """Why there is no worker and none will be started; "" otherwise."""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Runs jobs until the block ends; one that is at work then goes on at the next start."""
        tasks = [asyncio.create_task(self._keep_worker()), asyncio.create_task(self._work())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._worker and self._worker.returncode is None:
                self._worker.kill()
                await self._worker.wait()

    def describe(self, job: Job) -> dict[str, Any]:
        """What the pages show of a job."""
        image = self._jobs.find_image(job.id)
        version = image.stat().st_mtime_ns if image else 0
        return job.model_dump(mode="json") | {"version": version, "progress": self._progress.get(job.id)}

    def add(self, request: Request) -> Job:
        """Queues a job.

        Raises:
          StudioError: an image or a style that it names is not there.
        """
        self._make_command(request)
        job = self._jobs.add(request, self._uploads.describe(request.image)["name"])
        self._tell_job(job)
        self._wake.set()
        return job

    def resume(self, identity: str) -> None:
        """Queues a stopped or failed job again; it goes on from the image that it has saved."""
        if self._jobs.get(identity).state not in ("stopped", "failed"):
            raise StudioError("only a stopped job can go on")
        self._tell_job(self._jobs.update(identity, state="queued", message=""))
        self._wake.set()

    def stop(self, identity: str) -> None:
        """Stops a job after its next iteration, or takes it out of the queue."""
        job = self._jobs.get(identity)
        if job.state == "queued":
            self._tell_job(self._jobs.update(identity, state="stopped"))
        elif job.state == "running":
            self._send({"do": "stop", "job": identity})
        else:
            raise StudioError("the job is not running")

    def control(self, identity: str, controls: Controls) -> None:
        """Changes a job's controls, from its next iteration on."""
        job = self._jobs.get(identity)
        if job.state not in ("queued", "running", "stopped"):
            raise StudioError("the job has ended; start another one with these settings")
        request = job.request.model_copy(update=controls.model_dump())
        self._tell_job(self._jobs.update(identity, request=request))
        if job.state == "running":
            self._send({"do": "control", "job": identity, "controls": controls.model_dump()})

    def remove(self, identity: str) -> None:
        """Removes a job that is not running."""
        if self._jobs.get(identity).state == "running":
            raise StudioError("the job is running: stop it first")
        self._jobs.remove(identity)
        self._progress.pop(identity, None)
        self.tell({"event": "removed", "id": identity})

    async def ask(self, what: str, request: Request) -> Any:
        """Asks the worker: `preview` (a JPEG in base64, or None) or `estimate`.

        Raises:
          StudioError: it cannot answer.
        """
        if not self.is_ready:
            raise StudioError(self.problem or "the engine is loading; try again in a few seconds")
        self._last_question += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._questions[self._last_question] = answer
        self._send({"do": what, "question": self._last_question, **self._make_command(request)})
        return await answer

    def tell(self, event: dict[str, Any] | None) -> None:
        """Tells all pages; None ends their connections."""
        for page in list(self._pages):
            if event is None or page.full():  # a page that is too far behind connects again
                self._pages.discard(page)
                if page.full():
                    page.get_nowait()
                page.put_nowait(None)
            else:
                page.put_nowait(event)

    @contextlib.contextmanager
    def follow(self) -> Any:
        """A queue of events for one page."""
        page: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_BACKLOG)
        self._pages.add(page)
        try:
            yield page
        finally:
            self._pages.discard(page)

    def _tell_job(self, job: Job) -> None:
        self.tell({"event": "job", "job": self.describe(job)})

    def _make_command(self, request: Request) -> dict[str, Any]:
        """What the worker must know of a request: its settings, and where its files are."""
        for identity in (request.image, *(region.mask for region in request.regions if region.mask)):
            self._uploads.describe(identity)
        masks = [str(self._uploads.locate(region.mask)) if region.mask else None for region in request.regions]
        return {
            "request": request.model_dump(),
            "content": str(self._uploads.locate(request.image)),
            "masks": masks,
            "styles": self._styles.describe(request.style_ids),
        }

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            waiting = [job for job in self._jobs.list() if job.state == "queued"]
            if not waiting or not self.is_ready:
                await self._wake.wait()
                continue
            job = waiting[0]
            self._current = job.id
            try:
                command = self._make_command(job.request)
            except StudioError as error:
                self._finish(job.id, "failed", str(error))
                continue
            folder = self._jobs.locate_folder(job.id)
            start = folder / LATEST
            command |= {"do": "run", "job": job.id, "folder": str(folder)}
            command |= {"start": str(start)} if start.is_file() else {}
            self._finished.clear()
            self._tell_job(self._jobs.update(job.id, state="running"))
            self._send(command)
            await self._finished.wait()

    async def _keep_worker(self) -> None:
        """Starts the worker, listens to it, and starts another one where it ends."""
        silent = 0
        while silent < _STARTS:
            with (self._folder / LOG).open("ab") as log:
                self._worker = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=_LINE_BYTES,
                    # A system's /tmp may lie in memory, where files of a large image would not help.
                    env={"TMPDIR": str(self._folder.absolute())} | os.environ,
                )
            silent += 1
            assert self._worker.stdout is not None
            async for line in self._worker.stdout:
                silent = 0
                self._take(json.loads(line))
            code = await self._worker.wait()
            self.is_ready = False
            why = f"the engine ended with code {code}" + (", as for lack of memory" if code == -9 else "")
            why += f"; {self._folder / LOG} may tell why"
            for answer in self._questions.values():
                if not answer.done():
                    answer.set_exception(StudioError(why))
            self._questions.clear()
            if self._current:
                self._finish(self._current, "failed", f"{why}. The last image is kept: the job can go on from it")
            self.tell({"event": "engine", "ready": False})
        self.problem = f"the engine does not start: see {self._folder / LOG}, and start the studio again"
        self.tell({"event": "engine", "ready": False, "problem": self.problem})

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.pop("event")
        if kind == "ready":
            self.is_ready = True
            self.tell({"event": "engine", "ready": True})
            self._wake.set()
        elif kind == "iteration":
            self._progress[event.pop("job")] = event
            self._tell_job(self._jobs.get(self._current))
        elif kind == "finished":
            self._finish(event["job"], event["state"], event["message"])
        elif (answer := self._questions.pop(event["question"], None)) and not answer.done():
            if "error" in event:
                answer.set_exception(StudioError(event["error"]))
            else:
                answer.set_result(event["answer"])

    def _finish(self, identity: str, state: str, message: str) -> None:
        self._current = ""
        self._tell_job(self._jobs.update(identity, state=state, message=message))
        self._finished.set()

    def _send(self, command: dict[str, Any]) -> None:
        if self._worker and self._worker.stdin and self._worker.returncode is None:
            self._worker.stdin.write(json.dumps(command).encode() + b"\n")
