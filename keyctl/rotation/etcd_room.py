"""Whether etcd has room for what rewriting writes, and waiting until it has (decision 0012).

Every rewritten value is one more revision until somebody compacts. keyctl does
not compact here: it waits for the API servers, which do every five minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from keyctl.errors import StoppedError, UnreachableError
from keyctl.etcd.interface import EndpointStatus, Etcd
from keyctl.rotation.world import Clock, Event, Reporter

# Shares of the quota: below the first we wait, below the second only defragmenting helps.
_MARGIN, _BRINK = 0.05, 0.01
MAKE_ROOM = (
    "compact and defragment, one member at a time: keyctl sanitize",
    "or raise --quota-backend-bytes; after an alarm: etcdctl alarm disarm",
)
_NO_SPACE = "NOSPACE"
_SAFE = "the old key stays; nothing was removed and every value is readable"
_LOOK_EVERY = 2.0
_POLL = 5.0
_REMIND = 30.0
# The API server compacts every five minutes, to where it was five minutes before; then etcd needs a moment to delete.
_LONGEST_WAIT = 15 * 60.0


class Verdict(Enum):
    """What to do: go on, wait for a compaction, or stop because waiting does not help."""

    ENOUGH = "enough"
    TIGHT = "tight"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Room:
    """The verdict on the member that has least room, and what it says, for people."""

    verdict: Verdict
    text: str = ""


def judge(members: Iterable[EndpointStatus]) -> Room:
    """Whether every one of `members` has room. Pure.

    NOTE: etcd refuses writes by the size of its file, freed pages included; while
    the file is below the quota, they are what new values go into first.
    """
    found = Room(Verdict.ENOUGH)
    for member in members:
        if _has_alarm(member):
            return Room(Verdict.FULL, f"{member.endpoint} has raised the alarm {_NO_SPACE} and takes no writes")
        if not member.quota:
            continue
        sizes = f"{member.endpoint}: {_megabytes(member.db_size)} of {_megabytes(member.quota)} MB"
        if member.quota - member.db_size < _BRINK * member.quota:
            return Room(Verdict.FULL, f"{sizes}, and only defragmenting makes its file smaller")
        if member.quota - (member.in_use or member.db_size) < _MARGIN * member.quota:
            found = Room(Verdict.TIGHT, f"{sizes}, {_megabytes(member.in_use or member.db_size)} MB of it in use")
    return found


def alarm(etcds: Iterable[Etcd]) -> Room | None:
    """The room of an etcd that takes no writes for want of space; None where none says so, or one does not answer."""
    with suppress(UnreachableError):
        return next((judge([one]) for etcd in etcds for one in etcd.status() if _has_alarm(one)), None)
    return None


class RoomKeeper:
    """Looks at `etcds` between batches, not more often than every 2 s. `breathe` raises when the user wants to stop."""

    def __init__(
        self, etcds: tuple[Etcd, ...], *, clock: Clock, reporter: Reporter, breathe: Callable[[], None]
    ) -> None:
        self._etcds, self._clock, self._reporter, self._breathe = etcds, clock, reporter, breathe
        self._next_look = 0.0

    def look(self) -> Room:
        """The room now, or enough when it was looked at a moment ago."""
        if self._clock.monotonic() < self._next_look:
            return Room(Verdict.ENOUGH)
        self._next_look = self._clock.monotonic() + _LOOK_EVERY
        try:
            return judge(member for etcd in self._etcds for member in etcd.status())
        except UnreachableError:
            # NOTE: a member that is down keeps nobody from writing; what the API servers answer sets the pace.
            return Room(Verdict.ENOUGH)

    def require(self) -> None:
        """Return when there is room. Raises `StoppedError` (exit 6) when only people can make some."""
        self.wait(self.look())

    def wait(self, room: Room) -> None:
        """The same, from `room` on, which was seen just now."""
        begun = reminded = self._clock.monotonic()
        if room.verdict is Verdict.TIGHT:
            self._reporter.event(Event("wait", f"etcd is nearly full, waiting for its next compaction: {room.text}"))
        while room.verdict is Verdict.TIGHT:
            self._breathe()
            self._clock.sleep(_POLL)
            now = self._clock.monotonic()
            if now - begun > _LONGEST_WAIT:
                raise full(room, f"nobody has made room for {(now - begun) / 60:.0f} minutes")
            if now - reminded >= _REMIND:
                reminded = now
                self._reporter.event(Event("wait", f"still waiting for room in etcd: {room.text}"))
            room = self.look()
        if room.verdict is Verdict.FULL:
            raise full(room, "rewriting would fill it to its quota")


def full(room: Room, what: str, *, standing: tuple[str, ...] = (_SAFE,)) -> StoppedError:
    """The error for an etcd that needs somebody's hand. `standing` says where things stand, and the way on."""
    return StoppedError(
        f"etcd has no room for more revisions: {what}",
        cause=room.text,
        hint=(
            *standing,
            *MAKE_ROOM,
            "then: keyctl rotate --resume",
        ),
        rule="R15",
    )


def _has_alarm(member: EndpointStatus) -> bool:
    return any(_NO_SPACE in error for error in member.errors)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}"
