"""May a snapshot be taken from this member: it follows a leader, is not called corrupt, and has caught up. Asks only.

A member that is cut off, or whose data is damaged, sends a snapshot as willingly as any other one.
"""

from __future__ import annotations

import re

from keyctl.etcd.connections import Connections, Endpoint, is_authorisation
from keyctl.etcd.rpc import CallError, StatusAnswer

# How a member tells every alarm of the cluster among its own errors; member 0 is not written out.
_CORRUPT = re.compile(r"(?:memberID:(?P<member>[0-9]+)\s+)?alarm:CORRUPT\b")
# Any key: that the read is linearizable is what counts.
_ANY_KEY = b"health"


def ask(connections: Connections, endpoint: Endpoint) -> tuple[StatusAnswer, str]:
    """What the member says of itself, and why it may not be copied, "" when it may.

    Raises `CallError` when it does not answer, or does not let us ask.
    """
    status = connections.ask(endpoint, lambda session: session.status())
    if not status.leader:
        return status, "it follows no leader: what it has may be old"
    if _is_corrupt(status):
        return status, "alarm CORRUPT stands against it: its data differs from that of the others"
    # NOTE: answered by a majority, and by this member once it has applied what they had: nothing older comes out of it.
    try:
        answer = connections.ask(endpoint, lambda session: session.range(_ANY_KEY, limit=1, count_only=True))
    except CallError as error:
        if is_authorisation(error):
            raise
        return status, f"it answers no linearizable read ({error.code.lower().replace('_', ' ')}: {error.detail})"
    status = connections.ask(endpoint, lambda session: session.status())
    if status.header.revision < answer.header.revision:
        return status, f"it is at revision {status.header.revision}, the cluster at {answer.header.revision}"
    return status, ""


def _is_corrupt(status: StatusAnswer) -> bool:
    """Whether the alarm stands against this member, or against nobody in particular: then it may be any of them."""
    named = [found["member"] for error in status.errors for found in _CORRUPT.finditer(error)]
    return any(member is None or int(member) == status.header.member_id for member in named)
