"""Message classes of protocol buffers from the text of their definitions, without a compiler and generated files."""

import re
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_WELL_KNOWN = {"Any": any_pb2.DESCRIPTOR, "Int64Value": wrappers_pb2.DESCRIPTOR, "BoolValue": wrappers_pb2.DESCRIPTOR}
_WELL_KNOWN |= {"StringValue": wrappers_pb2.DESCRIPTOR}
_MESSAGE = re.compile(r"message (\w+) {(.*?)}", re.DOTALL)
_FIELD = re.compile(r"(repeated )?(?:map<string, (\w+)>|(\w+)) (\w+) = (\d+);")


def build_messages(definitions: str, package: str) -> dict[str, Any]:
    """Builds the messages that a text defines.

    Args:
      definitions: `message NAME { ... }` of proto3, without `oneof`, enums and nested messages. Types of fields are
        scalars, messages of the same text, `Any` and wrappers such as `Int64Value`; maps have strings as keys.
      package: what the messages' full names begin with.

    Returns:
      The classes by name, entries of maps included. Keep all of them: protobuf itself keeps none alive. It makes the
      class of a part whenever a message has one, and where threads parse at the same time, one of them uses what the
      garbage collector of another takes apart, which is a crash.
    """
    # A pool of their own: in the default one they would clash with a package that brings the same messages.
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for known in {descriptor.name: descriptor for descriptor in _WELL_KNOWN.values()}.values():
        pool.AddSerializedFile(known.serialized_pb)
        file.dependency.append(known.name)
    for name, body in _MESSAGE.findall(definitions):
        message = file.message_type.add(name=name)
        for repeated, value_type, field_type, field_name, number in _FIELD.findall(body):
            if value_type:
                entry = message.nested_type.add(name=f"{field_name.title().replace('_', '')}Entry")
                entry.options.map_entry = True
                _add_field(entry, package, "key", "string", 1)
                _add_field(entry, package, "value", value_type, 2)
                field_type = f"{name}.{entry.name}"
            _add_field(message, package, field_name, field_type, int(number), repeated=bool(repeated or value_type))
    pool.AddSerializedFile(file.SerializeToString())
    found = [pool.FindMessageTypeByName(f"{package}.{message.name}") for message in file.message_type]
    found += [nested for descriptor in found for nested in descriptor.nested_types]
    return {descriptor.name: message_factory.GetMessageClass(descriptor) for descriptor in found}


def _add_field(message: Any, package: str, name: str, field_type: str, number: int, repeated: bool = False) -> None:
    field = message.field.add(name=name, number=number, label="LABEL_REPEATED" if repeated else "LABEL_OPTIONAL")
    if field_type.islower() or field_type in ("int32", "int64"):
        field.type = f"TYPE_{field_type.upper()}"
        return
    field.type = "TYPE_MESSAGE"
    field.type_name = f".{'google.protobuf' if field_type in _WELL_KNOWN else package}.{field_type}"
