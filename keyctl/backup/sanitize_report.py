"""The plan and the outcome of `keyctl sanitize`, in words and as JSON-ready values. Decides nothing but the exit code.

Says what is out of reach, too: the WAL, older snapshots, and what a file system keeps of files that are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from keyctl.backup.members import NO_SPACE, WELL_BELOW
from keyctl.backup.register import elsewhere
from keyctl.backup.sanitize import Proof, Sanitized, SanitizePlan
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Report, Table
from keyctl.keys.backups import Backup
from keyctl.stored.display import display
from keyctl.stored.judgement import worst_first
from keyctl.verify.report import to_report as verify_report

_QUORUM_NEEDS = 3
_WAL = (
    "the WAL of each member (member/wal) still holds what was written, as it was written. etcd keeps its 5 newest "
    "files of 64 MB, and older ones until a snapshot of its log has passed them (--snapshot-count: 10,000 entries, "
    "100,000 before etcd 3.6): in a quiet cluster for days or weeks"
)
_SNAP_DIR = (
    "databases that a member received from another one lie beside its own (member/snap/*.snap.db) until it purges them"
)
_BLOCKS = (
    "the old database files were unlinked, not wiped: blocks of the file system, snapshots of volumes and flash cells "
    "keep them until they are written over or trimmed"
)
_UNKNOWN_SNAPSHOTS = "every other snapshot and backup of etcd that was taken before holds what it held then"


def outline(plans: Sequence[SanitizePlan]) -> tuple[str, ...]:
    """The plan, line by line."""
    return tuple(line for plan in plans for line in _outline(plan))


def plan_report(plans: Sequence[SanitizePlan], backups: tuple[Backup, ...]) -> Report:
    """The plan alone, for machines (the `SanitizePlan` of `keyctl/v1`)."""
    data = {"clusters": [_plan_data(plan) for plan in plans], "remains": list(remains(backups))}
    return Report("SanitizePlan", ExitCode.OK, "nothing was changed", data=data)


def to_report(
    done: Sequence[Sanitized], backups: tuple[Backup, ...], notes: tuple[str, ...] = (), missed: tuple[str, ...] = ()
) -> Report:
    """What was done and what is left, for a reader and for machines (the `SanitizeReport` of `keyctl/v1`).

    `notes` say what the reader should know of how it was judged; `missed`, what was not looked for, and why: then it
    is not proven that nothing is left.
    """
    done = tuple(_without_elsewhere(done))
    lacking = tuple(_lacking(done))
    found = [outcome for one in done for proof in one.proofs for outcome in proof.result.outcomes]
    count = sum(len(one.members) for one in done)
    # NOTE: the members of two clusters may well be called the same.
    of = {id(one): f" of {one.plan.label}" if len(done) > 1 else "" for one in done}
    reports = [(proof.name + of[id(one)], verify_report(proof.result)) for one in done for proof in one.proofs]
    said = f"compacted, {count} {'member' if count == 1 else 'members'} defragmented"
    standing = tuple(_standing(done))
    said += "".join(f"; {line}" for line in (*_taken_back(done), *standing))
    if found:
        said += "".join(f"; {line}" for line in lacking)
        said += "; " + "; ".join(dict.fromkeys(report.verdict for _, report in reports if report.exit_code))
    elif missed:
        said += "; nothing was found of what was looked for in a fresh snapshot of each"
    else:
        said += "; no plaintext of what must be encrypted and no retired key in a fresh snapshot of each"
    said += "".join(f"; NOT looked for: {line}" for line in missed)
    left = tuple(remains(backups))
    return Report(
        kind="SanitizeReport",
        exit_code=_exit_code(found, stopped=bool(standing), missed=bool(missed)),
        verdict=said,
        findings=tuple(_findings(reports)),
        data={"clusters": [_done_data(one) for one in done], "remains": list(left)},
        tables=(_table(done),),
        notes=(*notes, *lacking, *(f"not reached: {line}" for line in left)),
        next_steps=tuple(_next_steps(reports, clean=not (found or missed), differ=bool(lacking), full=bool(standing))),
    )


def _exit_code(found: Sequence[ExitCode], *, stopped: bool, missed: bool) -> ExitCode:
    if found:
        return worst_first(found)[0]
    return ExitCode.STOPPED if stopped else ExitCode.INCOMPLETE if missed else ExitCode.OK


def remains(backups: Iterable[Backup]) -> Iterator[str]:
    """What no compaction or defragmentation reaches, and for how long."""
    yield _WAL
    yield _SNAP_DIR
    yield from elsewhere(backups)
    yield _UNKNOWN_SNAPSHOTS
    yield _BLOCKS


def _taken_back(done: Iterable[Sanitized]) -> Iterator[str]:
    for one in done:
        if one.space is not None and not one.space.obstacles:
            yield f"alarm {NO_SPACE} of {one.plan.label} taken back, every member takes writes"


def _standing(done: Iterable[Sanitized]) -> Iterator[str]:
    """Each cluster that takes no writes for want of space, and why."""
    for one in done:
        if one.space is not None and one.space.obstacles:
            yield f"{one.plan.label} still takes NO WRITES for want of space: {', '.join(one.space.obstacles)}"


def _without_elsewhere(done: Sequence[Sanitized]) -> Iterator[Sanitized]:
    """`done`; that a cluster holds none of the judged resources says nothing where another one holds them.

    A member that holds none while another one of its cluster does keeps its outcome: it must hold the same.
    """
    empty = [all(_is_empty(proof) for proof in one.proofs) for one in done]
    for one, is_empty in zip(done, empty, strict=True):
        if not is_empty or all(empty):
            yield one
            continue
        proofs = []
        for proof in one.proofs:
            kept = tuple(outcome for outcome in proof.result.outcomes if outcome is not ExitCode.EMPTY)
            proofs.append(replace(proof, result=replace(proof.result, outcomes=kept)))
        yield replace(one, proofs=tuple(proofs))


def _lacking(done: Sequence[Sanitized]) -> Iterator[str]:
    """Each member whose file holds nothing that is judged while another one's of its cluster does."""
    for one in done:
        full = [proof.name for proof in one.proofs if not _is_empty(proof)]
        for proof in one.proofs:
            if full and _is_empty(proof):
                what = "values of what must be encrypted"
                yield f"{proof.name} of {one.plan.label} holds no {what}, and {full[0]} of the same cluster does"


