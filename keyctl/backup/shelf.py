"""A directory of backups under a policy: which of them the policy may judge, which it deletes, and why the rest stays.

Only what `keyctl snapshot save --keep` saved there is judged, by the manifest beside it and, where there is a key
store, by what its register knows. Whatever is in doubt is left alone and told. Nothing is looked for below it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keyctl.backup import manifest as manifests
from keyctl.backup.keep import Candidate, Judged, Policy, judge
from keyctl.backup.manifest import Claims
from keyctl.backup.register import note_deleted
from keyctl.errors import KeyctlError, StoppedError, UnusableInputError
from keyctl.etcd_files.open_file import OpenFile
from keyctl.keys.backups import Backup, BackupKind, Proof
from keyctl.keys.interface import KeyStore
from keyctl.keys.private_files import sync_directory
from keyctl.stored.display import display

# Clocks differ by less.
_AMISS = timedelta(hours=1)
_Inode = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Series:
    """Which backups belong together: those of one etcd. `cluster_id` is what it calls its cluster.

    `revision` is the one that this etcd has come to, None where it is not known.
    """

    cluster_id: str
    name: str
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A backup that the policy may judge: whole by its size, known by its manifest. `state` tells it from another file.

    `noted` is its entry in the register, None where there is no register.
    """

    path: Path
    at: datetime
    state: _Inode
    noted: Backup | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A file that the policy does not judge, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that lies in a directory with a manifest: what may be judged, and what is left alone."""

    held: tuple[Held, ...]
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a policy does in `directory`, or would do: `judged` are newest first, and each is kept or deleted.

    `failed` are those that should be deleted and are still there; `former` what the register calls the deleted ones.
    """

    directory: Path
    series: Series
    policy: Policy
    judged: tuple[Judged, ...]
    left: tuple[Left, ...]
    failed: tuple[Left, ...] = ()
    former: str | None = None

    @property
    def kept(self) -> tuple[Judged, ...]:
        """Those that stay."""
        return tuple(one for one in self.judged if one.stays)

    @property
    def deleted(self) -> tuple[Judged, ...]:
        """Those that go, or are gone."""
        failed = {one.path.name for one in self.failed}
        return tuple(one for one in self.judged if not one.stays and one.candidate.name not in failed)


def look(directory: Path, series: Series, store: KeyStore | None, *, now: datetime) -> Shelf:
    """Everything in `directory` that has a manifest, seen for `series`. Raises what `store` raises."""
    register = None if store is None else _by_location(store)
    held: list[Held] = []
    left: list[Left] = []
    for path, manifest in _with_manifest(directory):
        try:
            held.append(_held(path, manifest, series, register, now))
        except _DoubtError as doubt:
            left.append(Left(path, str(doubt)))
    return Shelf(tuple(held), tuple(left))


def require_there(shelf: Shelf, fresh: str) -> None:
    """Raise `StoppedError` where `fresh` is not on `shelf` as it was saved: the others would be deleted for nothing."""
    if any(one.path.name == fresh for one in shelf.held):
        return
    why = next((one.why for one in shelf.left if one.path.name == fresh), "nothing of that name is there")
    raise StoppedError(
        f"the policy has deleted nothing: {fresh} is not there as it was saved",
        cause=why,
        hint="find out who moved or changed it, and save again",
    )


def plan(directory: Path, series: Series, policy: Policy, shelf: Shelf, fresh: Candidate) -> Rotation:
    """What `policy` makes of `shelf` once `fresh` is in it, or is thought to be."""
    there = [Candidate(one.path.name, one.at) for one in shelf.held if one.path.name != fresh.name]
    left = tuple(one for one in shelf.left if one.path.name != fresh.name)
    return Rotation(directory, series, policy, judge(policy, [*there, fresh], fresh.name), left)


def carry_out(
    rotation: Rotation, shelf: Shelf, store: KeyStore | None, *, now: datetime, copies: bool = True
) -> Rotation:
    """Delete what `rotation` deletes, the oldest first; what came of it.

    The register knows of it first, so that no key is free while a file that needs it is there. With `copies` it holds
    the keys back after that, too.
    """
    by_name = {one.path.name: one for one in shelf.held}
    going = [by_name[one.candidate.name] for one in reversed(rotation.deleted)]
    former = None
    if store is not None:
        noted = [one.noted for one in going if one.noted is not None]
        former = note_deleted(store, rotation.directory / rotation.series.name, noted, at=now, copies=copies)
    failed = [left for one in going if (left := _delete(one, store)) is not None]
    return replace(rotation, failed=tuple(failed), former=former)


class _DoubtError(Exception):
    """Why a file is not judged."""


