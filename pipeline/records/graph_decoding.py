"""Asks the graph of Transform whether it decodes an image, where no reading of the file's headers can tell.

It rejects color profiles that it cannot apply, CMYK that does not say whether it is inverted, PNGs with unusual chunks,
and GIFs whose pixels end early or reach beyond the first frame. All other images are known by `atelier.images.verify`,
and need no TensorFlow.
"""

import functools
import re
from typing import Any

from atelier.decoding import jpeg, png
from atelier.images import Reason, RejectedImageError

# How JPEG, PNG and WebP begin the segment or chunk of a color profile.
_PROFILES = (b"ICC_PROFILE\0", b"iCCP", b"ICCP")


def verify(encoded: bytes) -> None:
    """Decodes an image in the graph if it is a GIF, has a color profile, or is built in an unusual way.

    Raises:
      RejectedImageError: the graph rejects it; the reason is the graph's own.
    """
    if not (encoded.startswith(b"GIF8") or any(start in encoded for start in _PROFILES) or not _is_usual(encoded)):
        return
    import tensorflow as tf  # seconds, needed for such images only

    try:
        _build_graph()(tf.constant(encoded))
    except tf.errors.OpError as error:
        raise RejectedImageError(Reason.UNSUPPORTED, _find_reason(str(error.message))) from None


def _is_usual(encoded: bytes) -> bool:
    if encoded.startswith(b"\x89PNG"):
        return png.is_usual(encoded)
    if encoded.startswith(b"\xff\xd8"):
        return jpeg.is_usual(encoded) and not jpeg.has_four_inks(encoded)
    return True


@functools.cache
def _build_graph() -> Any:
    import tensorflow as tf

    from trainer.images import ops

    return tf.function(ops.decode, input_signature=[tf.TensorSpec([], tf.string)])


def _find_reason(message: str) -> str:
    """What an assertion of the graph says, without the trace around it; else the message's last line of words."""
    if asserted := re.search(r"assertion failed: (.*)", message):
        return " ".join(re.findall(r"\[([^]]*)]", asserted[1])).strip()
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.lstrip().startswith("[[")]
    return lines[-1] if lines else "the graph does not decode it"
