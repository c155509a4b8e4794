"""Is a snapshot whole: its SHA-256, every page, every record, and the manifest beside it. Reads only, repairs nothing.

`etcdutl snapshot status` checks pages and neither SHA-256 nor records, and knows no manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from keyctl.backup import manifest as manifests
from keyctl.backup import rules
from keyctl.backup.contents import Contents, read_live
from keyctl.backup.interface import OpenSnapshot
from keyctl.backup.manifest import Claims, plural
from keyctl.backup.told import Told
from keyctl.errors import ExitCode, UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.consistency import Counts, check
from keyctl.etcd_files.database_file import opened
from keyctl.etcd_files.delivery import Database
from keyctl.etcd_files.forked import is_worth_it
from keyctl.etcd_files.mvcc import read_standing
from keyctl.etcd_files.open_file import OpenFile
from keyctl.etcd_files.snapshot_file import SHA256_ABSENT, digest_checked, extent
from keyctl.findings import Finding, Location, Report, Severity, Status, Table
from keyctl.stored.display import display


class ManifestState(StrEnum):
    """How the manifest beside a snapshot stands to it."""

    MATCHES = "matches"
    DIFFERS = "differs"
    UNUSABLE = "unusable"
    ABSENT = "absent"
    NOT_COMPARED = "not-compared"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about one file. `counts` is None for one that is damaged; `sha256` "" where it has none.

    `one_meta`: one of the two meta pages is damaged, and the other one tells the same state or the one before it.
    """

    path: Path
    size: int = 0
    integrity: str = ""
    sha256: str = ""
    counts: Counts | None = None
    one_meta: bool = False
    manifest: ManifestState = ManifestState.NOT_COMPARED
    findings: tuple[Finding, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with it; that it has no SHA-256 is said, and is not wrong."""
        return not any(one.status is Status.FAIL for one in self.findings)


def check_snapshot(
    path: Path, open_snapshot: OpenSnapshot, progress: Callable[[str], None] = lambda _: None
) -> Checked:
    """Look at all of the snapshot `path`, and compare it with its manifest. Damage is a finding, never an exception.

    `progress` gets the part that is being read, and how much of it was.
    """
    try:
        checked = _check(path, progress)
        state, findings = _compare(checked, lambda path: Told(open_snapshot(path), progress))
    except UnusableInputError as error:
        return Checked(path, findings=(_damaged(path, error),))
    if checked.integrity == SHA256_ABSENT:
        said = "it has no SHA-256; its pages and records are sound"
        findings = (*findings, rules.NO_DIGEST.finding(said, status=Status.UNKNOWN, location=_at(path)))
    return replace(checked, manifest=state, findings=findings)


def to_report(checked: Sequence[Checked]) -> Report:
    """All files for a reader and for machines (the `SnapshotVerifyReport` of `keyctl/v1`)."""
    bad = [one for one in checked if not one.sound]
    files = f"{len(checked)} {'snapshot' if len(checked) == 1 else 'snapshots'}"
    absent = sum(one.integrity == SHA256_ABSENT for one in checked)
    verdict = f"{len(bad)} of {files} cannot be relied on" if bad else f"{files}: every page and every record is sound"
    if absent:
        verdict += f"; {absent} without a SHA-256 of its own"
    return Report(
        kind="SnapshotVerifyReport",
        exit_code=ExitCode.UNUSABLE if bad else ExitCode.OK,
        verdict=verdict,
        findings=tuple(finding for one in checked for finding in one.findings),
        data={"snapshots": [_data(one) for one in checked]},
        tables=(_table(checked),),
        notes=tuple(_notes(checked)),
    )


def _notes(checked: Sequence[Checked]) -> Iterator[str]:
    for one in checked:
        if one.one_meta:
            yield f"{one.path}: one of its two meta pages is damaged; the other one was read"
    if any(one.counts for one in checked):
        yield "LIVE KEYS counts the whole file; a manifest counts the values under kube-apiserver's prefix in it"


def _check(path: Path, progress: Callable[[str], None]) -> Checked:
    name = str(path)
    with opened(path) as file:
        found = extent(file)
        with digest_checked(file, found) as integrity:
            bolt = BoltFile(file, found.length, name)
            helped = is_worth_it(found.length)
            counts = check(Database(bolt, file, name, read_standing(bolt, name), helped=helped), progress)
            progress("SHA-256")
            state = integrity()
        if change := file.changed():
            raise UnusableInputError(f"{name} changed while it was read", cause=change, hint="run it again, on a copy")
        sha256 = "" if state == SHA256_ABSENT else file[found.length : file.size].hex()
        return Checked(path, file.size, state, sha256, counts, bolt.meta.other_damaged)


def _compare(checked: Checked, open_snapshot: OpenSnapshot) -> tuple[ManifestState, tuple[Finding, ...]]:
    path = manifests.beside(checked.path)
    try:
        content = _read(path)
        if content is None:
            return ManifestState.ABSENT, ()
        claims = manifests.parse(content, name=str(path))
    except UnusableInputError as error:
        said = f"{error}: {error.cause}" if error.cause else str(error)
        return ManifestState.UNUSABLE, (rules.MANIFEST_UNUSABLE.finding(said, location=_at(path)),)
    contents = read_live(open_snapshot(checked.path), prefix=claims.prefix, config=None)
    differences = tuple(_differences(claims, checked, contents))
    if not differences:
        return ManifestState.MATCHES, ()
    where = _at(checked.path)
    return ManifestState.DIFFERS, tuple(rules.NOT_ITS_MANIFEST.finding(one, location=where) for one in differences)


def _differences(claims: Claims, checked: Checked, contents: Contents) -> Iterator[str]:
    pairs: tuple[tuple[str, object, object], ...] = (
        ("size", claims.size, checked.size),
        ("SHA-256", claims.sha256, checked.sha256 or "none"),
        ("revision", claims.revision, contents.info.revision),
        ("number of values", claims.values, contents.live.values),
    )
    for what, claimed, is_so in pairs:
        if claimed != is_so:
            yield f"its manifest says {what} {display(str(claimed))}, the file has {is_so}"
    resources = Counter[str]()
    for group in contents.live.groups:
        resources[plural(group.resource)] += group.values
    for name in sorted({*claims.resources, *resources}):
        claimed, is_so = claims.resources.get(name, 0), resources[name]
        if claimed != is_so:
            yield f"its manifest says {claimed} values of {display(name)}, the file has {is_so}"


def _at(path: Path) -> Location:
    return Location(file=display(str(path)))


def _read(path: Path) -> bytes | None:
    """The manifest, None when there is none. Raises `UnusableInputError`."""
    try:
        # NOTE: opening the name of a pipe would wait for a writer for ever.
        if path.exists() and not path.is_file():
            raise UnusableInputError(f"{path} is no regular file")
        with OpenFile(path) as file:
            if file.size > manifests.LIMIT:
                raise UnusableInputError(f"{path} is no manifest", cause=f"it has {file.size} bytes")
            return file[0 : file.size]
    except FileNotFoundError:
        return None


def _damaged(path: Path, error: UnusableInputError) -> Finding:
    said = f"{error}: {error.cause}" if error.cause else str(error)
    fix = "; ".join(error.hints) or None
    return rules.DAMAGED.finding(said, location=_at(path), fix=fix)


def _table(checked: Sequence[Checked]) -> Table:
    columns = ("SNAPSHOT", "SHA-256", "REVISION", "LIVE KEYS", "RECORDS", "PAGES", "MANIFEST", "STATE")
    return Table(columns, tuple(_row(one) for one in checked), frozenset({2, 3, 4, 5}))


def _row(one: Checked) -> tuple[str, ...]:
    state = "ok" if one.sound else str(Severity.CRITICAL)
    if one.counts is None:
        return display(str(one.path)), "-", "-", "-", "-", "-", "-", state
    counts = one.counts
    numbers = (counts.standing.current, counts.live, counts.records, counts.pages)
    digest = one.integrity.removeprefix("sha256-")
    return display(str(one.path)), digest, *map(str, numbers), str(one.manifest), state


def _data(one: Checked) -> dict[str, object]:
    shown: dict[str, object] = {"file": str(one.path), "sound": one.sound, "manifest": str(one.manifest)}
    if one.counts is None:
        return shown
    counts = one.counts
    return shown | {
        "size": one.size,
        "integrity": one.integrity,
        "sha256": one.sha256 or None,
        "revision": counts.standing.current,
        "compactRevision": counts.standing.compacted,
        "pages": counts.pages,
        "freePages": counts.free,
        "records": counts.records,
        "deletions": counts.deletions,
        "values": counts.live,
        "bothMetas": not one.one_meta,
    }
