"""Requests that cannot be answered, with what a server must say; imported while tests are collected."""

import io
import struct
import zlib
from typing import Any

import grpc
import numpy as np
from PIL import Image

from atelier import tfrecord

Code = grpc.StatusCode


def make_image(value, size=6, kind="PNG"):
    """An image of one brightness, encoded."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (value,) * 3).save(stream, kind)
    return stream.getvalue()


def build_huge_png():
    """A PNG whose header promises 30000 x 30000 pixels, and whose data is nearly nothing."""

    def build_chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">2I5B", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + build_chunk(b"IHDR", header)
        + build_chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + build_chunk(b"IEND", b"")
    )


PIXELS = np.zeros((1, 4, 4, 3), np.uint8)


def build_short_tensor():
    """One byte of the pixels is missing."""
    import tensorflow as tf

    tensor = tf.make_tensor_proto(PIXELS)
    tensor.tensor_content = tensor.tensor_content[:-1]
    return tensor


def build_repeated_tensor():
    """One value that stands for 2^40 images."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    tensor = tensor_pb2.TensorProto(dtype=tf.uint8.as_datatype_enum, int_val=[0])
    for side in (2**40, 4, 4, 3):
        tensor.tensor_shape.dim.add(size=side)
    return tensor


def build_empty_tensor():
    import tensorflow as tf

    return tf.make_tensor_proto([], tf.string)


# A function stands for what it returns.
MALFORMED: dict[str, tuple[str, dict[str, Any], grpc.StatusCode, str]] = {
    "not an image": ("serving_bytes", {"image_bytes": [b"hello"]}, Code.INVALID_ARGUMENT, "no JPEG, PNG"),
    "a truncated PNG": ("serving_bytes", {"image_bytes": [make_image(0, 99)[:99]]}, Code.INVALID_ARGUMENT, "PNG"),
    "a truncated JPEG": (
        "serving_bytes",
        {"image_bytes": [make_image(0, 99, "JPEG")[:400]]},
        Code.INVALID_ARGUMENT,
        "JPEG",
    ),
    "a huge header": ("serving_bytes", {"image_bytes": [build_huge_png()]}, Code.INVALID_ARGUMENT, "10000000 pixels"),
    "a huge header in an example": (
        "serving_default",
        {"examples": [tfrecord.serialize_example({"image/encoded": build_huge_png()})]},
        Code.INVALID_ARGUMENT,
        "10000000 pixels",
    ),
    "an example without an image": (
        "serving_default",
        {"examples": [tfrecord.serialize_example({"other": 1})]},
        Code.INVALID_ARGUMENT,
        "image/encoded",
    ),
    "no example": ("serving_default", {"examples": [b"\xff\xff"]}, Code.INVALID_ARGUMENT, "Could not parse example"),
    "an empty batch": (
        "serving_bytes",
        {"image_bytes": build_empty_tensor},
        Code.INVALID_ARGUMENT,
        "the batch is empty",
    ),
    "a wrong type": (
        "serving_pixels",
        {"pixels": PIXELS.astype(np.float32)},
        Code.INVALID_ARGUMENT,
        "input pixels: expects it to be uint8 but float32 is provided",
    ),
    "a wrong shape": (
        "serving_pixels",
        {"pixels": PIXELS[:, :2]},
        Code.INVALID_ARGUMENT,
        "input pixels: its shape is [1, 2, 4, 3]; the signature takes [-1, 4, 4, 3]",
    ),
    "a scalar": ("serving_bytes", {"image_bytes": b"x"}, Code.INVALID_ARGUMENT, "its shape is []"),
    "too few bytes": (
        "serving_pixels",
        {"pixels": build_short_tensor},
        Code.INVALID_ARGUMENT,
        "tensor parsing error: pixels",
    ),
    "a shape beyond memory": (
        "serving_pixels",
        {"pixels": build_repeated_tensor},
        Code.INVALID_ARGUMENT,
        "is more than this server",
    ),
    "an unknown input": (
        "serving_pixels",
        {"images": PIXELS},
        Code.INVALID_ARGUMENT,
        "input tensor alias not found in signature: images. Inputs expected to be in the set {pixels}.",
    ),
    "no input": ("serving_pixels", {}, Code.INVALID_ARGUMENT, "Missing but required: {pixels}."),
    "an unknown signature": ("nope", {}, Code.FAILED_PRECONDITION, 'Serving signature key "nope" not found.'),
    "a batch beyond the limit": (
        "serving_bytes",
        {"image_bytes": [make_image(0)] * 9},
        Code.INVALID_ARGUMENT,
        "Task size 9 is larger than maximum input batch size 8",
    ),
    "a message beyond the limit": (
        "serving_bytes",
        {"image_bytes": [b"\xff\xd8" + bytes(5_000_000)]},
        Code.RESOURCE_EXHAUSTED,
        "larger than max",
    ),
}
