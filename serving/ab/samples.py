"""Keeps some of the requests' images, downscaled, where that is switched on: for drift, and to see mistakes.

Of a request that is kept there is one JPEG, named by a hash of its id: at most `SIDE` pixels, without metadata. The
oldest leave when there are more than `max_bytes` of them, or when they are older than `max_days`.
"""

import contextlib
import hashlib
import io
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from atelier import images
from atelier.layout import MAX_PIXELS
from serving.ab.answer_log import AnswerLogError

SIDE = 256
"""Longer side of a kept image in pixels, at most."""
_QUALITY = 90
NAME = re.compile(r"[0-9a-f]{40}\.jpg")
_DAY_S = 86400
_SWEEP_S = 60.0


@dataclass(frozen=True)
class Samples:
    """Which images are kept, and where.

    Attributes:
      folder: holds nothing else; only the user who runs the client can read it.
      share: of the requests, 0..1, chosen by a hash of their ids.
      max_bytes: of all kept images.
      max_days: age of the oldest.
    """

    folder: Path
    share: float = 0.1
    max_bytes: int = 50_000_000
    max_days: float = 7.0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and self.max_bytes > 0 and self.max_days > 0):
            raise ValueError(f"{self}: expected a share of 0..1, and positive limits")


class SampleFolder:
    """Keeps images; threads and processes may share the folder."""

    def __init__(self, samples: Samples) -> None:
        """Makes the folder, and removes what is too old.

        Raises:
          AnswerLogError: it cannot be made.
        """
        self._samples = samples
        self._lock = threading.Lock()
        self._swept = time.monotonic()
        try:
            samples.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sweep()
        except OSError as error:
            raise _build_error(samples.folder, error) from None

    def keep(self, request_id: str, encoded: bytes, max_pixels: int = MAX_PIXELS) -> None:
        """Keeps the image of a request, if the request is one of the share; `max_pixels` is its limit.

        Raises:
          AnswerLogError: the folder cannot be written to.
        """
        name = name_sample(request_id)
        if int(name[:8], 16) >= self._samples.share * 2**32:
            return
        file = self._samples.folder / name
        partial = file.with_name(f".{name}.{os.getpid()}.{threading.get_ident()}")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(shrink(encoded, max_pixels))
            partial.replace(file)
            with self._lock:
                due = time.monotonic() >= self._swept + _SWEEP_S
                self._swept = time.monotonic() if due else self._swept
            if due:
                self.sweep()
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise _build_error(self._samples.folder, error) from None

    def sweep(self) -> None:
        """Removes what is too old, and the oldest of what is too much."""
        oldest, total = time.time() - _DAY_S * self._samples.max_days, 0
        for modified, size, file in sorted(list_samples(self._samples.folder), reverse=True):
            total += size
            if modified < oldest or total > self._samples.max_bytes:
                with contextlib.suppress(FileNotFoundError):
                    file.unlink()


def shrink(encoded: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """Returns an image as it is kept: a JPEG of at most `SIDE` pixels."""
    image = images.decode(encoded, max_pixels).image
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return stream.getvalue()


def find_sample(folder: Path, request_id: str) -> bytes | None:
    """Returns the kept image of a request; None: none is kept."""
    try:
        return (folder / name_sample(request_id)).read_bytes()
    except OSError:
        return None


def name_sample(request_id: str) -> str:
    """Returns the name of the file in which the image of a request is kept."""
    return hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).hexdigest()[:40] + ".jpg"


def list_samples(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yields time, bytes and path of each kept image; other files are not touched."""
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if NAME.fullmatch(file.name):
                status = file.stat()
                yield status.st_mtime, status.st_size, file


def _build_error(folder: Path, error: OSError) -> AnswerLogError:
    return AnswerLogError(f"{folder}: images cannot be kept: {error.strerror}")