def _is_empty(proof: Proof) -> bool:
    return ExitCode.EMPTY in proof.result.outcomes


def _outline(plan: SanitizePlan) -> Iterator[str]:
    count = len(plan.order)
    yield f"{plan.label}: cluster {plan.cluster_id}, {count} {'member' if count == 1 else 'members'}"
    yield f"  1. compact to the newest revision ({plan.revision} now): what was overwritten can be read no more,"
    yield "     and clients that list or watch from an older revision start anew"
    yield "  2. one member after the other, and only while all are well: let it delete, then defragment it"
    for status in plan.order:
        leader = ", the leader, last" if status.leader == status.member_id and count > 1 else ""
        name, version = plan.view.name(status.member_id), display(status.version)
        used = f"{_megabytes(status.db_size)} on disk, {_megabytes(status.in_use)} in use"
        yield f"       {name}  {status.endpoint}  etcd {version}  {used}{leader}"
    yield "     Its disk needs room for what is in use once more, which cannot be seen from here."
    if count < _QUORUM_NEEDS:
        yield "     NOTE: without a quorum all of etcd, and with it the API, waits until the member is done."
    else:
        yield "     A member answers nobody meanwhile; the others do."
    if plan.full:
        names = ", ".join(plan.view.name(alarm.member_id) for alarm in plan.full)
        yield f"  3. take back alarm {NO_SPACE}, which stands against {names} and keeps etcd from taking writes, if"
        yield f"     every file is below {WELL_BELOW:.0%} of its quota then, and see with an unused lease that it does"
    yield f"  {4 if plan.full else 3}. read a fresh snapshot of each member and say what is left"


def _findings(reports: Iterable[tuple[str, Report]]) -> Iterator[Finding]:
    for name, report in reports:
        yield from (replace(finding, message=f"{name}: {finding.message}") for finding in report.findings)


def _next_steps(reports: Iterable[tuple[str, Report]], *, clean: bool, differ: bool, full: bool) -> Iterator[str]:
    if full:
        yield "raise --quota-backend-bytes of each member or delete what is not needed, then: etcdctl alarm disarm"
    if differ:
        yield "etcdctl endpoint hashkv --cluster    shows whether the members hold the same"
    yield from dict.fromkeys(step for _, report in reports for step in report.next_steps)
    if clean:
        yield "keyctl snapshot save FILE    takes a snapshot that leaks nothing of this any more"
    yield "keyctl verify-secrets --data-dir DIR --residue    on a member's host, shows what its WAL still holds"


def _table(done: Iterable[Sanitized]) -> Table:
    rows = tuple(
        (member.name, member.endpoint, _megabytes(member.before), _megabytes(member.after))
        for one in done
        for member in one.members
    )
    return Table(("MEMBER", "ENDPOINT", "BEFORE", "AFTER"), rows, frozenset({2, 3}))


def _plan_data(plan: SanitizePlan) -> dict[str, object]:
    return {
        "label": plan.label,
        "clusterId": plan.cluster_id,
        "revision": plan.revision,
        "alarmsToTakeBack": [{"memberId": alarm.member_id, "alarm": alarm.kind} for alarm in plan.full],
        "members": [
            {
                "name": plan.view.name(status.member_id),
                "id": status.member_id,
                "endpoint": status.endpoint,
                "version": status.version,
                "leader": status.leader == status.member_id,
                "dbSize": status.db_size,
                "dbSizeInUse": status.in_use,
            }
            for status in plan.order
        ],
    }


def _done_data(one: Sanitized) -> dict[str, object]:
    return {
        "label": one.plan.label,
        "clusterId": one.plan.cluster_id,
        "compactedTo": one.compacted,
        "space": None if one.space is None else {"writable": not one.space.obstacles, "why": list(one.space.obstacles)},
        "members": [
            {
                "name": member.name,
                "endpoint": member.endpoint,
                "dbSizeBefore": member.before,
                "dbSizeAfter": member.after,
            }
            for member in one.members
        ],
        "proofs": [
            {"member": proof.name, "endpoint": proof.endpoint, **verify_report(proof.result).data}
            for proof in one.proofs
        ],
    }


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
