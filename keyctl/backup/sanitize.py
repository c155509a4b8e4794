"""Free etcd's own files of what was overwritten: compact, defragment one member after the other, look what is left.

Values that stand are never touched. Each act is safe by itself, so the work may stop between any two of them and be
begun anew. What the members must be like for the next act is said in `keyctl.backup.members`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keyctl.backup.interface import Clock, OpenSnapshot, Unwatched, Watch
from keyctl.backup.members import NO_SPACE, ClusterView, in_order, obstacles, too_full
from keyctl.backup.scratch import scratch_directory
from keyctl.backup.told import Told
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import InterruptedEarlyError, KeyctlError, RefusedError, StoppedError, UnreachableError
from keyctl.etcd.interface import Alarm, EndpointStatus, MaintainedEtcd
from keyctl.keys.key import KeyRef
from keyctl.stored.judgement import precedence
from keyctl.verify.values import VerifyResult, verify

# Defragmenting copies what is in use: even a slow disk does this much in a second.
_BYTES_PER_SECOND = 5_000_000
_LEAST_SECONDS = 120.0
# How long a member may take to be well again, and how often it is asked.
_WELL_SECONDS = 120.0
_POLL_SECONDS = 0.5
# Any key: that the read is linearizable is what counts, for it needs a quorum.
_ANY_KEY = b"health"
_SPARE = 64 << 20
# How often the leader may change while a member is got ready, before this is called no healthy cluster.
_ELECTIONS = 5


@dataclass(frozen=True, slots=True)
class Site:
    """One etcd cluster. `members` are clients of one endpoint each, and all members; `etcd` may ask any of them.

    `configs` are those of the API servers, each once; (None,) when none is known, and then a snapshot is judged by its
    heads. `scratch` is a directory with room for one snapshot. `deactivated` are keys that the ledger calls retired.
    `label` names the cluster for a reader where there are several, `again` is the command that starts anew.
    """

    etcd: MaintainedEtcd
    members: tuple[MaintainedEtcd, ...]
    prefix: str
    configs: tuple[EncryptionConfig | None, ...] = field(repr=False)
    open_snapshot: OpenSnapshot
    scratch: Path
    clock: Clock
    deactivated: frozenset[KeyRef] = frozenset()
    label: str = "etcd"
    again: str = "keyctl sanitize"


@dataclass(frozen=True, slots=True)
class SanitizePlan:
    """What would be done: the members in order, each as it was when it was asked. `revision` is the cluster's then."""

    label: str
    view: ClusterView
    order: tuple[EndpointStatus, ...]

    @property
    def cluster_id(self) -> str:
        """The id of the cluster."""
        return self.order[0].cluster_id

    @property
    def revision(self) -> int:
        """The newest revision that a member knew of."""
        return max(status.revision for status in self.order)

    @property
    def full(self) -> tuple[Alarm, ...]:
        """The alarms for want of space that stand: this is their cure, and they are taken back in the end."""
        return tuple(alarm for alarm in self.view.alarms if alarm.kind == NO_SPACE)


