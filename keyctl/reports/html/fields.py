"""What stands in the data of a report, read with care: a field that is missing or of another type is an empty one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Fields = Mapping[str, object]


def text(fields: Fields, name: str) -> str:
    """The text in the field `name`, "" where there is none."""
    found = fields.get(name)
    return found if isinstance(found, str) else ""


def number(fields: Fields, name: str) -> int:
    """The whole number in the field `name`, 0 where there is none."""
    found = fields.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def inner(fields: Fields, name: str) -> Fields:
    """The object in the field `name`, an empty one where there is none."""
    found = fields.get(name)
    return found if isinstance(found, Mapping) else {}


def items(fields: Fields, name: str) -> tuple[Fields, ...]:
    """The objects of the list in the field `name`."""
    found = fields.get(name)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(item for item in found if isinstance(item, Mapping))


def texts(fields: Fields, name: str) -> tuple[str, ...]:
    """The texts of the list in the field `name`."""
    found = fields.get(name)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(item for item in found if isinstance(item, str))


def shown(value: object) -> str:
    """A plain value for a reader: yes and no for flags, a hyphen for nothing."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
