"""May a member of etcd be defragmented now, and which one first? Pure: what the members say goes in.

A member that is being defragmented answers nobody. The others must carry the cluster meanwhile, so all of them must
be well before the next one is touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from keyctl.etcd.interface import Alarm, EndpointStatus, Member
from keyctl.stored.display import display

_NO_LEADER = ("", "0")


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


def obstacles(view: ClusterView) -> tuple[str, ...]:
    """Everything that stands against defragmenting a member now, in words; nothing when all are well."""
    return tuple(_obstacles(view))


def in_order(view: ClusterView, done: Collection[str] = ()) -> tuple[EndpointStatus, ...]:
    """The members that are not `done` yet, by id, the leader of now last: who steps down costs an election."""
    left = (status for status in view.statuses if status.member_id not in done)
    return tuple(sorted(left, key=lambda status: (status.leader == status.member_id, view.name(status.member_id))))


def _obstacles(view: ClusterView) -> Iterator[str]:
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
        yield from (f"member {view.name(status.member_id)} says: {display(error)}" for error in status.errors)
    leaders = {status.leader for status in view.statuses} - set(_NO_LEADER)
    if len(leaders) > 1:
        yield f"the members follow different leaders: {', '.join(sorted(view.name(one) for one in leaders))}"
    for alarm in view.alarms:
        yield f"alarm {alarm.kind} stands against member {view.name(alarm.member_id)}"
