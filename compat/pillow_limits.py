"""Pillow's fixed limits, which are module globals.

Pillow warns at 89 million pixels and raises at twice as many, and rejects a PNG whose text or color profile is larger
than 1 MiB, which the tables of printers and scanners can be. Here each caller has a limit of pixels of its own, which
is checked against the header before anything is decoded.

Needed with Pillow 12.3. It can go when `Image.open` takes these limits as arguments.
"""

from PIL import Image, PngImagePlugin

UPSTREAM = {"pillow": "12.3.0"}


def lift_limits() -> None:
    """Lets Pillow open images of any size, and PNG whose profile has up to 16 MiB."""
    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20
