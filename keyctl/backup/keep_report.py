"""What a policy made of a directory of backups: in words, as JSON-ready values, and as measures. Decides nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from keyctl.backup import rules
from keyctl.backup.keep import Judged
from keyctl.backup.shelf import Rotation, newest
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Gauge, Location, Report, Table
from keyctl.keys.backups import Backup, BackupKind
from keyctl.stored.display import display


def to_plan(rotations: Sequence[Rotation], notes: tuple[str, ...] = ()) -> Report:
    """What a run without --dry-run would do (the `SnapshotSavePlan` of `keyctl/v1`)."""
    saved = ", ".join(display(one.candidate.name) for rotation in rotations for one in rotation.judged[:1])
    count = sum(len(rotation.deleted) for rotation in rotations)
    verdict = f"nothing was changed; a run would save {saved}"
    if rotations:
        verdict += f", and then delete {count} by the policy {rotations[0].policy}"
    return Report(
        kind="SnapshotSavePlan",
        exit_code=ExitCode.OK,
        verdict=verdict,
        data={"keep": [data(one) for one in rotations]},
        tables=tuple(tables(rotations)),
        notes=(*notes, *said(rotations)),
    )


def data(rotation: Rotation) -> dict[str, object]:
    """One rotation, JSON-ready: every file that has a manifest is in one of the four lists."""
    return {
        "etcd": rotation.series.name,
        "directory": str(rotation.directory),
        "policy": str(rotation.policy),
        "kept": [{**_file(one), "reasons": list(one.reasons)} for one in rotation.kept],
        "deleted": [_file(one) for one in rotation.deleted],
        "notDeleted": [{"file": one.path.name, "why": one.why} for one in rotation.failed],
        "leftAlone": [{"file": one.path.name, "why": one.why} for one in rotation.left],
        "registeredAs": rotation.former,
    }


def tables(rotations: Sequence[Rotation]) -> Iterator[Table]:
    """A row for each backup that the policy judged."""
    for one in rotations:
        of = f", etcd {display(one.series.name)}" if len(rotations) > 1 else ""
        rows = tuple(
            (display(judged.candidate.name), _time(judged), ", ".join(judged.reasons) or "-", _fate(judged, one))
            for judged in one.judged
        )
        yield Table(("FILE", "SAVED", "KEPT FOR", "POLICY"), rows, title=f"keep {one.policy}{of}")


def findings(rotations: Iterable[Rotation]) -> Iterator[Finding]:
    """Those that should be gone and are not."""
    for rotation in rotations:
        for one in rotation.failed:
            yield rules.NOT_DELETED.finding(one.why, location=Location(file=display(str(one.path))))


def said(rotations: Iterable[Rotation]) -> Iterator[str]:
    """What the policy left alone, and what the register keeps of what went."""
    for rotation in rotations:
        for one in rotation.left:
            yield f"left alone by the policy: {display(one.path.name)}: {one.why}"
        if rotation.former is not None:
            told = "for copies of what was deleted, the register holds back the keys; once there is none"
            yield f"{told}: {shlex.join(('keyctl', 'snapshot', 'forget', rotation.former))}"


def of_directory(directory: Path, *, now: datetime) -> Gauge:
    """When the newest backup of each etcd in `directory` was saved."""
    found = tuple(({"etcd": name}, at.timestamp()) for at, _, name in newest(directory, now=now))
    return Gauge("backup_newest_timestamp_seconds", "When the newest backup there is was saved.", found, "seconds")


def of_rotations(rotations: Iterable[Rotation]) -> Gauge:
    """How many files there are, by what the policy made of them."""
    samples = tuple(
        ({"etcd": one.series.name, "state": state}, float(count)) for one in rotations for state, count in _counts(one)
    )
    return Gauge("backup_files", "How many backups the policy kept, deleted, could not delete, left alone.", samples)


def of_tests(register: Iterable[Backup]) -> Gauge:
    """When the newest restore test of each outcome was."""
    times: dict[str, float] = {}
    for one in register:
        if one.kind is BackupKind.SNAPSHOT and one.tested is not None:
            at = _seconds(one.tested.at)
            times[one.tested.proof] = max(times.get(one.tested.proof, 0.0), at)
    samples: tuple[tuple[Mapping[str, str], float], ...] = tuple(
        ({"result": name}, times[name]) for name in sorted(times)
    )
    told = "When the newest restore test of this outcome was, as the register knows it."
    return Gauge("backup_tested_timestamp_seconds", told, samples, "seconds")


def _counts(rotation: Rotation) -> Iterator[tuple[str, int]]:
    yield "kept", len(rotation.kept)
    yield "deleted", len(rotation.deleted)
    yield "not-deleted", len(rotation.failed)
    yield "left-alone", len(rotation.left)


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _file(judged: Judged) -> dict[str, object]:
    return {"file": judged.candidate.name, "at": judged.candidate.at.isoformat()}


def _time(judged: Judged) -> str:
    return f"{judged.candidate.at:%Y-%m-%d %H:%M}"


def _fate(judged: Judged, rotation: Rotation) -> str:
    if judged.stays:
        return "keep"
    return "delete" if judged in rotation.deleted else "NOT deleted"
