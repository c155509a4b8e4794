"""Save a snapshot with its manifest, and tell the key store's register which keys it needs.

Either all of it is there in the end or nothing is: a snapshot without a manifest would look like any other file.
Prints nothing and knows no flags.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from keyctl.backup import manifest as manifests
from keyctl.backup.contents import Contents, read_live
from keyctl.backup.interface import Clock, OpenSnapshot
from keyctl.backup.key_needs import key_needs, static_refs
from keyctl.backup.manifest import Manifest
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import KeyctlError, RefusedError, StoppedError
from keyctl.etcd.interface import Etcd, SavedSnapshot
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyState
from keyctl.keys.private_files import is_gone, sync_directory, write_and_close


@dataclass(frozen=True, slots=True)
class Job:
    """What is saved and by what it is read: `config` is the configuration in force, None when it is not known.

    `store` is the key store whose register learns of the snapshot, None when there is none.
    """

    etcd: Etcd
    prefix: str
    config: EncryptionConfig | None = field(repr=False)
    store: KeyStore | None
    open_snapshot: OpenSnapshot
    clock: Clock


@dataclass(frozen=True, slots=True)
class Saved:
    """The snapshot and its manifest, both on the disk. `unread` counts live values that `config` does not open."""

    path: Path
    manifest_path: Path
    manifest: Manifest
    contents: Contents
    registered: str | None

    @property
    def unread(self) -> int:
        """How many live values the configuration in force does not open."""
        return self.contents.live.unreadable


def save(job: Job, path: Path, *, progress: Callable[[int, int], None] | None = None) -> Saved:
    """Save a snapshot to `path`, read it, and write its manifest beside it; `progress` gets (bytes so far, in all).

    Raises `RefusedError` where a file is there already, the register has another snapshot of that name, or the disk
    is too full, each before the first byte; and what the etcd, the file and the key store raise. Nothing is left then;
    a file that the disk does not let go stays in the register, with every key that it may need.
    """
    check_free(job.store, path)
    # NOTE: registered before it is there: a run that is cut off leaves no snapshot that nobody knows of.
    _register(job, path, "", 0, _possible(job))
    try:
        saved = job.etcd.save_snapshot(path, progress=progress)
        try:
            return _finish(job, saved)
        except BaseException:
            # NOTE: what failed first is what is told.
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
    except BaseException:
        # NOTE: a file that is there and forgotten would not hold back the destruction of the keys that it needs.
        if job.store is not None and is_gone(path):
            with suppress(KeyctlError):
                job.store.forget_backup(str(path.absolute()))
        raise


def check_free(store: KeyStore | None, path: Path) -> None:
    """Raise `RefusedError` where `path`, its manifest, or its name in the register is taken."""
    for taken in (path, manifests.beside(path)):
        if os.path.lexists(taken):
            raise RefusedError(f"{taken} exists already", hint="give the snapshot a new name, or move the old one away")
    if not path.parent.is_dir():
        raise RefusedError(f"{path.parent} is no directory", hint="make it first, for its owner only: mkdir -m 700")
    if store is not None and any(known.location == str(path.absolute()) for known in store.backups()):
        # NOTE: it may have been moved and be needed still; a second note of that name would forget its keys.
        raise RefusedError(
            f"the key store {store.location} knows another snapshot by the name {path}",
            cause="the file is not there any more, and what is known of the keys it needs would be lost",
            hint="give the snapshot a new name",
        )


def _finish(job: Job, saved: SavedSnapshot) -> Saved:
    """Read the snapshot, and write down what is known of it."""
    contents = read_live(job.open_snapshot(saved.path), prefix=job.prefix, config=job.config)
    needs = key_needs(contents, job.config)
    at = job.clock.now().isoformat(timespec="seconds")
    made = manifests.describe(saved, contents, needs, prefix=job.prefix, at=at, config_known=job.config is not None)
    written = manifests.beside(saved.path)
    _write(written, made)
    try:
        _register(job, saved.path, saved.sha256, contents.info.revision, static_refs(needs))
        return Saved(saved.path, written, made, contents, job.store.location if job.store else None)
    except BaseException:
        with suppress(OSError):
            written.unlink(missing_ok=True)
        raise


def _possible(job: Job) -> tuple[KeyRef, ...]:
    """The keys that the values may turn out to need."""
    if job.config is not None:
        return tuple(dict.fromkeys(key.ref for key in effective.all_static_keys(job.config)))
    records = job.store.records() if job.store else ()
    return tuple(record.ref for record in records if record.state is not KeyState.DESTROYED)


def _register(job: Job, path: Path, sha256: str, revision: int, needs: tuple[KeyRef, ...]) -> None:
    if job.store is not None:
        location, at = str(path.absolute()), job.clock.now().isoformat()
        job.store.note_backup(Backup(BackupKind.SNAPSHOT, location, at, revision, needs, sha256))


def _write(path: Path, manifest: Manifest) -> None:
    content = json.dumps(manifests.to_document(manifest), indent=2).encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise RefusedError(f"{path} exists already", hint="give the snapshot a new name") from None
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        write_and_close(descriptor, content)
        sync_directory(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritten(path, error) from error
        raise


def _unwritten(path: Path, error: OSError) -> StoppedError:
    return StoppedError(
        f"the manifest {path} could not be written", cause=error.strerror, hint="no file was left; give a larger disk"
    )
