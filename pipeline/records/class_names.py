"""What the classes of records are called, and whether their labels can be trained on.

Names come from `labels.txt`, from the records themselves (a name beside each id), from the schema, or are the ids.
Whatever says something about a class must agree with the rest: an id has one name, and a name has one id.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.layout import EVAL, LABELS_FILE, SCHEMA_FILE, SPLITS, TEST, TRAIN
from pipeline.records.labels_file import LabelError
from pipeline.records.record_scan import format_value

_MOST_NAMED = 5
_MOST_CLASSES = 1_000_000
"""A domain of more ids is that of a number, as 0 to 2^31 - 1, and no model has an output for each."""


@dataclass(frozen=True)
class Seen:
    """A label, and where it is first found."""

    split: str
    label: int | str
    name: str
    count: int
    place: str
    """File and record, for a message."""

    def __str__(self) -> str:
        return f"{self.split}: {self.place}"


@dataclass(frozen=True)
class Declared:
    """What stands beside the records."""

    names: tuple[str, ...] | None
    """Of `labels.txt`."""
    schema_names: tuple[str, ...] = ()
    """In the schema's domain of the name, in its order."""
    schema_count: int | None = None
    """By the schema's domain of the id."""


@dataclass(frozen=True)
class Classes:
    """Names in the order of the ids, and what the user should know."""

    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def resolve(seen: Iterable[Seen], declared: Declared, folder: Path, label_key: str, text_key: str) -> Classes:
    """Decides the names of the classes.

    Args:
      seen: every label of every split, one entry each with its first place.
      declared: what stands beside the records.
      folder: of the records, for messages.
      label_key: name of the label's feature.
      text_key: name of the feature with the class name beside the id.

    Raises:
      LabelError: names and ids contradict each other, an id is out of range, or a class cannot be learned.
    """
    seen = sorted(seen, key=lambda entry: SPLITS.index(entry.split))
    texts = [entry for entry in seen if isinstance(entry.label, str)]
    if texts and len(texts) < len(seen):
        number = next(entry for entry in seen if not isinstance(entry.label, str))
        raise LabelError(
            f"{texts[0]}: {label_key} is the text {format_value(texts[0].name or str(texts[0].label))}, but in "
            f"{number} it is the id {number.label}; write one kind of label"
        )
    # In the order of the splits: the first place of a label is in train wherever train has it.
    first = {entry.label: entry for entry in reversed(seen)}
    if texts:
        names = _order_texts(first, declared, folder, label_key)  # type: ignore[arg-type]
        ids: dict[int | str, int] = {name: number for number, name in enumerate(names)}
    else:
        names = _pair_ids(first, seen, declared, folder, label_key, text_key)  # type: ignore[arg-type]
        ids = {label: int(label) for label in first}
    _check_alike(names, folder)
    if len(first) < 2:
        raise LabelError(
            f"{folder}: only one class in the records ({names[next(iter(ids.values()))]}); a classifier needs two"
        )
    by_split = {split: {ids[entry.label] for entry in seen if entry.split == split} for split in SPLITS}
    for label, entry in first.items():
        if ids[label] not in by_split[TRAIN]:
            shown = format_value(label) if isinstance(label, str) else label
            raise LabelError(
                f"{entry}: {label_key} is {shown}, which no record of train has: "
                "add examples of the class to train, or leave them out elsewhere"
            )
    return Classes(names, (*_find_case_pairs(names), *_find_gaps(names, by_split)))


def _order_texts(first: Mapping[str, Seen], declared: Declared, folder: Path, label_key: str) -> tuple[str, ...]:
    """Labels are names: their order is that of `labels.txt`, or of the alphabet."""
    if declared.names is None:
        return tuple(sorted(first))
    for label, entry in first.items():
        if label not in declared.names:
            raise LabelError(
                f"{entry}: {label_key} is {format_value(label)}, which {folder / LABELS_FILE} does not list: "
                "add it there, or remove that file"
            )
    for name in declared.names:
        if name not in first:
            raise LabelError(
                f"{folder / LABELS_FILE} names {len(declared.names)} classes, the records have {len(first)}: none is "
                f"labeled {format_value(name)}; take it out of that file, or remove the file"
            )
    return declared.names


