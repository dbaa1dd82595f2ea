"""Cron lines of five fields, as Vertex AI and Kubeflow Pipelines take them."""

import calendar
import dataclasses
import re
import zoneinfo

FORM = "minute, hour, day, month, weekday, as in 0 3 * * 1"


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    """Of the numbers from `least` on, in lower case."""


_MONTH_NAMES = tuple(name.lower() for name in calendar.month_abbr[1:])
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTH_NAMES),
    _Field("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_PART = re.compile(r"(?:(?P<all>[*?])|(?P<low>[0-9a-z]+)(?:-(?P<high>[0-9a-z]+))?)(?:/(?P<step>[0-9]+))?")
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+")


def check(line: str, last_weekday: int = 7) -> str:
    """Looks at every field, and at whether the line names any day at all.

    Args:
      line: the fields, perhaps after a time zone.
      last_weekday: 7 where that is Sunday, too; 6 where it is not known.

    Returns:
      The time zone that stands before the fields; "" if there is none.

    Raises:
      ValueError: says what the line lacks, or which field cannot be.
    """
    prefix = _ZONE.match(line)
    fields = line[prefix.end() :].split() if prefix else line.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected {FORM}")
    known_fields = (*_FIELDS[:-1], dataclasses.replace(_FIELDS[-1], most=last_weekday))
    numbers = [_parse_field(field, text.lower()) for field, text in zip(known_fields, fields, strict=True)]
    days, months, weekdays = numbers[2:]
    on_any_weekday = len({weekday % 7 for weekday in weekdays}) == 7
    if on_any_weekday and min(days) > max(_count_days(month) for month in months):
        raise ValueError("there is no such day in any year")
    known = zoneinfo.available_timezones()  # none where the system has no list of them
    if prefix and known and prefix[1] not in known:
        raise ValueError(f"{prefix[1]} is not a time zone; expected one as in Europe/Paris")
    return prefix[0].strip() if prefix else ""


def _parse_field(field: _Field, text: str) -> set[int]:
    """What a field stands for."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if not match or (match["all"] == "?" and field.name not in ("day", "weekday")):
            raise ValueError(f"expected {FORM}; {part!r} is not a {field.name}")
        low, high = field.least, field.most
        if match["low"]:
            low = _parse_number(field, match["low"])
            # A step without an end goes to the field's own.
            high = _parse_number(field, match["high"]) if match["high"] else field.most if match["step"] else low
        if low > high:
            raise ValueError(f"{part} ends before it begins in the field {field.name}")
        step = int(match["step"] or 1)
        if not 1 <= step <= field.most:
            raise ValueError(f"the step of {part} in the field {field.name} is not from 1 to {field.most}")
        found.update(range(low, high + 1, step))
    return found


def _parse_number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.least + field.names.index(text)
    if not text.isdecimal():
        raise ValueError(f"expected {FORM}; {text!r} is not a {field.name}")
    number = int(text)
    if not field.least <= number <= field.most:
        raise ValueError(f"the {field.name} {text} is not from {field.least} to {field.most}")
    return number


def _count_days(month: int) -> int:
    return calendar.monthrange(2024, month)[1]  # a leap year
