"""Save a snapshot with its manifest, and tell the key store's register which keys it needs.

Either all of it is there in the end or nothing is: a snapshot without a manifest would look like any other file.
Prints nothing and knows no flags.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from keyctl.backup import manifest as manifests
from keyctl.backup import sealing
from keyctl.backup.check import check_snapshot
from keyctl.backup.contents import Contents, plaintext, read_live
from keyctl.backup.every_key import every_key, kept
from keyctl.backup.interface import Clock, OpenSnapshot, Unwatched, Watch
from keyctl.backup.key_needs import KeyNeed, key_needs, static_refs
from keyctl.backup.manifest import Encryption, Manifest
from keyctl.backup.register import entry, make_way
from keyctl.backup.register import known as store_knows
from keyctl.backup.sealing import Seal
from keyctl.backup.told import Told, told_as
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnusableInputError
from keyctl.etcd.interface import MAIN, Etcd, SavedSnapshot
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyState
from keyctl.keys.private_files import is_gone, sync_directory, write_and_close

# (device, inode) of a file: its name may come to lead to another one.
_Inode = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Job:
    """What is saved and by what it is read: `config` is the configuration in force, None when it is not known.

    `unread` says why the configurations of some servers were not read, a sentence each. `store` is the key store
    whose register learns of the snapshot, None when there is none. `name` is that of the etcd. `seal` says to whom it
    is encrypted, None where it is not, and `keep` by which policy it may be deleted later.
    """

    etcd: Etcd
    prefix: str
    config: EncryptionConfig | None = field(repr=False)
    store: KeyStore | None
    open_snapshot: OpenSnapshot
    clock: Clock
    unread: tuple[str, ...] = ()
    name: str = MAIN
    seal: Seal | None = None
    keep: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """The snapshot and its manifest, both on the disk. `registered` is the key store whose register knows of it.

    `plaintext` counts live values that must be encrypted and are not. `former` is what the register calls the copies
    of an earlier snapshot of the same name, None where there was none.
    """

    path: Path
    manifest_path: Path
    manifest: Manifest
    contents: Contents
    registered: str | None
    plaintext: int = 0
    former: str | None = None

    @property
    def unread(self) -> int:
        """How many live values the configuration in force does not open."""
        return self.contents.live.unreadable


def save(job: Job, path: Path, watch: Watch | None = None) -> Saved:
    """Save a snapshot to `path`, read it, and write its manifest beside it.

    One that is to be encrypted lies open in a private directory of its own until it was looked through, page by page.
    A snapshot that the register has under that name and that is gone from there stays in it, for its copies.

    Raises `RefusedError` where a file is there already, or the disk is too full, each before the first byte; and what
    the etcd, the file and the key store raise. Nothing is left then; a file that the disk does not let go, or that
    somebody moved meanwhile, stays in the register, with every key that it may need.
    """
    watch = watch or Unwatched()
    check_free(job.store, path)
    former = make_way(job.store, path, job.clock.now()) if job.store is not None else None
    noted = _Entry(job, path)
    # NOTE: registered before it is there: a run that is cut off leaves no snapshot that nobody knows of.
    noted.note_possible(_possible(job))
    if job.seal is None:
        with _forgotten_where_nothing_came(path, noted):
            saved = job.etcd.save_snapshot(path, progress=watch.arriving)
        return replace(_complete(job, _Arrived(saved, saved.path, saved.inode), noted, watch), former=former)
    with ExitStack() as closing:
        with _forgotten_where_nothing_came(path, noted):
            folder = closing.enter_context(sealing.private(job.seal.scratch))
            arrived = _sealed(job, job.seal, folder, path, watch)
        return replace(_complete(job, arrived, noted, watch), former=former)


def check_free(store: KeyStore | None, path: Path) -> None:
    """Raise `RefusedError` where `path`, its manifest, or its name in the register is taken."""
    for taken in (path, manifests.beside(path)):
        if os.path.lexists(taken):
            raise RefusedError(f"{taken} exists already", hint="give the snapshot a new name, or move the old one away")
    if not path.parent.is_dir():
        raise RefusedError(f"{path.parent} is no directory", hint="make it first, for its owner only: mkdir -m 700")
    if store is not None and not is_gone(path) and store_knows(store, path):
        raise RefusedError(
            f"the key store {store.location} knows another snapshot by the name {path}",
            cause="whether it is still there cannot be seen",
            hint="give the snapshot a new name",
        )


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A snapshot that stands at its place, whose content is read from `content`; `encryption` where that is another."""

    saved: SavedSnapshot
    content: Path
    inode: _Inode | None
    encryption: Encryption | None = None


