"""What etcd keeps of the past: whether a revision can still be read, and forgetting it (rule R6).

`compact` makes the past unreadable; what stands there now it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from keyctl.errors import KeyctlError, RefusedError, UnreachableError
from keyctl.etcd.connections import Connections, Endpoint, is_authorisation
from keyctl.etcd.rpc import CallError, Session

# Any key will do, for the revision alone decides. This is the first key there can be, and nobody has it.
_ANY_KEY = b"\0"


def compact(connections: Connections, revision: int, ask: Callable[[Session], object] | None = None) -> None:
    """Make every revision before `revision` unreadable; no-op where that is so already.

    `ask` puts the request, for who wants more of the answer than that.
    Raises `RefusedError` where our certificate or user may not, and
    `UnreachableError` where etcd has not reached `revision`.
    """
    # NOTE: "compacted" is success: an answer may be lost, and the next endpoint is then asked for what is done.
    _is_gone(connections, revision, ask or (lambda session: session.compact(revision)))


def is_compacted(connections: Connections, revision: int) -> bool:
    """Whether what stood at `revision` can no longer be read. Raises what `compact` raises."""
    return _is_gone(connections, revision, lambda session: session.range(_ANY_KEY, revision=revision, count_only=True))


def _is_gone(connections: Connections, revision: int, question: Callable[[Session], object]) -> bool:
    """Put `question`, and say whether the answer was that `revision` is compacted away."""
    if revision < 1:
        raise ValueError(f"{revision} is no revision of etcd")

    def ask(session: Session) -> CallError | None:
        try:
            question(session)
        except CallError as error:
            if error.code == "OUT_OF_RANGE" or _is_forbidden(error):
                return error
            raise
        return None

    endpoint, error = connections.ask_any(ask)
    if error is None:
        return False
    if error.code == "OUT_OF_RANGE" and "compacted" in error.detail:
        return True
    raise _failure(endpoint, error, revision) from error


def _is_forbidden(error: CallError) -> bool:
    # A token that ran out is renewed by `Connections`.
    return is_authorisation(error) and error.code != "UNAUTHENTICATED"


def _failure(endpoint: Endpoint, error: CallError, revision: int) -> KeyctlError:
    if _is_forbidden(error):
        return RefusedError(
            f"etcd at {endpoint} does not let us deal with its history",
            cause=f"authorisation: {error.detail}",
            hint="use an etcd user or certificate whose role is root, as for a snapshot",
        )
    return UnreachableError(
        f"etcd at {endpoint} has not reached revision {revision}",
        cause=f"{error.detail}; it is another etcd, or was restored from an older snapshot",
        hint="see that its endpoints are those of this cluster",
    )
