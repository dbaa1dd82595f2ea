"""Works around two faults of MLMD on PostgreSQL, which stop a pipeline there.

A text with a backslash cannot be written. libpq quotes it as ` E'...'` and any other as `'...'`; MLMD takes the first
and the last character off, puts quotes of its own around the rest, and so sends broken SQL. JSON within JSON, as in
the Trainer's parameters, and the traces of failed nodes have backslashes. They are stored as another character.

What is asked for by ids comes in no particular order: once changed, a row is the table's last. TFX counts on the order
of the ids when it takes outputs from the cache, and takes one output for another. Here the order is made.

Needed with MLMD 1.21. It can go when MLMD keeps a custom property with a backslash, and `get_artifacts_by_id([2, 1])`
returns 2 before 1 after artifact 2 was changed.
"""

from typing import Any

from google.protobuf.message import Message
from ml_metadata.metadata_store import MetadataStore

UPSTREAM = {"ml-metadata": "1.21.0"}

STAND_IN = "\ue05c"
"""For a backslash: from Unicode's private area, which no text has a reason to use."""

_BY_IDS = {
    "GetArtifactsByID": ("artifact_ids", "artifacts"),
    "GetExecutionsByID": ("execution_ids", "executions"),
    "GetContextsByID": ("context_ids", "contexts"),
    "GetArtifactTypesByID": ("type_ids", "artifact_types"),
    "GetExecutionTypesByID": ("type_ids", "execution_types"),
    "GetContextTypesByID": ("type_ids", "context_types"),
}
"""What is asked for and what comes, by the method of the store."""


def repair_store(store: MetadataStore) -> MetadataStore:
    """Changes the store, which must be PostgreSQL's; returns it."""
    call = store._call_method

    def call_repaired(method_name: str, request: Message, response: Message) -> None:
        _replace(request, "\\", STAND_IN)
        call(method_name, request, response)
        _replace(response, STAND_IN, "\\")
        if method_name in _BY_IDS:
            _put_in_order(request, response, *_BY_IDS[method_name])

    store._call_method = call_repaired
    return store


def _put_in_order(request: Message, response: Message, asked: str, answered: str) -> None:
    """One for each id, as the ids are."""
    rows = getattr(response, answered)
    by_id = {row.id: row for row in list(rows)}
    ordered = [by_id[number] for number in getattr(request, asked) if number in by_id]
    del rows[:]
    rows.extend(ordered)


def _replace(message: Message, old: str, new: str) -> None:
    """In every text of the message, in place."""
    for field, value in message.ListFields():
        if field.message_type and field.message_type.GetOptions().map_entry:
            _replace_in_map(value, field.message_type.fields_by_name["value"].message_type is not None, old, new)
        elif field.message_type:
            for part in value if _is_list(value) else [value]:
                _replace(part, old, new)
        elif field.type == field.TYPE_STRING:
            if _is_list(value):
                value[:] = [text.replace(old, new) for text in value]
            elif old in value:
                setattr(message, field.name, value.replace(old, new))


def _replace_in_map(values: Any, of_messages: bool, old: str, new: str) -> None:
    """Keys are names of properties: identifiers."""
    for key in list(values):
        if of_messages:
            _replace(values[key], old, new)
        elif isinstance(values[key], str):
            values[key] = values[key].replace(old, new)


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | bytes | Message)
