"""The checkpoint reader on files that these tests assemble opcode by opcode; PyTorch and TensorFlow are not needed."""

import io
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest

from trainer.backbones.torch_checkpoint import read
from trainer.backbones.weights_file import WeightsError

VALUES = np.arange(12, dtype="<f4") * 0.5
COUNTS = np.array([7, 8, 9], "<i8")


def pickle_text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def pickle_integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def pickle_tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def pickle_name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def pickle_storage(kind: str, key: str, count: int, *extra: bytes) -> bytes:
    parts = (
        pickle_text("storage"),
        pickle_name("torch", kind),
        pickle_text(key),
        pickle_text("cpu"),
        pickle_integer(count),
        *extra,
    )
    return pickle_tuple(*parts) + b"Q"


def pickle_tensor(of: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    hooks = pickle_name("collections", "OrderedDict") + b")R"
    arguments = (
        of,
        pickle_integer(offset),
        pickle_tuple(*map(pickle_integer, size)),
        pickle_tuple(*map(pickle_integer, stride)),
        b"\x89",
        hooks,
    )
    return pickle_name("torch._utils", "_rebuild_tensor_v2") + pickle_tuple(*arguments) + b"R"


def pickle_state_dict(**tensors: bytes) -> bytes:
    items = b"".join(pickle_text(name) + value for name, value in tensors.items())
    # torch hangs `_metadata` on the dict, which arrives as a BUILD.
    metadata = b"}" + pickle_text("_metadata") + b"}sb"
    return b"\x80\x02" + pickle_name("collections", "OrderedDict") + b")R(" + items + b"u" + metadata + b"."


GOOD = pickle_state_dict(
    plain=pickle_tensor(pickle_storage("FloatStorage", "0", 12), 0, (3, 4), (4, 1)),
    transposed_part=pickle_tensor(pickle_storage("FloatStorage", "0", 12), 1, (2, 3), (1, 4)),
    scalar=pickle_tensor(pickle_storage("LongStorage", "1", 3), 2, (), ()),
)
STORAGES = {"0": VALUES.tobytes(), "1": COUNTS.tobytes()}


def build_legacy_file(
    state: bytes, storages: dict[str, bytes] = STORAGES, little_endian: bool = True, counts=None
) -> bytes:
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": little_endian})]
    widths = {"0": 4, "1": 8}
    body = b"".join(
        struct.pack("<q", (counts or {}).get(key, len(raw) // widths[key])) + raw for key, raw in storages.items()
    )
    return b"".join(head) + state + pickle.dumps(list(storages), 2) + body


def build_archive(state: bytes, storages: dict[str, bytes] = STORAGES, byteorder="little", compression=0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as z:
        z.writestr("model/data.pkl", state)
        z.writestr("model/byteorder", byteorder)
        for key, raw in storages.items():
            z.writestr(f"model/data/{key}", raw)
    return file.getvalue()


@pytest.mark.parametrize("pack", [build_legacy_file, build_archive])
def test_both_formats_give_the_same_arrays(pack):
    tensors = read(pack(GOOD), "a.pth")
    assert list(tensors) == ["plain", "transposed_part", "scalar"]
    np.testing.assert_array_equal(tensors["plain"], [[0, 0.5, 1, 1.5], [2, 2.5, 3, 3.5], [4, 4.5, 5, 5.5]])
    # Offset 1, strides 1 and 4 values: columns 1 and 2 of `plain`, as rows.
    np.testing.assert_array_equal(tensors["transposed_part"], [[0.5, 2.5, 4.5], [1, 3, 5]])
    assert tensors["scalar"].shape == ()
    assert tensors["scalar"] == 9
    assert tensors["scalar"].dtype == np.int64
    assert tensors["plain"].flags.writeable


def test_half_precision_and_parameters():
    half = pickle_tensor(pickle_storage("HalfStorage", "0", 2), 0, (2,), (1,))
    parameter = pickle_name("torch._utils", "_rebuild_parameter") + pickle_tuple(half, b"\x88", b"}") + b"R"
    tensors = read(build_archive(pickle_state_dict(w=parameter), {"0": np.array([1.5, -2], "<f2").tobytes()}), "a.pth")
    np.testing.assert_array_equal(tensors["w"], np.array([1.5, -2], np.float16))


@pytest.mark.parametrize("pack", [build_legacy_file, build_archive])
@pytest.mark.parametrize("module", ["os", "posix"])
def test_a_pickle_that_runs_a_command_is_refused_before_it_runs(pack, module, tmp_path):
    marker = tmp_path / "ran"
    call = pickle_name(module, "system") + pickle_tuple(pickle_text(f"touch {marker}")) + b"R"
    # The same opcodes are no empty threat: the standard unpickler runs them.
    assert pickle.loads(b"\x80\x02" + call + b".") == 0  # noqa: S301 (our own opcodes)
    marker.unlink()
    with pytest.raises(WeightsError, match=rf"evil\.pth: the pickle asks for {module}\.system"):
        read(pack(pickle_state_dict(w=call)), "evil.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"), [("builtins", "eval"), ("torch", "load"), ("torch", "BFloat16Storage"), ("numpy", "dtype")]
)
def test_other_globals_are_refused_by_name(module, name):
    with pytest.raises(WeightsError, match=f"asks for {module}.{name}"):
        read(build_archive(pickle_state_dict(w=pickle_name(module, name))), "a.pth")


@pytest.mark.parametrize("pack", [build_legacy_file, build_archive])
def test_every_truncation_is_an_error_that_names_the_file(pack):
    whole = pack(GOOD)
    for length in range(len(whole)):
        with pytest.raises(WeightsError, match=r"^short\.pth: "):
            read(whole[:length], "short.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (build_legacy_file(GOOD, counts={"0": 11}), "storage 0 has 11 values, its tensors expect 12"),
        (
            build_archive(GOOD, {**STORAGES, "0": bytes(44)}),
            "storage 0 has 44 bytes, its tensors expect 12 values of 4",
        ),
        (build_archive(GOOD, {"0": STORAGES["0"]}), "the archive has no data/1"),
        (build_legacy_file(GOOD, {"0": STORAGES["0"]}), "the list of storages is not that of the tensors"),
        (build_legacy_file(GOOD) + b"\0", "data follows the last storage"),
        (build_legacy_file(GOOD, little_endian=False), "big-endian"),
        (build_archive(GOOD, byteorder="big"), "big-endian"),
        (build_archive(GOOD, compression=zipfile.ZIP_DEFLATED), "is compressed"),
        (build_archive(b"\x80\x02]."), "holds list, expected a state dict"),
        (build_archive(b"\x80\x02}."), "holds dict, expected a state dict"),
        (build_archive(pickle_state_dict(w=pickle_integer(3))), "'w' is int, expected a tensor"),
        (
            build_archive(pickle_state_dict(w=pickle_tensor(pickle_integer(3), 0, (1,), (1,)))),
            "built on int, expected a storage",
        ),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a PyTorch checkpoint"),
        (b"", "not a PyTorch checkpoint"),
        (pickle.dumps({"w": 1}, 2), "not a PyTorch checkpoint"),
    ],
)
def test_damage_is_named(content, reason):
    with pytest.raises(WeightsError, match=f"^bad.pth: .*{reason}"):
        read(content, "bad.pth")


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (1, (3, 4), (4, 1)),  # one value past the end
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (12, (1,), (1,)),
        (0, (13,), (0,)),  # repeats one value
        (0, (2, 2), (1,)),
        (0, (-1,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage_is_named(offset, size, stride):
    state = pickle_state_dict(leak=pickle_tensor(pickle_storage("FloatStorage", "0", 12), offset, size, stride))
    with pytest.raises(WeightsError, match=r"tensor leak of size .* does not fit its storage"):
        read(build_archive(state, {"0": STORAGES["0"]}), "a.pth")


def test_a_storage_is_described_in_one_way_and_is_no_view():
    two = pickle_state_dict(
        a=pickle_tensor(pickle_storage("FloatStorage", "0", 12), 0, (1,), (1,)),
        b=pickle_tensor(pickle_storage("LongStorage", "0", 12), 0, (1,), (1,)),
    )
    with pytest.raises(WeightsError, match="storage 0 is described in two ways"):
        read(build_archive(two), "a.pth")
    view = pickle_storage("FloatStorage", "0", 12, pickle_tuple(pickle_text("1"), pickle_integer(0), pickle_integer(4)))
    with pytest.raises(WeightsError, match="not a plain storage"):
        read(build_legacy_file(pickle_state_dict(a=pickle_tensor(view, 0, (1,), (1,)))), "a.pth")


def test_reading_needs_neither_tensorflow_nor_torch(tmp_path):
    import subprocess

    path = tmp_path / "a.pth"
    path.write_bytes(build_legacy_file(GOOD))
    program = (
        "import pathlib, sys; from trainer.backbones.torch_checkpoint import read; "
        f"assert read(pathlib.Path({str(path)!r}).read_bytes(), 'a')['plain'].sum() == 33; "
        "sys.exit(sorted({'tensorflow', 'keras', 'torch'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
