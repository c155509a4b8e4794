"""Who the members of etcd are, what alarms stand, and work on one member's file: waiting for deletion, defragmenting.

Nothing here touches a value that stands. Work on a file goes to a client of one endpoint, so that nobody else is hit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from keyctl.errors import RefusedError, UnreachableError
from keyctl.etcd import history
from keyctl.etcd.connections import Connections, Endpoint, is_authorisation
from keyctl.etcd.interface import Alarm, Member
from keyctl.etcd.rpc import CallError, Session

# etcdserverpb.AlarmType.
_ALARMS = {1: "NOSPACE", 2: "CORRUPT"}
_EXPIRED = "DEADLINE_EXCEEDED"
# What etcd says to a write for which its quota leaves no room.
_NO_SPACE = "RESOURCE_EXHAUSTED"
# Nobody has the lease: should it not be given back, it is gone so soon.
_LEASE_SECONDS = 30


def members(connections: Connections) -> tuple[Member, ...]:
    """Every member that the cluster knows, linearizable."""
    _, found = connections.ask_any(lambda session: session.members())
    return tuple(
        Member(f"{one.ID:x}", one.name, tuple(one.clientURLs), one.isLearner, tuple(one.peerURLs)) for one in found
    )


def alarms(connections: Connections) -> tuple[Alarm, ...]:
    """Every alarm that stands, of any member."""
    _, found = connections.ask_any(lambda session: session.alarms())
    return tuple(Alarm(f"{one.memberID:x}", _ALARMS.get(one.alarm, str(one.alarm))) for one in found)


def disarm(connections: Connections, alarm: Alarm) -> None:
    """Take `alarm` back. Raises `RefusedError` where our certificate or user may not."""
    kind = next((number for number, name in _ALARMS.items() if name == alarm.kind), 0)
    if not kind:
        raise ValueError(f"{alarm.kind} is no alarm that is known")

    def ask(session: Session) -> CallError | None:
        try:
            session.disarm(int(alarm.member_id, 16), kind)
        except CallError as error:
            if not _is_forbidden(error):
                raise
            return error
        return None

    endpoint, error = connections.ask_any(ask)
    if error is not None:
        raise _forbidden(endpoint, error, "take back an alarm") from error


def can_write(connections: Connections) -> bool:
    """Whether the one member behind `connections` takes writes, found out with a lease that no value has.

    Raises `RefusedError` where our certificate or user may not.
    """
    endpoint = _sole(connections)
    try:
        lease = connections.ask(endpoint, lambda session: session.grant_lease(_LEASE_SECONDS))
    except CallError as error:
        if error.code == _NO_SPACE:
            return False
        if is_authorisation(error):
            raise _forbidden(endpoint, error, "write a lease to it") from error
        raise connections.failure(endpoint, error) from error
    # It ends by itself, too.
    with suppress(CallError):
        connections.ask(endpoint, lambda session: session.revoke_lease(lease))
    return True


def finish_compaction(connections: Connections, revision: int, *, timeout: float) -> None:
    """Wait until the one member behind `connections` has deleted what lies before `revision` from its file.

    Raises what `history.compact` raises, and `UnreachableError` when that takes longer than `timeout` seconds.
    """

    # NOTE: a member deletes at its own pace, and defragmenting copies what is not deleted yet. etcd queues a
    # compaction behind those before it, even one that it then refuses as done: the refusal, too, says that all
    # was deleted here.
    def work(session: Session) -> None:
        session.compact(revision, physical=True, timeout=timeout)

    history.compact(connections, revision, _in_time(_sole(connections), work, timeout))


def defragment(connections: Connections, *, timeout: float) -> None:
    """Let the one member behind `connections` write its file anew; it answers nobody until that is done.

    Raises `RefusedError` where our certificate or user may not, `UnreachableError` where it does not answer or takes
    longer than `timeout` seconds.
    """
    endpoint = _sole(connections)
    try:
        connections.ask(endpoint, _in_time(endpoint, lambda session: session.defragment(timeout=timeout), timeout))
    except CallError as error:
        if is_authorisation(error):
            raise _forbidden(endpoint, error, "defragment it") from error
        raise connections.failure(endpoint, error) from error


def _is_forbidden(error: CallError) -> bool:
    # A token that ran out is renewed by `Connections`.
    return is_authorisation(error) and error.code != "UNAUTHENTICATED"


def _forbidden(endpoint: Endpoint, error: CallError, what: str) -> RefusedError:
    return RefusedError(
        f"etcd at {endpoint} does not let us {what}",
        cause=f"authorisation: {error.detail}",
        hint="use an etcd user or certificate whose role is root, as for a snapshot",
    )


def _sole(connections: Connections) -> Endpoint:
    if len(connections.endpoints) != 1:
        raise RuntimeError("work on one member's file needs a client of its endpoint alone")
    return connections.endpoints[0]


def _in_time(endpoint: Endpoint, work: Callable[[Session], None], timeout: float) -> Callable[[Session], None]:
    """`work`, with what it means that it took too long."""

    def ask(session: Session) -> None:
        try:
            work(session)
        except CallError as error:
            if error.code != _EXPIRED:
                raise
            raise UnreachableError(
                f"etcd at {endpoint} has not finished after {timeout:.0f} s",
                cause="it goes on by itself, and may answer nobody until it is done",
                hint="wait until it is healthy again (etcdctl endpoint health), then run the command again",
            ) from error

    return ask