def _held(path: Path, manifest: Path, series: Series, register: dict[str, Backup] | None, now: datetime) -> Held:
    """The backup `path`. Raises `_DoubtError`."""
    claims = _claims(manifest)
    status = _status(path)
    if claims.file != path.name:
        raise _DoubtError("its manifest is that of a file of another name")
    if not claims.keep:
        raise _DoubtError("it was saved without --keep")
    if (claims.cluster_id, claims.name) != (series.cluster_id, series.name):
        of = f"{display(claims.name) or '?'}, cluster {display(claims.cluster_id) or '?'}"
        raise _DoubtError(f"it is of another etcd: {of}")
    if not series.cluster_id:
        raise _DoubtError("of which cluster it is, the etcd does not tell")
    # NOTE: a cluster that is built anew on the same addresses has the same id, and so has one that was restored.
    if series.revision is not None and claims.revision > series.revision:
        raise _DoubtError(
            f"it has revision {claims.revision}, and this etcd has come to {series.revision}: it was another one then"
        )
    size = claims.encryption.size if claims.encryption else claims.size
    if status.st_size != size:
        raise _DoubtError(f"its manifest says {size} bytes, it has {status.st_size}")
    noted = None
    if register is not None:
        noted = register.get(str(path.absolute()))
        if noted is None or noted.sha256 != claims.sha256:
            raise _DoubtError("the register of the key store does not know it")
        if noted.tested is not None and noted.tested.proof is Proof.FAILED:
            raise _DoubtError("its restore test failed")
    return Held(path, _time(claims.at, now), _state(status), noted)


def _with_manifest(directory: Path) -> Iterator[tuple[Path, Path]]:
    """Everything in `directory` that has a manifest, with that; one that is beside nothing is passed over."""
    for manifest in sorted(directory.glob(f"?*{manifests.SUFFIX}")):
        if (name := manifest.name.removesuffix(manifests.SUFFIX)) != ".":
            yield manifest.with_name(name), manifest


def _claims(manifest: Path) -> Claims:
    try:
        if not stat.S_ISREG(manifest.lstat().st_mode):
            raise _DoubtError("its manifest is no regular file")
        with OpenFile(manifest) as file:
            if file.size > manifests.LIMIT:
                raise _DoubtError("its manifest is too large to be one")
            return manifests.parse(file[0 : file.size], name=str(manifest))
    except (OSError, UnusableInputError):
        raise _DoubtError("its manifest cannot be read") from None


def _status(path: Path) -> os.stat_result:
    try:
        status = path.lstat()
    except OSError:
        raise _DoubtError("there is its manifest, and no file that can be seen") from None
    if not stat.S_ISREG(status.st_mode):
        raise _DoubtError("it is a link, or no regular file")
    return status


def _time(text: str, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        # NOTE: in the first and the last hours that there are, it is no time in UTC.
        found = found if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _DoubtError("its manifest does not say when it was saved") from None
    if found.tzinfo is None or found - now > _AMISS:
        raise _DoubtError("its manifest names a time that cannot be right")
    return found


def _by_location(store: KeyStore) -> dict[str, Backup]:
    return {one.location: one for one in store.backups() if one.kind is BackupKind.SNAPSHOT}


def _delete(one: Held, store: KeyStore | None) -> Left | None:
    """Unlink it and its manifest, and forget its entry; why it is still there, None when it is not."""
    try:
        if _state(one.path.lstat()) != one.state:
            return Left(one.path, "it was changed meanwhile")
        one.path.unlink()
        manifests.beside(one.path).unlink(missing_ok=True)
        sync_directory(one.path.parent)
        if store is not None and one.noted is not None:
            store.forget_backup(one.noted.location)
    except OSError as error:
        return Left(one.path, (error.strerror or "it cannot be deleted").lower())
    except KeyctlError as error:
        return Left(one.path, f"it is gone, and still in the register: {error}")
    return None


def _state(status: os.stat_result) -> _Inode:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def newest(directory: Path, *, now: datetime, whole: bool = True) -> Iterator[tuple[datetime, Path, str]]:
    """Of each etcd in `directory`, as the manifests tell it: when its newest backup was saved, the file, that etcd.

    Of those that are `whole` by their size; without that, also of those that were cut.
    """
    found: dict[str, tuple[datetime, Path]] = {}
    for path, manifest in _with_manifest(directory):
        try:
            claims = _claims(manifest)
            size = claims.encryption.size if claims.encryption else claims.size
            if claims.file != path.name or (_status(path).st_size != size and whole):
                continue
            at = _time(claims.at, now)
        except _DoubtError:
            continue
        name = claims.name or "main"
        if name not in found or at > found[name][0]:
            found[name] = at, path
    for name in sorted(found):
        yield *found[name], name