def _pair_ids(
    first: Mapping[int, Seen],
    seen: Sequence[Seen],
    declared: Declared,
    folder: Path,
    label_key: str,
    text_key: str,
) -> tuple[str, ...]:
    """Labels are ids: names are paired with them example by example."""
    named = _read_pairs(seen, label_key, text_key)
    pairs = {number: entry.name for number, entry in named.items()}
    highest = max(first)
    if declared.names is not None:
        _check_declared(declared.names, first, folder, label_key)
        for number, entry in named.items():
            if declared.names[number] != entry.name:
                raise LabelError(
                    f"{entry}: {label_key} {number} is named {format_value(entry.name)}, but line {number + 1} of "
                    f"{folder / LABELS_FILE} is {format_value(declared.names[number])}: correct that file, or remove it"
                )
        return declared.names
    count = declared.schema_count
    if count is not None and highest >= count:
        raise LabelError(
            f"{first[highest]}: {label_key} is {highest}, "
            f"but schema.pbtxt has ids 0 to {count - 1}: correct one of them"
        )
    listed = declared.schema_names
    if len(listed) > highest and all(listed[number] == name for number, name in pairs.items()):
        return listed
    if count is not None and count > _MOST_CLASSES:
        raise LabelError(
            f"{folder / SCHEMA_FILE}: the domain of {label_key} has ids 0 to {count - 1}, and the highest id in the "
            f"records is {highest}: set its max to the highest id of a class"
        )
    _check_gaps(first, range(count or highest + 1), count is not None, folder, label_key)
    if not pairs:
        return tuple(str(number) for number in range(count or highest + 1))
    for number, entry in first.items():
        if number not in pairs:
            other = min(pairs)
            raise LabelError(
                f"{entry}: {label_key} {number} has no name in {text_key} anywhere, while {other} is "
                f"{format_value(pairs[other])}: name it there, or list all names in {folder / LABELS_FILE}"
            )
    return tuple(pairs.get(number, str(number)) for number in range(count or highest + 1))


def _read_pairs(seen: Sequence[Seen], label_key: str, text_key: str) -> dict[int, Seen]:
    """By id, the first entry that names it."""
    by_id: dict[int, Seen] = {}
    by_name: dict[str, Seen] = {}
    remedy = f"correct the records, or set data.text_key='' and list the names in {LABELS_FILE}"
    for entry in seen:
        if not entry.name:
            continue
        one, other = by_id.setdefault(int(entry.label), entry), by_name.setdefault(entry.name, entry)
        if one.name != entry.name:
            raise LabelError(
                f"{entry}: {label_key} {entry.label} is named {format_value(entry.name)} in {text_key}, "
                f"but {format_value(one.name)} in {one}: {remedy}"
            )
        if other.label != entry.label:
            raise LabelError(
                f"{entry}: {format_value(entry.name)} in {text_key} has {label_key} {entry.label}, "
                f"but {other.label} in {other}: {remedy}"
            )
    return by_id


def _check_declared(names: Sequence[str], first: Mapping[int, Seen], folder: Path, label_key: str) -> None:
    highest, listed = max(first), f"{folder / LABELS_FILE} names {len(names)} classes"
    if highest >= len(names):
        from_one = min(first) == 1 and highest == len(names)
        remedy = (
            "ids start from 0: lower them by one, or put a name for id 0 into the first line"
            if from_one
            else "add the missing names, or correct the ids"
        )
        raise LabelError(
            f"{first[highest]}: {label_key} is {highest}, but {listed}, ids 0 to {len(names) - 1}; {remedy}"
        )
    if highest < len(names) - 1:
        raise LabelError(
            f"{listed}, but the highest id in the records is {highest} ({first[highest]}): "
            "take the names without examples out of that file, or add their examples"
        )


def _check_gaps(first: Mapping[int, Seen], expected: range, is_declared: bool, folder: Path, label_key: str) -> None:
    """Rejects ids without examples, unless the schema says how many there are."""
    if is_declared or len(first) == expected.stop:  # `len` takes no range of 2^63
        return
    missing = next(number for number in expected if number not in first)
    after = min(number for number in first if number > missing)
    what = (
        f"class ids start from 0, and the lowest {label_key} is {after}"
        if not missing
        else f"no record has {label_key} {missing}, but one has {after}"
    )
    raise LabelError(
        f"{first[after]}: {what}: number the {len(first)} classes 0 to {len(first) - 1}, "
        f"or list the names of all ids, from 0 on, in {folder / LABELS_FILE}"
    )


def _check_alike(names: Sequence[str], folder: Path) -> None:
    """Rejects two classes whose names look the same."""
    by_form: dict[str, str] = {}
    for name in names:
        form = " ".join(unicodedata.normalize("NFC", name).split())
        if form in by_form:
            raise LabelError(
                f"{folder}: {by_form[form]!a} and {name!a} are two classes whose names look the same: "
                "give them one name, or different ones"
            )
        by_form[form] = name


def _find_case_pairs(names: Sequence[str]) -> Iterator[str]:
    by_form: dict[str, str] = {}
    for name in names:
        other = by_form.setdefault(name.casefold(), name)
        if other != name:
            yield f"{other} and {name} are two classes whose names differ by case alone"


def _find_gaps(names: Sequence[str], by_split: Mapping[str, set[int]]) -> tuple[str, ...]:
    found = []
    for split, meaning in ((TRAIN, "the model cannot learn"), (EVAL, ""), (TEST, "the gates do not measure")):
        missing = [name for number, name in enumerate(names) if number not in by_split[split]]
        if missing and (split == TRAIN or len(missing) < len(names)):
            more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
            listed = ", ".join(missing[:_MOST_NAMED]) + more
            found.append(f"{split} has no examples of {listed}" + (f", which {meaning}" if meaning else ""))
    return tuple(found)