class _Entry:
    """What the register says of one snapshot, as far as this run said it."""

    def __init__(self, job: Job, path: Path) -> None:
        self._store, self._clock, self._location = job.store, job.clock, str(path.absolute())
        self._noted: list[Backup] = []

    def note_possible(self, needs: tuple[KeyRef, ...]) -> None:
        """Register what may be there in a moment."""
        self._note(Backup(BackupKind.SNAPSHOT, self._location, self._clock.now().isoformat(), 0, needs))

    def note(self, sha256: str, revision: int, needs: tuple[KeyNeed, ...]) -> None:
        """Register what is known of it now."""
        self._note(entry(Path(self._location), needs, at=self._clock.now(), revision=revision, sha256=sha256))

    def _note(self, backup: Backup) -> None:
        if self._store is not None:
            self._noted.append(backup)
            self._store.note_backup(backup)

    def forget(self) -> None:
        """Take it out, unless another run has put a snapshot of its own there. What failed first is what is told."""
        if self._store is not None:
            with suppress(KeyctlError):
                if any(known in self._noted for known in self._store.backups()):
                    self._store.forget_backup(self._location)


@contextmanager
def _forgotten_where_nothing_came(path: Path, noted: _Entry) -> Iterator[None]:
    """Take the entry back where nothing of ours came to stand at `path`."""
    try:
        yield
    except RefusedError:
        # What stands there now is somebody else's.
        noted.forget()
        raise
    except BaseException:
        # NOTE: a file that is there and forgotten would not hold back the destruction of the keys that it needs.
        if is_gone(path):
            noted.forget()
        raise


def _sealed(job: Job, seal: Seal, folder: Path, path: Path, watch: Watch) -> _Arrived:
    """Save into `folder`, look through every page, and seal to `path`: nobody here can look into that any more."""
    try:
        open_one = job.etcd.save_snapshot(folder / path.name, progress=watch.arriving)
    except (RefusedError, StoppedError) as error:
        if str(folder) in str(error):
            error.hints = (f"it lies open below {seal.scratch} meanwhile: name another place with --scratch DIR",)
        raise
    checked = check_snapshot(open_one.path, job.open_snapshot, watch.reading)
    if not checked.sound:
        raise StoppedError(
            "what etcd sent is no sound snapshot",
            cause="; ".join(finding.message for finding in checked.findings),
            hint="see to that member before anything else: etcdctl endpoint health; no file was left",
        )
    made = sealing.seal_file(
        open_one.path, path, seal.recipients, sha256=open_one.sha256, progress=told_as("encrypting", watch.reading)
    )
    encryption = Encryption(made.size, made.sha256, seal.recipients)
    return _Arrived(replace(open_one, path=path, inode=made.inode), open_one.path, made.inode, encryption)


def _complete(job: Job, arrived: _Arrived, noted: _Entry, watch: Watch) -> Saved:
    """Read what has arrived, and write down what is known of it; else take it away."""
    path = arrived.saved.path
    inode = arrived.inode or _inode(path)
    try:
        return _finish(job, arrived, inode, noted, watch)
    except BaseException as error:
        if _take_away(path, inode):
            noted.forget()
        elif isinstance(error, KeyctlError) and _is_ours(path, inode):
            error.hints = (*error.hints, _still_there(path))
        raise


