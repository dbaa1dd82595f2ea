"""Fewer warm-up requests: a server takes seconds for the first one of each signature."""

from pathlib import Path

from atelier import tfrecord
from atelier.layout import ASSETS_EXTRA, WARMUP_FILE


def keep_request(saved_model: Path, signature: str) -> None:
    """Leaves one warm-up request: that of `signature`."""
    file = saved_model / ASSETS_EXTRA / WARMUP_FILE
    (request,) = (each for each in tfrecord.read_file(file) if signature.encode() in each)
    with file.open("wb") as stream:
        tfrecord.write(stream, request)
