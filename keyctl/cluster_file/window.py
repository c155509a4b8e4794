"""`policy.window` of the cluster file: its days, its times, and the name of its time zone.

Whether there is a zone of that name is not looked up here: this opens no file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from keyctl.cluster_file.settings import WindowSettings

if TYPE_CHECKING:
    from keyctl.cluster_file.fields import Fields

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_END_OF_DAY = "24:00"
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*){0,2}")


def read_window(policy: Fields) -> WindowSettings | None:
    """The window in `policy`, None where it has none. Raises `UnusableInputError` with the line."""
    section = policy.section("window", ("days", "from", "to", "timezone"))
    if section is None:
        return None
    opens, closes = _minute(section, "from"), _minute(section, "to")
    if opens == closes:
        section.refuse(
            f"from and to in {section.where} are the same time",
            at="to",
            hint='for whole days write from: "00:00" and to: "24:00"',
        )
    zone = section.need("timezone")
    if not _ZONE.fullmatch(zone):
        section.refuse(
            f"timezone in {section.where} is no name of a zone",
            at="timezone",
            hint="write it like Europe/Berlin, or UTC",
        )
    return WindowSettings(_days(section), opens, closes, zone)


def _days(section: Fields) -> tuple[str, ...]:
    days = section.scalars("days")
    for index, day in enumerate(days):
        if day.text not in WEEKDAYS:
            section.refuse(
                f"a day in {section.where} is unknown", at=day.span, hint=f"it is one of {', '.join(WEEKDAYS)}"
            )
        if day.text in [earlier.text for earlier in days[:index]]:
            section.refuse(f"a day in {section.where} stands twice", at=day.span, hint="list it once")
    return tuple(day for day in WEEKDAYS if not days or day in [given.text for given in days])


def _minute(section: Fields, name: str) -> int:
    text = section.need(name)
    if name == "to" and text == _END_OF_DAY:
        return 24 * 60
    match = _TIME.fullmatch(text)
    if match is None:
        section.refuse(f"{name} in {section.where} is no time of day", at=name, hint='write it like "02:00"')
    return int(match[1]) * 60 + int(match[2])