def _finish(job: Job, arrived: _Arrived, inode: _Inode, noted: _Entry, watch: Watch) -> Saved:
    saved = arrived.saved
    source = Told(job.open_snapshot(arrived.content), watch.reading)
    try:
        contents = read_live(source, prefix=job.prefix, config=job.config)
    except UnusableInputError:
        _require_ours(saved.path, inode)
        raise
    _require_ours(saved.path, inode)
    needs = key_needs(contents, job.config)
    made = manifests.describe(
        saved,
        contents,
        needs,
        prefix=job.prefix,
        at=job.clock.now().isoformat(timespec="seconds"),
        config_known=job.config is not None,
        unread=job.unread,
        name=job.name,
        encryption=arrived.encryption,
        keep=job.keep,
    )
    written = manifests.beside(saved.path)
    manifest_inode = _write(written, made)
    try:
        noted.note(saved.sha256, contents.info.revision, _registered_needs(job, arrived.content, needs))
        plain = plaintext(contents.live.groups, job.config).total()
        return Saved(saved.path, written, made, contents, job.store.location if job.store else None, plain)
    except BaseException:
        _take_away(written, manifest_inode)
        raise


def _registered_needs(job: Job, path: Path, needs: tuple[KeyNeed, ...]) -> tuple[KeyNeed, ...]:
    """`needs`; where the configuration in force leaves one open, those found by trying every key that the store has."""
    static = [need for need in needs if need.ref in static_refs(needs)]
    if job.store is None or all(need.opened == need.values for need in static):
        return needs
    try:
        known = every_key(kept(job.store), job.config)
    except UnusableInputError:
        # NOTE: a damaged key file is no reason to have no backup; what the values name is held back all the same.
        return needs
    return key_needs(read_live(job.open_snapshot(path), prefix=job.prefix, config=known), known)


def _possible(job: Job) -> tuple[KeyRef, ...]:
    """The keys that the values may turn out to need: those of the configuration, and those that the store keeps."""
    configured = effective.all_static_keys(job.config) if job.config else ()
    records = job.store.records() if job.store else ()
    kept = (record.ref for record in records if record.state is not KeyState.DESTROYED)
    return tuple(dict.fromkeys((*(key.ref for key in configured), *kept)))


def _write(path: Path, manifest: Manifest) -> _Inode:
    """Write the manifest where nothing stands, whole or not at all."""
    content = json.dumps(manifests.to_document(manifest), indent=2).encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise RefusedError(f"{path} exists already", hint="give the snapshot a new name") from None
    except OSError as error:
        raise _unwritten(path, error) from error
    status = os.fstat(descriptor)
    inode = status.st_dev, status.st_ino
    try:
        write_and_close(descriptor, content)
        sync_directory(path.parent)
    except BaseException as error:
        _take_away(path, inode)
        if isinstance(error, OSError):
            raise _unwritten(path, error, left=_is_ours(path, inode)) from error
        raise
    return inode


def _unwritten(path: Path, error: OSError, *, left: bool = False) -> StoppedError:
    hints = ("make room for it, or save to another disk", *([_still_there(path)] if left else []))
    return StoppedError(f"the manifest {path} could not be written", cause=error.strerror, hint=hints)


def _still_there(path: Path) -> str:
    return f"{path} is not complete and could not be removed: remove it"


def _inode(path: Path) -> _Inode:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _is_ours(path: Path, inode: _Inode) -> bool:
    """Whether `path` leads to our file; no where that cannot be seen."""
    try:
        return _inode(path) == inode
    except OSError:
        return False


def _require_ours(path: Path, inode: _Inode) -> None:
    """Raise `StoppedError` where `path` leads to another file than the one that was saved, or to none."""
    if not _is_ours(path, inode):
        raise StoppedError(
            f"the snapshot {path} was moved, removed or replaced while it was read",
            cause="its name does not lead to the file that was saved any more",
            hint="save again, where nobody else works; the register keeps this one, for it may have been moved",
        )


def _take_away(path: Path, inode: _Inode) -> bool:
    """Unlink `path` if it leads to our file; whether ours is gone by that. What failed first is what is told."""
    with suppress(OSError):
        if _inode(path) == inode:
            path.unlink()
            return True
    return False
