"""May a member of etcd be defragmented now, and which one first? Pure: what the members say goes in.

A member that is being defragmented answers nobody. The others must carry the cluster meanwhile, so all of them must
be well before the next one is touched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from keyctl.etcd.interface import Alarm, EndpointStatus, Member
from keyctl.stored.display import display

NO_SPACE = "NOSPACE"
# A file that takes more of its quota than this is soon full again.
WELL_BELOW = 0.8

_NO_LEADER = ("", "0")
# How a member repeats, among its own errors, every alarm of the cluster.
_TOLD_ALARM = re.compile(r"memberID:[0-9]+\s+alarm:(?P<kind>[A-Z]+)\s*")


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What the members say of themselves and of each other, asked one after the other."""

    members: tuple[Member, ...]
    statuses: tuple[EndpointStatus, ...]
    alarms: tuple[Alarm, ...]

    def name(self, member_id: str) -> str:
        """The member's name, or its id where it has none."""
        found = next((one for one in self.members if one.id == member_id), None)
        return display(found.name) if found and found.name else member_id


def obstacles(view: ClusterView, borne: Collection[str] = ()) -> tuple[str, ...]:
    """Everything that stands against defragmenting a member now, in words; nothing when all are well.

    `borne` are the kinds of alarm that do not.
    """
    return tuple(_obstacles(view, borne))


def too_full(view: ClusterView, before: Mapping[str, int]) -> tuple[str, ...]:
    """The members whose files are not well below their quota, in words.

    Below etcd 3.6 no member tells its quota. It was about at it when the alarm was raised, so its size `before`, by
    its id, stands for it.
    """
    return tuple(_too_full(view, before))


def in_order(view: ClusterView, done: Collection[str] = ()) -> tuple[EndpointStatus, ...]:
    """The members that are not `done` yet, by id, the leader of now last: who steps down costs an election."""
    left = (status for status in view.statuses if status.member_id not in done)
    return tuple(sorted(left, key=lambda status: (status.leader == status.member_id, view.name(status.member_id))))


def _too_full(view: ClusterView, before: Mapping[str, int]) -> Iterator[str]:
    for status in view.statuses:
        most, what = status.quota, "its quota"
        if not most:
            most, what = before.get(status.member_id, 0), "what it had when it was full, for it does not tell its quota"
        if status.db_size > most * WELL_BELOW:
            sizes = f"{status.db_size / 1e6:.1f} of {most / 1e6:.1f} MB"
            yield f"the file of {view.name(status.member_id)} has {sizes}, {what}"


def _obstacles(view: ClusterView, borne: Collection[str]) -> Iterator[str]:
    asked = {status.member_id for status in view.statuses}
    known = {member.id for member in view.members}
    if len({status.cluster_id for status in view.statuses}) > 1:
        yield "the endpoints belong to different clusters"
    for member in view.members:
        if member.id not in asked:
            reach = f" (clients reach it at {', '.join(map(display, member.urls))})" if member.urls else ""
            yield f"member {view.name(member.id)} is none of the endpoints{reach}"
        if member.learner:
            yield f"member {view.name(member.id)} is a learner: it is still being brought in"
    for status in view.statuses:
        if status.member_id not in known:
            yield f"{status.endpoint} is no member of this cluster any more"
        if status.leader in _NO_LEADER:
            yield f"member {view.name(status.member_id)} follows no leader"
        complaints = (error for error in status.errors if not _repeats(error, borne))
        yield from (f"member {view.name(status.member_id)} says: {display(error)}" for error in complaints)
    leaders = {status.leader for status in view.statuses} - set(_NO_LEADER)
    if len(leaders) > 1:
        yield f"the members follow different leaders: {', '.join(sorted(view.name(one) for one in leaders))}"
    for alarm in (one for one in view.alarms if one.kind not in borne):
        yield f"alarm {alarm.kind} stands against member {view.name(alarm.member_id)}"


def _repeats(error: str, kinds: Collection[str]) -> bool:
    """Whether a member's error is an alarm of one of `kinds`, which stands among the alarms, too."""
    told = _TOLD_ALARM.fullmatch(error)
    return told is not None and told["kind"] in kinds
