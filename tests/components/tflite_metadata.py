"""Reads TFLite metadata by the numbers of `metadata_schema.fbs`, not by the code that writes it."""

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import number_types
from flatbuffers.table import Table


def read_metadata(model):
    """The root table of the FlatBuffer in the model's entry."""
    whole = schema.ModelT.InitFromPackedBuf(model, 0)
    (entry,) = [each for each in whole.metadata if each.name == b"TFLITE_METADATA"]
    content = bytes(whole.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    return Table(content, int.from_bytes(content[:4], "little"))


def find_field(table, place):
    """The field's position, or None."""
    offset = table.Offset(4 + 2 * place)
    return offset + table.Pos if offset else None


def read_text(table, place):
    return table.String(find_field(table, place)).decode()


def read_child(table, place):
    return Table(table.Bytes, table.Indirect(find_field(table, place)))


def read_children(table, place):
    offset = table.Offset(4 + 2 * place)
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * number)) for number in range(table.VectorLen(offset))]


def read_floats(table, place):
    return table.GetVectorAsNumpy(number_types.Float32Flags, table.Offset(4 + 2 * place)).tolist()


def read_enum(table, place):
    return table.Get(number_types.Uint8Flags, find_field(table, place))
