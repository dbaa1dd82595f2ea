"""A weights file, read once: the bytes that were hashed are the bytes that are used."""

import hashlib
from pathlib import Path

from atelier.errors import AtelierError


class WeightsError(AtelierError):
    """Weights that cannot be had or do not fit; the message names the file and the remedy."""


def read_checked(path: str, sha256: str) -> bytes:
    """Reads a file from a disk, or from any file system that TensorFlow knows, and checks its SHA-256.

    Nothing parses the file before that. A file on a disk is read without TensorFlow, which need not be installed.

    Raises:
      WeightsError: no hash was given, the file cannot be read, or its hash is another.
    """
    if not sha256:
        raise WeightsError(f"{path}: the SHA-256 of the weights file is missing; give it as weights_sha256")
    try:
        content = _read_remote(path) if "://" in path else Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: the weights file cannot be read: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise WeightsError(f"{path}: its SHA-256 is {found}, expected {sha256}; the file is another one or damaged")
    return content


def _read_remote(path: str) -> bytes:
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise OSError(str(error)) from None
