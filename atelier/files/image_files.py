"""Files of images as a user keeps them."""

import stat
from pathlib import Path

from atelier.files.path_text import format_path, is_utf8
from atelier.images import Reason, RejectedImageError


def read_image_file(path: Path, limit: int) -> bytes:
    """Reads a file.

    Args:
      path: the file; links are followed.
      limit: bytes that it may have, at most.

    Raises:
      RejectedImageError: it cannot be read, is not a regular file (a pipe would block for ever), or is too large.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RejectedImageError(Reason.UNREADABLE, "not a regular file")
        if status.st_size > limit:
            raise RejectedImageError(
                Reason.TOO_LARGE, f"{status.st_size} bytes are more than any image of ingest.max_pixels has"
            )
        return path.read_bytes()
    except PermissionError as error:
        raise RejectedImageError(Reason.NO_PERMISSION, str(error.strerror)) from None
    except OSError as error:
        raise RejectedImageError(Reason.UNREADABLE, str(error.strerror)) from None


def check_name(path: str) -> None:
    """Raises RejectedImageError unless the name is UTF-8, which records and reports need."""
    if not is_utf8(path):
        raise RejectedImageError(Reason.UNREADABLE_NAME, f"the name is not UTF-8: {format_path(path)}; rename the file")
