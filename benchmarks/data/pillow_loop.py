"""What one writes instead of an ingest: one process, one loop, Pillow.

    .venv/bin/python -m benchmarks.pillow_loop IMAGES OUTPUT

Stores opaque 8-bit images in the same records as `atelier ingest` does, byte for byte. What it leaves out is what the
ingest is there for: the split goes by the file's name, not by the pixels, nothing is found twice, and the first broken
file ends it.
"""

import io
import random
import sys
import zlib
from contextlib import ExitStack
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from atelier import tfrecord
from atelier.labels import write_labels
from atelier.layout import SPLITS
from pipeline.config import config

_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")


def write(images: Path, output: Path) -> None:
    """Writes `output/<split>/images-*.tfrecord` and `labels.txt` from a folder with a subfolder for each class."""
    settings = config.Ingest()
    labels = sorted(folder.name for folder in images.iterdir())
    files = sorted(path for path in images.rglob("*") if path.is_file())
    random.Random(0).shuffle(files)  # records of one class after another train badly
    with ExitStack() as stack:
        writers = {}
        for split in SPLITS:
            (output / split).mkdir(parents=True)
            for shard in range(settings.shards):
                name = f"images-{shard:05d}-of-{settings.shards:05d}.tfrecord"
                writers[split, shard] = stack.enter_context((output / split / name).open("wb"))
        for number, file in enumerate(files):
            path = str(file.relative_to(images))
            position = zlib.crc32(path.encode()) / 2**32
            split = "test" if position < settings.test_fraction else "train"
            if settings.test_fraction <= position < settings.test_fraction + settings.eval_fraction:
                split = "eval"
            record = _build_record(path, file.read_bytes(), labels, settings.store_size)
            tfrecord.write(writers[split, number % settings.shards], record)
    write_labels(output, labels)


def _build_record(path: str, encoded: bytes, labels: list[str], store_size: int) -> bytes:
    image = Image.open(io.BytesIO(encoded))
    source, mode = image.format, image.mode
    # Larger images are decoded at 1/2, 1/4 or 1/8 where that loses nothing that the smaller one shows.
    image.draft(None, (3 * store_size, 3 * store_size))
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    if turned:
        ImageOps.exif_transpose(image, in_place=True)
    image.load()
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    fits = max(rgb.size) <= store_size
    if not fits:
        rgb.thumbnail((store_size, store_size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    plain = source in ("JPEG", "PNG") and mode in ("RGB", "L") and "transparency" not in image.info and not turned
    if fits and plain:
        stored, kind = encoded, str(source).lower()
    else:
        kind = "png" if fits and source in _LOSSLESS else "jpeg"
        rgb.info = {}  # else comments and profiles are stored, too
        stream = io.BytesIO()
        rgb.save(stream, kind, **({} if kind == "png" else {"quality": 95, "subsampling": 0}))
        stored = stream.getvalue()
    label = Path(path).parts[0]
    return tfrecord.serialize_example(
        {
            "image/encoded": stored,
            "image/class/label": labels.index(label),
            "image/class/text": label,
            "image/format": kind,
            "image/filename": path,
            "image/height": rgb.height,
            "image/width": rgb.width,
        }
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
