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
from keyctl.backup.manifest import Claims, Encryption, plural
from keyctl.backup.sealing import sealed_digest
from keyctl.backup.told import Told, told_as
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
from keyctl.keys.age_stream import ForeignIdentityError
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
    `closed`: it is encrypted, and nobody looked into it; `encrypted` alone: it was opened for that.
    """

    path: Path
    size: int = 0
    integrity: str = ""
    sha256: str = ""
    counts: Counts | None = None
    one_meta: bool = False
    manifest: ManifestState = ManifestState.NOT_COMPARED
    findings: tuple[Finding, ...] = ()
    encrypted: bool = False
    closed: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with it; that it has no SHA-256 is said, and is not wrong."""
        return not any(one.status is Status.FAIL for one in self.findings)


def check_snapshot(
    path: Path,
    open_snapshot: OpenSnapshot,
    progress: Callable[[str], None] = lambda _: None,
    *,
    content: Path | None = None,
) -> Checked:
    """Look at all of the snapshot `path`, and compare it with its manifest. Damage is a finding, never an exception.

    `content` is where it lies open, None where it is not encrypted. `progress` gets the part that is being read, and
    how much of it was.
    """
    try:
        sealed = () if content is None else _sealed_differences(path, progress)
        checked = _check(path, content or path, progress)
        state, findings = _compare(checked, lambda _: Told(open_snapshot(content or path), progress))
    except UnusableInputError as error:
        return Checked(path, findings=(_damaged(path, error),), encrypted=content is not None)
    if checked.integrity == SHA256_ABSENT:
        said = "it has no SHA-256; its pages and records are sound"
        findings = (*findings, rules.NO_DIGEST.finding(said, status=Status.UNKNOWN, location=_at(path)))
    if sealed:
        state = ManifestState.DIFFERS
    return replace(checked, manifest=state, findings=(*sealed, *findings), encrypted=content is not None)


def check_closed(path: Path, progress: Callable[[str], None] = lambda _: None) -> Checked:
    """Look at all of the encrypted snapshot `path` that can be judged without an identity.

    That is whether it is cut, and whether its bytes are those that its manifest names: they were looked through before
    they were encrypted. Damage is a finding, never an exception.
    """
    try:
        content = _read(manifests.beside(path))
        claims = None if content is None else manifests.parse(content, name=str(manifests.beside(path)))
    except UnusableInputError as error:
        said = _said(error)
        findings: tuple[Finding, ...] = (rules.MANIFEST_UNUSABLE.finding(said, location=_at(path)),)
        return Checked(path, manifest=ManifestState.UNUSABLE, findings=findings, encrypted=True, closed=True)
    try:
        size, digest, plain = sealed_digest(path, told_as("SHA-256", progress))
    except UnusableInputError as error:
        return Checked(path, findings=(_damaged(path, error),), encrypted=True, closed=True)
    if claims is None or claims.encryption is None:
        said = "it is encrypted, and no manifest beside it tells its SHA-256"
        findings = (rules.NOT_LOOKED_INTO.finding(said, location=_at(path)),)
        return Checked(path, size, manifest=ManifestState.ABSENT, findings=findings, encrypted=True, closed=True)
    findings = tuple(_sealed_findings(path, claims.encryption, size, digest))
    if claims.size != plain:
        said = f"its manifest says size {claims.size} of the snapshot, and {plain} bytes are in the encrypted file"
        findings = (*findings, rules.NOT_ITS_MANIFEST.finding(said, location=_at(path)))
    state = ManifestState.DIFFERS if findings else ManifestState.MATCHES
    return Checked(path, size, "", claims.sha256, None, False, state, findings, encrypted=True, closed=True)


def not_opened(path: Path, error: UnusableInputError) -> Checked:
    """What is known of an encrypted snapshot that its `error` kept anybody from looking into."""
    if isinstance(error, ForeignIdentityError):
        finding = rules.NOT_LOOKED_INTO.finding(_said(error), location=_at(path), fix="; ".join(error.hints))
        return Checked(path, findings=(finding,), encrypted=True, closed=True)
    return Checked(path, findings=(_damaged(path, error),), encrypted=True, closed=True)


