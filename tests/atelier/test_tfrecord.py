"""TFRecords without TensorFlow, against TensorFlow."""

import gc
import io
import weakref

import pytest

from atelier import tfrecord

VALUES: dict[str, tfrecord.Value] = {
    "image/encoded": b"\x00\xff",
    "content/id": "Köln",
    "strength": 0.25,
    "image/height": 7,
}


def stream(*records):
    made = io.BytesIO()
    for record in records:
        tfrecord.write(made, record)
    made.seek(0)
    return made


def test_what_is_written_is_read():
    records = [b"one", b"", tfrecord.serialize_example(VALUES)]
    assert list(tfrecord.read(stream(*records))) == records
    assert tfrecord.read_first_bytes(records[2], "image/encoded") == b"\x00\xff"
    assert tfrecord.read_first_bytes(records[2], "content/id") == "Köln".encode()
    assert tfrecord.read_first_bytes(records[2], "strength") is None
    assert tfrecord.read_first_bytes(records[2], "none") is None


@pytest.mark.parametrize("position", [0, 9, 13, -1])
def test_a_changed_byte_is_noticed(position):
    data = bytearray(stream(b"payload").getvalue())
    data[position] ^= 1
    with pytest.raises(tfrecord.DamagedError, match="damaged"):
        list(tfrecord.read(io.BytesIO(bytes(data))))


@pytest.mark.parametrize("length", [5, 12, 15, 22])
def test_a_file_cut_short_is_noticed(length):
    data = stream(b"payload").getvalue()
    assert length < len(data)
    with pytest.raises(tfrecord.DamagedError):
        list(tfrecord.read(io.BytesIO(data[:length])))


@pytest.mark.slow
def test_tensorflow_reads_what_is_written_and_writes_what_is_read(tmp_path):
    import tensorflow as tf

    file = str(tmp_path / "a.tfrecord")
    record = tfrecord.serialize_example(VALUES)
    (tmp_path / "a.tfrecord").write_bytes(stream(record, b"x").getvalue())
    assert [item.numpy() for item in tf.data.TFRecordDataset(file)] == [record, b"x"]
    features = tf.train.Example.FromString(record).features.feature
    assert features["image/encoded"].bytes_list.value == [b"\x00\xff"]
    assert features["content/id"].bytes_list.value == ["Köln".encode()]
    assert features["strength"].float_list.value == [0.25]
    assert features["image/height"].int64_list.value == [7]

    with tf.io.TFRecordWriter(file) as writer:
        writer.write(record)
        writer.write(b"")
    assert list(tfrecord.read(io.BytesIO((tmp_path / "a.tfrecord").read_bytes()))) == [record, b""]


@pytest.mark.slow
def test_the_classes_of_an_examples_parts_outlive_their_messages():
    """Else one thread's garbage collection takes the class away that another thread's parsing has just asked for."""
    message = tfrecord._Example()
    features = message.features
    entry = features.feature["key"]
    kinds = [
        weakref.ref(type(each)) for each in (features, entry, entry.bytes_list, entry.float_list, entry.int64_list)
    ]
    del message, features, entry
    gc.collect()
    assert all(kind() for kind in kinds)
    assert type(tfrecord._Example().features) is kinds[0]()
