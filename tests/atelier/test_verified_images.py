"""What the check of records lets pass, TensorFlow decodes; and what it rejects, by reason."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from atelier import images
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from trainer.images import ops

SMOOTH = Image.fromarray(
    np.repeat(np.repeat(np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8), 8, 0), 8, 1)
)
DEEP = Image.fromarray(np.random.default_rng(1).integers(0, 2**16, (20, 30), dtype=np.uint16))


def encode(image, pillow_format, **options):
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()


def animation(pillow_format):
    return encode(SMOOTH, pillow_format, save_all=True, append_images=[SMOOTH.rotate(90)])


SOUND = {
    "jpeg": encode(SMOOTH, "JPEG"),
    "progressive": encode(SMOOTH, "JPEG", progressive=True),
    "gray jpeg": encode(SMOOTH.convert("L"), "JPEG"),
    "cmyk": encode(SMOOTH.convert("CMYK"), "JPEG"),
    "png": encode(SMOOTH, "PNG"),
    "palette": encode(SMOOTH.convert("P"), "PNG"),
    "bilevel": encode(SMOOTH.convert("1"), "PNG"),
    "alpha": encode(SMOOTH.convert("RGBA"), "PNG"),
    "16 bits": encode(DEEP, "PNG"),
    "bmp": encode(SMOOTH, "BMP"),
    "gray bmp": encode(SMOOTH.convert("L"), "BMP"),
    "gif": encode(SMOOTH, "GIF"),
    "animated gif": animation("GIF"),
    "animated png": animation("PNG"),
    "webp": encode(SMOOTH, "WEBP"),
    "lossless webp": encode(SMOOTH, "WEBP", lossless=True),
}
UNSUPPORTED = {
    "tiff": encode(SMOOTH, "TIFF"),
    "animated webp": animation("WEBP"),
    "1-bit bmp": encode(SMOOTH.convert("1"), "BMP"),
    "longer bmp": encode(SMOOTH, "BMP") + b"\0",
}


def passes(encoded):
    try:
        images.verify(encoded, 10**6)
    except images.RejectedImageError:
        return False
    return True


@pytest.mark.parametrize("name", SOUND)
def test_sound_images_pass(name):
    images.verify(SOUND[name], 10**6)
    with pytest.raises(images.RejectedImageError) as refused:
        images.verify(SOUND[name], 10)
    assert refused.value.reason is images.Reason.TOO_LARGE


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_tensorflow_does_not_decode_is_unsupported(name):
    with pytest.raises(images.RejectedImageError) as refused:
        images.verify(UNSUPPORTED[name], 10**6)
    assert refused.value.reason is images.Reason.UNSUPPORTED
    assert "convert it to JPEG or PNG" in refused.value.detail


@pytest.mark.parametrize("name", ["jpeg", "progressive", "gray jpeg", "cmyk", "png", "webp", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_images_are_truncated(name, share):
    encoded = SOUND[name]
    with pytest.raises(images.RejectedImageError) as refused:
        images.verify(encoded[: int(share * len(encoded))], 10**6)
    assert refused.value.reason is images.Reason.TRUNCATED


def test_a_bomb_is_rejected_by_its_header():
    bomb = struct.pack("<2s4I2i2H24x", b"BM", 0, 0, 54, 40, 60_000, 60_000, 1, 24)
    with pytest.raises(images.RejectedImageError) as refused:
        images.verify(bomb, 10**6)
    assert refused.value.reason is images.Reason.TOO_LARGE


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_what_passes_is_decoded_by_tensorflow(name):
    """Whole, cut, longer, and with bytes changed (but of GIF, whose pixels may end early unnoticed)."""
    encoded, random = SOUND[name], np.random.default_rng(2)
    variants = [
        encoded,
        *(encoded[: int(share * len(encoded))] for share in (0.02, 0.2, 0.5, 0.9)),
        encoded + b"\0" * 9,
    ]
    variants += [encoded[:-end] for end in (1, 2, 4, 12)]
    if "gif" not in name:
        for _ in range(15):
            changed = bytearray(encoded)
            changed[random.integers(2, len(changed))] = random.integers(0, 256)
            variants.append(bytes(changed))
    passed = [variant for variant in variants if passes(variant)]
    assert encoded in passed
    for variant in passed:
        ops.decode(tf.constant(variant))
