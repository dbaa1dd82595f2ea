"""Jobs on the disk: a folder each, so that a restart goes on where a server was ended.

A job's folder holds `job.json`, replaced as a whole whenever the job's state or settings change, `latest.jpg`, replaced
at each iteration, and `result.jpg` once it is done, with `view.jpg` beside a large one. Where the iteration stands is
written into `latest.jpg` itself: image and place cannot disagree.
"""

import json
import secrets
import shutil
import time
from pathlib import Path
from typing import Any, Literal

import pydantic
from PIL import Image
from pydantic import ConfigDict

from atelier import storage
from components.style_renderer.engine import canvas
from components.style_renderer.gallery import previews
from components.style_renderer.studio.request import Request, StudioError

JOB_FILE, LATEST, RESULT = "job.json", "latest.jpg", "result.jpg"
VIEW_FILE = "view.jpg"
"""The result as the page shows it, where it is larger than `VIEW`: to decode hundreds of megapixels takes seconds."""
VIEW = 1600
"""Longer side in pixels of the images that the page shows."""
JOB_ID = "[0-9]{8}-[0-9]{6}-[0-9a-f]{8}"

State = Literal["queued", "running", "stopped", "done", "failed"]


class Job(pydantic.BaseModel):
    """One job."""

    model_config = ConfigDict(frozen=True)

    id: str
    created: str
    """UTC, ISO 8601."""
    title: str
    """Name of the image, for people."""
    request: Request
    state: State = "queued"
    message: str = ""
    """Why it failed, or what a person should know of it."""


class Place(pydantic.BaseModel):
    """Where the image in `latest.jpg` stands."""

    size: int
    """Longer side of the scale in work; 0: the one pass."""
    iteration: int = 0
    left: int = 0
    """Iterations of the scale that are to come."""


class Jobs:
    """All jobs, the oldest first; the state that counts is the one on the disk."""

    def __init__(self, folder: Path) -> None:
        """Reads the jobs in `folder`, which is made; a job that was at work when its server ended is queued again."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._jobs: dict[str, Job] = {}
        for file in sorted(folder.glob(f"*/{JOB_FILE}")):
            try:
                job = Job.model_validate_json(file.read_bytes())
            except pydantic.ValidationError:  # of another version: it stays on the disk
                continue
            self._jobs[job.id] = job
            if job.state == "running":
                self.update(job.id, state="queued")

    def list(self) -> list[Job]:
        """The oldest first."""
        return [self._jobs[name] for name in sorted(self._jobs)]

    def get(self, identity: str) -> Job:
        """A job.

        Raises:
          StudioError: there is none of this id.
        """
        if identity not in self._jobs:
            raise StudioError(f"there is no job {identity}")
        return self._jobs[identity]

    def add(self, request: Request, title: str) -> Job:
        """Makes a queued job."""
        now = time.time()
        identity = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now % 1 * 1e4):04x}{secrets.token_hex(2)}"
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        job = Job(id=identity, created=created, title=title, request=request)
        try:
            self._write(job)
        except OSError:
            shutil.rmtree(self._folder / identity, ignore_errors=True)
            raise
        self._jobs[identity] = job
        return job

    def update(self, identity: str, **changes: Any) -> Job:
        """Changes a job. What the disk does not take holds until the studio ends, and the job says so."""
        job = self.get(identity).model_copy(update=changes)
        try:
            self._write(job)
        except OSError as error:
            job = job.model_copy(update={"message": job.message or f"its state cannot be written: {error.strerror}"})
        self._jobs[identity] = job
        return job

    def remove(self, identity: str) -> None:
        """Removes a job and its images."""
        self.get(identity)
        (self._folder / identity / JOB_FILE).unlink(missing_ok=True)  # what is left is no job, also after a kill
        shutil.rmtree(self._folder / identity, ignore_errors=True)
        del self._jobs[identity]

    def locate_folder(self, identity: str) -> Path:
        """Where a job's files are."""
        return self._folder / identity

    def find_image(self, identity: str) -> Path | None:
        """The file with the newest image of a job; None before there is one."""
        files = (self.locate_folder(identity) / name for name in (RESULT, LATEST))
        return next((file for file in files if file.is_file()), None)

    def find_view(self, identity: str) -> Path | None:
        """As `find_image`, but no larger than the page needs, where there is such a file."""
        image = self.find_image(identity)
        view = self.locate_folder(identity) / VIEW_FILE
        return view if image and image.name == RESULT and view.is_file() else image

    def _write(self, job: Job) -> None:
        storage.write_bytes(str(self._folder / job.id / JOB_FILE), job.model_dump_json(indent=1).encode())


def read_place(folder: Path) -> Place | None:
    """Where the job in `folder` stands; None if it has no image yet."""
    try:
        with Image.open(folder / LATEST) as image:
            return Place.model_validate_json(image.info["comment"])
    except (OSError, KeyError, pydantic.ValidationError):
        return None


def save_latest(folder: Path, image: Image.Image, place: Place) -> None:
    """Replaces `latest.jpg`, in one step."""
    partial = folder / f".{LATEST}.partial"
    image.save(partial, "JPEG", quality=95, subsampling=0, comment=place.model_dump_json().encode())
    partial.replace(folder / LATEST)


def save_result(folder: Path, image: Image.Image) -> None:
    """Writes `result.jpg`, whole or not at all, and before it what the page shows of a large one."""
    if max(image.size) > VIEW:
        height, width = canvas.compute_sides((image.height, image.width), VIEW)
        small = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
        storage.write_bytes(str(folder / VIEW_FILE), previews.encode(small, "jpeg"))
    storage.write_bytes(str(folder / RESULT), previews.encode(image, "jpeg"))


def read_presets(file: Path) -> dict[str, Any]:
    """Settings by name.

    Raises:
      StudioError: the file cannot be read, or is not a JSON object.
    """
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StudioError(f"{file}: the presets cannot be read ({error}); correct the file, or remove it") from None
    if not isinstance(found, dict):
        raise StudioError(f"{file}: the presets are not a JSON object; correct the file, or remove it")
    return found
