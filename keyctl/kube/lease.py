"""The Lease that lets one rotation run in a cluster (rule R8), held through whichever API server answers.

All times in it are those of the API servers' clocks, read from their answers: the
clocks of the machines that keyctl runs on need not agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnreachableError
from keyctl.kube import fields
from keyctl.kube.answers import Answer, NoAnswerError, refusal, shown
from keyctl.kube.client import Connection
from keyctl.kube.members import read_date, read_time

NAME = "keyctl-rotation"
NAMESPACE = "kube-system"
DURATION = 90

_COLLECTION = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
_PATH = f"{_COLLECTION}/{NAME}"
_RESOURCE = "leases.coordination.k8s.io"
_JSON = "application/json"
_OK, _CREATED, _NOT_FOUND, _CONFLICT = 200, 201, 404, 409
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds it. `place` is the machine and the state directory, whose local lock one process has at a time.

    `run` tells that process from all others. A Lease left by another run of our
    own place is a dead one: we have the local lock.
    """

    place: str
    run: str

    def __str__(self) -> str:
        return f"{self.place}#{self.run}"

    def same_place(self, identity: str) -> bool:
        """Whether `identity`, as found in a Lease, is of our place."""
        return identity.rpartition("#")[0] == self.place


@dataclass(frozen=True, slots=True)
class _Found:
    """The Lease as one server answered it, and that server's clock."""

    document: Mapping[str, object]
    now: datetime

    @property
    def holder(self) -> str:
        return fields.text(self.document, "spec", "holderIdentity")

    @property
    def left(self) -> timedelta:
        """How long it is still valid; not at all when it does not say since when or for how long."""
        renewed = read_time(fields.text(self.document, "spec", "renewTime"))
        duration = fields.find(self.document, "spec", "leaseDurationSeconds")
        if renewed is None or not isinstance(duration, int):
            return timedelta()
        return max(renewed + timedelta(seconds=duration) - self.now, timedelta())


class KubeLease:
    """See `RotationLease`. `servers` are tried in turn; `monotonic` is a clock in seconds; `duration` too.

    Call `acquire` with the local lock of `holder.place` held.
    """

    def __init__(
        self,
        servers: Sequence[Connection],
        holder: Holder,
        *,
        monotonic: Callable[[], float],
        duration: int = DURATION,
    ) -> None:
        if not servers:
            raise ValueError("no API server to hold a Lease through")
        self._servers = tuple(servers)
        self._holder = holder
        self._monotonic = monotonic
        self._duration = duration
        self._renewed: float | None = None

    def acquire(self) -> None:
        """Take it: when nobody has it, when it ran out, when the holder is a dead run of ours.

        Raises `RefusedError` (R8) naming the holder, `UnreachableError` when no
        server answers.
        """
        for server in self._servers:
            try:
                self._acquire(server)
            except UnreachableError:
                if server is self._servers[-1]:
                    raise
            else:
                return

    def check(self) -> None:
        """Renew when a third of its duration has passed. Raises `StoppedError` when we do not hold it any more."""
        if self._renewed is None:
            raise RuntimeError("the Lease was not acquired")
        if self._monotonic() - self._renewed < self._duration / 3:
            return
        for server in self._servers:
            # NOTE: no server answers while the only one restarts. Nobody else can take the Lease meanwhile.
            with suppress(NoAnswerError):
                self._renew(server)
                break

    def release(self) -> None:
        """Give it back if it is ours; a server that is down lets it run out."""
        if self._renewed is None:
            return
        self._renewed = None
        for server in self._servers:
            with suppress(KeyctlError):
                self._delete(server)
                break

    def _acquire(self, server: Connection) -> None:
        for found in self._looks(server):
            if found.holder and found.left and not self._holder.same_place(found.holder):
                raise _held(found)
            answer = self._write(server, found, taking=True)
            if answer.status in (_OK, _CREATED):
                self._renewed = self._monotonic()
                return
        raise RefusedError(
            f"the Lease {NAMESPACE}/{NAME} could not be taken",
            cause="somebody else changes it all the time",
            hint=f"see who: kubectl get lease -n {NAMESPACE} {NAME} -o yaml",
            rule="R8",
        )

    def _renew(self, server: Connection) -> None:
        for found in self._looks(server):
            if found.holder != str(self._holder):
                raise _lost(found)
            begun = self._monotonic()
            if self._write(server, found, taking=False).status == _OK:
                self._renewed = begun
                return

    def _delete(self, server: Connection) -> None:
        found = self._look(server)
        if found.holder == str(self._holder):
            metadata = fields.find(found.document, "metadata")
            wanted = {key: fields.text(metadata, key) for key in ("uid", "resourceVersion")}
            server.request("DELETE", _PATH, accept=_JSON, body={"preconditions": wanted})

    def _looks(self, server: Connection) -> Iterator[_Found]:
        """Look at the Lease, and again whenever it changed before we could write it."""
        for _ in range(_ROUNDS):
            yield self._look(server)

    def _look(self, server: Connection) -> _Found:
        answer = server.request("GET", _PATH, accept=_JSON)
        now = read_date(answer.date)
        if answer.status not in (_OK, _NOT_FOUND) or now is None:
            raise refusal(server.url, "get", _RESOURCE, answer)
        return _Found(fields.parse(answer.body) if answer.status == _OK else {}, now)

    def _write(self, server: Connection, found: _Found, *, taking: bool) -> Answer:
        """Create it, or replace what was found and nothing newer: of two that try, one gets a 409."""
        now = found.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        version = fields.text(found.document, "metadata", "resourceVersion")
        metadata = {"name": NAME, "namespace": NAMESPACE} | ({"resourceVersion": version} if version else {})
        since = now if taking else fields.text(found.document, "spec", "acquireTime") or now
        spec = {
            "holderIdentity": str(self._holder),
            "leaseDurationSeconds": self._duration,
            "acquireTime": since,
            "renewTime": now,
        }
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        method, path = ("PUT", _PATH) if version else ("POST", _COLLECTION)
        answer = server.request(method, path, accept=_JSON, body=lease)
        if answer.status not in (_OK, _CREATED, _CONFLICT, _NOT_FOUND):
            raise refusal(server.url, "update" if version else "create", _RESOURCE, answer)
        return answer


def _held(found: _Found) -> RefusedError:
    return RefusedError(
        "another rotation of this cluster is under way",
        cause=f"the Lease {NAMESPACE}/{NAME} is held by {shown(found.holder)}",
        hint=(
            "wait for it, or go on with it there: keyctl rotate --resume",
            f"if it was killed, its Lease runs out in {found.left.total_seconds():.0f} s",
        ),
        rule="R8",
    )


def _lost(found: _Found) -> StoppedError:
    taken = f"it is held by {shown(found.holder)}" if found.holder else "it is gone"
    return StoppedError(
        f"the Lease {NAMESPACE}/{NAME} was taken from this rotation",
        cause=taken,
        hint="when nothing else runs: keyctl rotate --resume",
        rule="R8",
    )