def to_report(checked: Sequence[Checked]) -> Report:
    """All files for a reader and for machines (the `SnapshotVerifyReport` of `keyctl/v1`)."""
    bad = [one for one in checked if not one.sound]
    files = f"{len(checked)} {'snapshot' if len(checked) == 1 else 'snapshots'}"
    absent = sum(one.integrity == SHA256_ABSENT for one in checked)
    closed = sum(one.closed for one in checked)
    verdict = f"{len(bad)} of {files} cannot be relied on" if bad else f"{files}: every page and every record is sound"
    if absent:
        verdict += f"; {absent} without a SHA-256 of its own"
    if closed and not bad:
        verdict = f"{files}: all that can be judged is sound; {closed} encrypted, and not looked into"
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
        if one.closed and one.sound:
            told = "its bytes are those that were looked through when it was saved, as its manifest says"
            yield f"{one.path}: {told}; to look into it: --identity FILE"
    if any(one.counts for one in checked):
        yield "LIVE KEYS counts the whole file; a manifest counts the values under kube-apiserver's prefix in it"


def _sealed_differences(path: Path, progress: Callable[[str], None]) -> tuple[Finding, ...]:
    """How the bytes of an encrypted file differ from those that its manifest names; nothing where none does."""
    try:
        content = _read(manifests.beside(path))
        claims = None if content is None else manifests.parse(content, name=str(path))
    except UnusableInputError:
        # It is told of where the snapshot itself is compared with it.
        return ()
    if claims is None or claims.encryption is None:
        return ()
    size, digest, _ = sealed_digest(path, told_as("SHA-256", progress))
    return tuple(_sealed_findings(path, claims.encryption, size, digest))


def _sealed_findings(path: Path, claimed: Encryption, size: int, sha256: str) -> Iterator[Finding]:
    for what, says, is_so in (("size", claimed.size, size), ("SHA-256", claimed.sha256, sha256)):
        if says != is_so:
            told = f"its manifest says {what} {display(str(says))} of the encrypted file, which has {is_so}"
            yield rules.NOT_ITS_MANIFEST.finding(told, location=_at(path))


def _said(error: UnusableInputError) -> str:
    return f"{error}: {error.cause}" if error.cause else str(error)


def _check(path: Path, content: Path, progress: Callable[[str], None]) -> Checked:
    name = str(path)
    with opened(content) as file:
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
        return ManifestState.UNUSABLE, (rules.MANIFEST_UNUSABLE.finding(_said(error), location=_at(path)),)
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
    fix = "; ".join(error.hints) or None
    return rules.DAMAGED.finding(_said(error), location=_at(path), fix=fix)


def _table(checked: Sequence[Checked]) -> Table:
    columns = ("SNAPSHOT", "SHA-256", "REVISION", "LIVE KEYS", "RECORDS", "PAGES", "MANIFEST", "STATE")
    return Table(columns, tuple(_row(one) for one in checked), frozenset({2, 3, 4, 5}))


def _row(one: Checked) -> tuple[str, ...]:
    state = "ok" if one.sound else str(Severity.CRITICAL)
    if one.closed:
        return display(str(one.path)), "encrypted", "-", "-", "-", "-", str(one.manifest), state
    if one.counts is None:
        return display(str(one.path)), "-", "-", "-", "-", "-", "-", state
    counts = one.counts
    numbers = (counts.standing.current, counts.live, counts.records, counts.pages)
    digest = one.integrity.removeprefix("sha256-")
    return display(str(one.path)), digest, *map(str, numbers), str(one.manifest), state


def _data(one: Checked) -> dict[str, object]:
    shown: dict[str, object] = {"file": str(one.path), "sound": one.sound, "manifest": str(one.manifest)}
    shown |= {"encrypted": one.encrypted, "opened": one.encrypted and not one.closed}
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
