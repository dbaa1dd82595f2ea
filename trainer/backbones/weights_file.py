"""A weights file, read once: the bytes that were hashed are the bytes that are used."""

import hashlib

from atelier.errors import AtelierError


class WeightsError(AtelierError):
    """Weights that cannot be had or do not fit; the message names the file and the remedy."""


def read_checked(path: str, sha256: str) -> bytes:
    """Reads a file from any file system that TensorFlow knows, and checks its SHA-256 before anything parses it.

    Raises:
      WeightsError: no hash was given, the file cannot be read, or its hash is another.
    """
    import tensorflow as tf

    if not sha256:
        raise WeightsError(f"{path}: state its SHA-256 as weights_sha256")
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except (tf.errors.OpError, OSError) as error:
        raise WeightsError(f"{path}: the weights file cannot be read: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise WeightsError(f"{path}: its SHA-256 is {found}, expected {sha256}; the file is another one or damaged")
    return content