@dataclass(frozen=True, slots=True)
class Defragmented:
    """A member whose file was written anew; sizes of the file in bytes."""

    name: str
    endpoint: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What a fresh snapshot of one member holds, judged with what it holds behind the live values."""

    name: str
    endpoint: str
    result: VerifyResult


@dataclass(frozen=True, slots=True)
class Space:
    """What became of alarms for want of space: `obstacles` are why they still stand, none when writes work again."""

    obstacles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sanitized:
    """What was done, and what a fresh snapshot of each member showed then. `space` is None where nobody wanted any."""

    plan: SanitizePlan
    compacted: int
    members: tuple[Defragmented, ...]
    proofs: tuple[Proof, ...]
    space: Space | None = None


class Sanitizer:
    """Works on one `Site`. `say` takes a line about each act; `pause` is called between acts and may raise.

    `watch` makes who watches the fresh snapshot of the member of that name.
    """

    def __init__(
        self,
        site: Site,
        *,
        say: Callable[[str], None],
        pause: Callable[[], None],
        watch: Callable[[str], Watch] = lambda _: Unwatched(),
    ) -> None:
        self._site, self._say, self._pause, self._watch = site, say, pause, watch
        # Alarms that do not stand against the work: none that the user was not told of.
        self._borne: frozenset[str] = frozenset({NO_SPACE})
        self._ids: dict[int, str] = {}
        self._done: list[str] = []
        self._doing = ""

    def plan(self) -> SanitizePlan:
        """Look at the cluster; changes nothing.

        Raises `RefusedError` with everything that stands against it, and `UnreachableError` where a member does not
        answer.
        """
        view = self._require_well()
        self._require_room(view)
        return SanitizePlan(self._site.label, view, in_order(view))

    def carry_out(self, plan: SanitizePlan) -> Sanitized:
        """Compact, defragment each member, read a fresh snapshot of each.

        Raises what `plan` raises while nothing was done, and `StoppedError`, with what was done, when something fails
        or `pause` raises `KeyboardInterrupt` after that; what is done needs no undoing.
        """
        self._borne = frozenset(alarm.kind for alarm in plan.full)
        try:
            return self._carry_out(plan)
        except KeyboardInterrupt:
            raise self._stopped("it was interrupted") from None
        except OSError as error:
            if not self._done:
                raise
            raise self._stopped(f"{error.filename or 'a file'}: {error.strerror}") from error
        except KeyctlError as error:
            if not self._done:
                raise
            cause = f"{error}: {error.cause}" if error.cause else str(error)
            raise self._stopped(cause, error.hints) from error

    def _carry_out(self, plan: SanitizePlan) -> Sanitized:
        view = self._require_well()
        if {member.id for member in view.members} != {member.id for member in plan.view.members}:
            raise RefusedError(f"the members of {plan.label} are not those of the plan", hint="run the command again")
        revision = max(status.revision for status in view.statuses)
        self._act(f"compacting to revision {revision}")
        self._site.etcd.compact(revision)
        self._did(f"compacted to revision {revision}")
        defragmented = self._defragment_all(plan, revision)
        space = self._make_room(defragmented) if plan.full else None
        return Sanitized(plan, revision, tuple(defragmented.values()), self._prove(plan), space)

    def _defragment_all(self, plan: SanitizePlan, revision: int) -> dict[str, Defragmented]:
        """One member after the other, by id, whoever leads at that moment last."""
        finished: dict[str, Defragmented] = {}
        elections = 0
        while left := in_order(self._well(), finished):
            self._pause()
            first = left[0]
            name = plan.view.name(first.member_id)
            self._act(f"{name} deletes what was compacted")
            self._client(first).finish_compaction(revision, timeout=_limit(first.db_size))
            # NOTE: that may have taken minutes, in which another member may have fallen ill, or this one come to lead.
            now = in_order(self._well(), finished)
            self._pause()
            if now[0].member_id == first.member_id:
                finished[first.member_id] = self._defragment(now[0], name)
                continue
            elections += 1
            if elections > _ELECTIONS:
                raise StoppedError("the leader changes again and again", hint="see why first: etcdctl endpoint status")
        return finished

    def _defragment(self, status: EndpointStatus, name: str) -> Defragmented:
        self._act(f"{name} is defragmented ({_size(status.db_size)}); it answers nobody meanwhile")
        self._client(status).defragment(timeout=_limit(status.db_size))
        self._did(f"defragmented {name}")
        after = next(one for one in self._well().statuses if one.member_id == status.member_id)
        self._say(f"{self._site.label}: {name} is well again, {_size(status.db_size)} became {_size(after.db_size)}")
        return Defragmented(name, status.endpoint, status.db_size, after.db_size)

    def _make_room(self, defragmented: dict[str, Defragmented]) -> Space:
        """Take back the alarms for want of space, where there is enough of it now, and see that writes work."""
        view = self._well()
        full = too_full(view, {member_id: member.before for member_id, member in defragmented.items()})
        if full:
            return Space(full)
        self._pause()
        for alarm in (one for one in view.alarms if one.kind == NO_SPACE):
            name = view.name(alarm.member_id)
            self._act(f"taking back alarm {alarm.kind} of {name}")
            self._site.etcd.disarm(alarm)
            self._did(f"took back alarm {alarm.kind} of {name}")
        self._borne = frozenset()
        closed = [status for status in self._well().statuses if not self._client(status).can_write()]
        return Space(tuple(f"{view.name(status.member_id)} still takes no writes" for status in closed))

    def _prove(self, plan: SanitizePlan) -> tuple[Proof, ...]:
        """Read a fresh snapshot of each member: each has a file of its own."""
        proofs = []
        for status in plan.order:
            self._pause()
            name = plan.view.name(status.member_id)
            self._say(f"{plan.label}: reading a fresh snapshot of {name}")
            proofs.append(Proof(name, status.endpoint, self._read_snapshot(self._client(status), self._watch(name))))
        return tuple(proofs)

    def _read_snapshot(self, member: MaintainedEtcd, watch: Watch) -> VerifyResult:
        site = self._site

        def arriving(done: int, total: int) -> None:
            self._pause()
            watch.arriving(done, total)

        def reading(part: str) -> None:
            self._pause()
            watch.reading(part)

        with scratch_directory(site.scratch) as folder:
            path = folder / "fresh.db"
            member.save_snapshot(path, progress=arriving)
            results = [
                verify(
                    Told(site.open_snapshot(path), reading),
                    prefix=site.prefix,
                    config=config,
                    residue=True,
                    deactivated=site.deactivated,
                )
                for config in site.configs
            ]
        # What one server may not read, or writes otherwise, is not right.
        return min(results, key=lambda result: precedence(result.exit_code))

    def _look(self) -> ClusterView:
        """Ask every endpoint; one that leads to a member already met is passed over.

        Raises `UnreachableError` for an endpoint that leads to another member than it did before.
        """
        statuses: dict[str, EndpointStatus] = {}
        for number, member in enumerate(self._site.members):
            (status,) = member.status()
            if self._ids.setdefault(number, status.member_id) != status.member_id:
                raise UnreachableError(
                    f"{status.endpoint} leads to one member and then to another",
                    hint="give the address of each member itself, not one that is shared",
                )
            statuses.setdefault(status.member_id, status)
        return ClusterView(self._site.etcd.members(), tuple(statuses.values()), self._site.etcd.alarms())

    def _client(self, status: EndpointStatus) -> MaintainedEtcd:
        return next(self._site.members[number] for number, one in self._ids.items() if one == status.member_id)

    def _require_well(self) -> ClusterView:
        view, found = self._examine()
        if found:
            raise RefusedError(
                f"{self._site.label} is not in a state to be defragmented",
                cause="\n".join(found),
                hint="name every member once with --endpoints, and see: etcdctl endpoint status, etcdctl alarm list",
            )
        return view

    def _well(self) -> ClusterView:
        """Wait until every member is well, or raise `StoppedError`."""
        clock = self._site.clock
        found: tuple[str, ...] = ()
        begun = clock.monotonic()
        while clock.monotonic() - begun <= _WELL_SECONDS:
            try:
                view, found = self._examine()
                if not found:
                    return view
            except UnreachableError as error:
                found = (f"{error}: {error.cause}" if error.cause else str(error),)
            self._pause()
            clock.sleep(_POLL_SECONDS)
        raise StoppedError(
            f"not every member was well within {_WELL_SECONDS:.0f} s",
            cause="\n".join(found),
            hint="see to the cluster first: etcdctl endpoint status, etcdctl alarm list",
        )

    def _examine(self) -> tuple[ClusterView, tuple[str, ...]]:
        """How the members are, and what is wrong."""
        view = self._look()
        for member in self._site.members:
            # NOTE: a linearizable read needs a quorum, and a member that has caught up with it.
            member.get(_ANY_KEY)
        return view, obstacles(view, self._borne)

    def _require_room(self, view: ClusterView) -> None:
        """Raise `RefusedError` where the snapshots that prove it would not fit, before anything is changed."""
        needed = max(status.in_use or status.db_size for status in view.statuses) + _SPARE
        free = shutil.disk_usage(self._site.scratch).free
        if free < needed:
            raise RefusedError(
                f"{self._site.scratch} has no room for the snapshot that shows what is left",
                cause=f"it needs {needed} bytes, {free} are free",
                hint="set TMPDIR to a directory on a larger disk",
            )

    def _act(self, what: str) -> None:
        self._doing = what
        self._say(f"{self._site.label}: {what}")

    def _did(self, what: str) -> None:
        self._doing = ""
        self._done.append(what)

    def _stopped(self, cause: str, hints: tuple[str, ...] = ()) -> KeyctlError:
        if not (self._done or self._doing):
            return InterruptedEarlyError("interrupted; nothing was changed")
        under_way = (f"{self._doing}, which may still go on by itself",) if self._doing else ()
        done = ", ".join((*self._done, *under_way))
        hint = f"it is safe to leave it so; to go on from the start: {self._site.again}"
        return StoppedError(
            f"{self._site.label} is not sanitized to its end", cause=f"{cause}; so far: {done}", hint=(*hints, hint)
        )


def carry_out_all(work: Sequence[tuple[Sanitizer, SanitizePlan]]) -> tuple[Sanitized, ...]:
    """Carry out each plan. Raises what the first one raises, and `StoppedError` when one after it fails."""
    done: list[Sanitized] = []
    for sanitizer, plan in work:
        try:
            done.append(sanitizer.carry_out(plan))
        except KeyctlError as error:
            if not done:
                raise
            cause = f"{error}: {error.cause}" if error.cause else str(error)
            finished = ", ".join(one.plan.label for one in done)
            raise StoppedError(
                f"{plan.label} is not sanitized to its end", cause=f"{cause}; finished: {finished}", hint=error.hints
            ) from error
    return tuple(done)


def _limit(size: int) -> float:
    """Seconds within which a member must have dealt with a file of `size` bytes."""
    return max(_LEAST_SECONDS, size / _BYTES_PER_SECOND)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
