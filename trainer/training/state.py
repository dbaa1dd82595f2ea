"""Where a training keeps what a kill must not cost, and how it knows that as its own."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atelier.files import leftovers


@contextlib.contextmanager
def open_state_directory(configured: str) -> Iterator[Path]:
    """Gives the folder `configured`; if none is (""), one that is removed at the end."""
    if configured:
        yield Path(configured)
        return
    with leftovers.create_scratch("training") as folder:
        yield folder


def hash_json(value: Any) -> str:
    """Returns the SHA-256 (16 hex digits) of what can be written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
