"""The maintenance window: when it is open, and when it opens next.

Pure: moments in, moments out. The times of a window are those of the clocks on the
wall in its zone, on each of its days. A time that comes twice, when the clocks go
back, is its first; one that is skipped, when they go forward, is that much later
(02:30 is 03:30). Where that leaves nothing of it, the window stays shut that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = 24 * 60
# A weekly window that the clocks swallow once is there a week later.
_AHEAD = 15


@dataclass(frozen=True, slots=True)
class Window:
    """Open on each of `days` (0 is Monday) from minute `opens` to minute `closes` of the day.

    `closes` is at most 1440, the end of the day; up to `opens` it is a time of the next day. Raises `ValueError`
    where the two are equal.
    """

    days: frozenset[int]
    opens: int
    closes: int
    zone: tzinfo
    zone_name: str

    def __post_init__(self) -> None:
        if self.opens == self.closes or not self.days:
            raise ValueError("a window that is never or always open")

    def open_until(self, at: datetime) -> datetime | None:
        """When the window closes that is open at `at`, in UTC; None where none is. What follows at once counts in."""
        end = at
        first = at.astimezone(self.zone).date() - timedelta(days=1)
        for number in range(_AHEAD):
            begun, ended = self._on(first + timedelta(days=number))
            if begun <= end < ended:
                end = ended
        return None if end == at else end

    def next_opening(self, at: datetime) -> datetime:
        """When it opens next after `at`, in UTC."""
        first = at.astimezone(self.zone).date()
        spans = (self._on(first + timedelta(days=number)) for number in range(_AHEAD))
        return next(begun for begun, ended in spans if at < begun < ended)

    def local(self, at: datetime) -> str:
        """`at` as the clocks of the window show it: "Sat 2026-11-28 02:00 Europe/Berlin"."""
        there = at.astimezone(self.zone)
        return f"{DAYS[there.weekday()]} {there:%Y-%m-%d %H:%M} {self.zone_name}"

    def __str__(self) -> str:
        days = "every day" if len(self.days) == len(DAYS) else ", ".join(DAYS[day] for day in sorted(self.days))
        return f"{days} {_clock(self.opens)}-{_clock(self.closes)} {self.zone_name}"

    def _on(self, day: date) -> tuple[datetime, datetime]:
        """From when to when it is open by the date `day`, in UTC; of no length on other days."""
        begun = self._moment(day, self.opens)
        if day.weekday() not in self.days:
            return begun, begun
        return begun, self._moment(day, self.closes + (_DAY if self.closes <= self.opens else 0))

    def _moment(self, day: date, minute: int) -> datetime:
        days, rest = divmod(minute, _DAY)
        there = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), self.zone)
        return there.astimezone(UTC)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
