"""Why an image is rejected, and what its damage is called."""

import contextlib
import enum
from collections.abc import Iterator

from PIL import UnidentifiedImageError

from atelier.errors import AtelierError

PNG_END = b"IEND\xaeB`\x82"

# How files begin. Those of ours that Pillow cannot open are damaged; the others are images that we do not take.
_OUR_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_OTHER_SIGNATURES = {
    b"8BPS": "Photoshop",
    b"\0\0\1\0": "icon",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
}


class Reason(enum.StrEnum):
    """Why a file cannot be used."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED = "unsupported"
    """An image, but of a format or pixel type that is not taken."""
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    UNREADABLE_NAME = "unreadable_name"
    """The file's name is not UTF-8."""
    NO_PERMISSION = "no_permission"
    UNREADABLE = "unreadable"
    """Not a regular file, a link to nothing, or an I/O error."""


class RejectedImageError(AtelierError):
    """A file that cannot be used: `reason` for counting, `detail` for a person."""

    def __init__(self, reason: Reason, detail: str):
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


@contextlib.contextmanager
def reject_damage(encoded: bytes) -> Iterator[None]:
    """Turns whatever Pillow raises on damaged data, which is nearly every kind of exception, into a rejection."""
    try:
        yield
    except RejectedImageError:
        raise
    except UnidentifiedImageError:
        raise _reject_unidentified(encoded) from None
    except MemoryError:
        raise RejectedImageError(Reason.TOO_LARGE, "the pixels do not fit into memory") from None
    except Exception as error:  # noqa: BLE001
        raise _reject_damaged(encoded, error) from None


def _reject_unidentified(encoded: bytes) -> RejectedImageError:
    if encoded.startswith(_OUR_SIGNATURES):
        return RejectedImageError(Reason.TRUNCATED, "it begins like an image, but its header is cut short or damaged")
    if encoded[4:8] == b"ftyp":
        return RejectedImageError(Reason.UNSUPPORTED, "HEIC, AVIF or video: convert it to JPEG, PNG or WebP")
    start = encoded[:512].lstrip()
    for signature, name in _OTHER_SIGNATURES.items():
        if encoded.startswith(signature) or start.startswith(signature):
            return RejectedImageError(Reason.UNSUPPORTED, f"{name}: convert it to JPEG, PNG or WebP")
    return RejectedImageError(Reason.NOT_AN_IMAGE, f"it begins with {encoded[:8]!r}")


def _reject_damaged(encoded: bytes, error: Exception) -> RejectedImageError:
    detail = f"{type(error).__name__}: {error}"
    cut_png = encoded.startswith(b"\x89PNG") and PNG_END not in encoded
    cut_webp = encoded[8:12] == b"WEBP" and len(encoded) < 8 + int.from_bytes(encoded[4:8], "little")
    if cut_png or cut_webp or "truncated" in detail.lower() or isinstance(error, EOFError):
        return RejectedImageError(Reason.TRUNCATED, detail)
    return RejectedImageError(Reason.CORRUPT, detail)
