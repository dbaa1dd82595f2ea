"""Reads a PyTorch state dict (`.pth`) with the standard library and NumPy.

Both formats: the zip archive that torch.save has written since PyTorch 1.6, and the concatenated pickles before it.
A pickle may name any Python callable and have it called. Here the four things that a state dict needs are the only
ones known; everything else is an error before it runs.
"""

import collections
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from trainer.backbones.weights_file import WeightsError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_DTYPES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


def read(content: bytes, source: str) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict by name, in the file's order.

    Args:
      content: the whole file.
      source: its name, for errors.

    Raises:
      WeightsError: not a state dict in a known format; a global that is not allowed; a file that is cut off or has
        something left over; a tensor that reaches past its storage. Names the file, and the tensor where there is one.
    """
    try:
        state, storages = _read_zip(content) if content.startswith(b"PK\x03\x04") else _read_legacy(content)
        if not isinstance(state, Mapping) or not state:
            raise WeightsError(f"holds {type(state).__name__}, expected a state dict with tensors by name")
        return {name: _copy_tensor(name, view, storages) for name, view in state.items()}
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise WeightsError(f"{source}: not a PyTorch checkpoint, or a damaged one: {error!r}") from error


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    length: int


class _View(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Knows state dicts only. What it hands out is immutable or new, so that a pickle cannot tamper with it."""

    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: _build_view(*arguments)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda view, *_: view
        if module == "torch" and name in _DTYPES:
            return name
        raise WeightsError(f"the pickle asks for {module}.{name}, which no state dict needs, so the file is rejected")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, type_name, key, _device, length, *view = pid
        if kind != "storage" or any(part is not None for part in view):
            raise WeightsError(f"the pickle refers to {kind!r} {view}, which is not a plain storage")
        storage = _Storage(key, _DTYPES[type_name], length)
        if self._storages.setdefault(key, storage) != storage:
            raise WeightsError(f"storage {key} is described in two ways")
        return storage


def _build_view(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _View:
    if not isinstance(storage, _Storage):
        raise WeightsError(f"a tensor is built on {type(storage).__name__}, expected a storage")
    return _View(storage, offset, size, stride)


def _read_zip(content: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    storages: dict[str, _Storage] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}

        def read_member(name: str) -> bytes:
            if name not in members:
                raise WeightsError(f"the archive has no {name}")
            # torch.save never compresses; what is stored cannot unpack to more than the file's own length.
            if members[name].compress_type != zipfile.ZIP_STORED:
                raise WeightsError(f"{name} is compressed in the archive, which torch.save does not do")
            return archive.read(members[name])

        if "byteorder" in members and read_member("byteorder") != b"little":
            raise WeightsError("the file is big-endian")
        state = _Unpickler(io.BytesIO(read_member("data.pkl")), storages).load()
        arrays = {key: _parse_array(storage, read_member(f"data/{key}")) for key, storage in storages.items()}
    return state, arrays


def _read_legacy(content: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    storages: dict[str, _Storage] = {}
    file = io.BytesIO(content)

    def load() -> Any:
        return _Unpickler(file, storages).load()

    if load() != _LEGACY_MAGIC or load() != _LEGACY_PROTOCOL:
        raise WeightsError("not a PyTorch checkpoint: its first bytes are those of another format")
    if not load()["little_endian"]:
        raise WeightsError("the file is big-endian")
    state, keys = load(), load()
    if set(keys) != set(storages):
        raise WeightsError("the list of storages is not that of the tensors")
    arrays = {key: _read_legacy_array(storages[key], file.read) for key in keys}
    if file.read(1):
        raise WeightsError("data follows the last storage")
    return state, arrays


def _read_legacy_array(storage: _Storage, read_bytes: Callable[[int], bytes]) -> np.ndarray:
    header = read_bytes(8)
    if len(header) < 8:
        raise WeightsError(f"the file ends before storage {storage.key}")
    (length,) = struct.unpack("<q", header)
    if length != storage.length:
        raise WeightsError(f"storage {storage.key} has {length} values, its tensors expect {storage.length}")
    return _parse_array(storage, read_bytes(length * storage.dtype.itemsize))


def _parse_array(storage: _Storage, content: bytes) -> np.ndarray:
    if len(content) != storage.length * storage.dtype.itemsize:
        raise WeightsError(
            f"storage {storage.key} has {len(content)} bytes, its tensors expect {storage.length} values of "
            f"{storage.dtype.itemsize} bytes"
        )
    return np.frombuffer(content, storage.dtype)


def _copy_tensor(name: Any, view: Any, storages: dict[str, np.ndarray]) -> np.ndarray:
    """Copies a view out of its storage. NumPy checks that offset, size and stride stay inside."""
    if not isinstance(name, str) or not isinstance(view, _View):
        raise WeightsError(f"{name!r} is {type(view).__name__}, expected a tensor by name")
    values = storages[view.storage.key]
    try:
        # A stride of 0 could repeat a value without end; no weight is stored so.
        if math.prod(view.size) > values.size:
            raise ValueError("more values than the storage has")
        width = values.itemsize
        strides = [step * width for step in view.stride]
        return np.ndarray(view.size, values.dtype, values.data, view.offset * width, strides).copy()
    except (TypeError, ValueError) as error:
        raise WeightsError(f"tensor {name} of size {view.size} does not fit its storage: {error}") from None
