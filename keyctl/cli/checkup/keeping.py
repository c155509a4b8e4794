"""The key store and the snapshots: can they be used, is every key of the files kept, are the backups there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote

from keyctl.backup.register import is_former
from keyctl.cli import wiring
from keyctl.cli.checkup import rules
from keyctl.cli.checkup.item import Area, Checks, Item
from keyctl.cli.checkup.subject import Subject
from keyctl.errors import KeyctlError
from keyctl.keys.backups import BackupKind
from keyctl.keys.interface import KeyStore
from keyctl.keys.shown import shown_ref
from keyctl.rotation.diagnosis.facts import ConfigText, KnownKey
from keyctl.rotation.diagnosis.look import keys_in, keys_of
from keyctl.rotation.outline import counted

_OTHERS = 0o077
_CHECKS = Checks(Area.KEYS)


def open_store(subject: Subject) -> tuple[KeyStore | None, tuple[KnownKey, ...], tuple[Item, ...]]:
    """The key store, the keys in it, and what is wrong with it."""
    if not subject.described:
        message = "no cluster file names a key store"
        return None, (), (_CHECKS.unknown(rules.KEPT, "key store", message, fix=rules.CLUSTER_FILE.fix),)
    try:
        store = wiring.key_store(subject.settings, only_read=True)
    except KeyctlError as error:
        return None, (), (_CHECKS.of_error(rules.STORE, "key store", error),)
    known, problems = keys_in(store)
    bad = tuple(_CHECKS.bad(rules.STORE, "key store", problem) for problem in problems)
    good = _CHECKS.ok(
        rules.STORE, "key store", f"{store.location}: {counted(len(known), 'key')}, as the ledger has them"
    )
    return store, known, bad or (good,)


def look_at_keys(known: Iterable[KnownKey], texts: Iterable[ConfigText]) -> Iterator[Item]:
    """Whether every key of the servers' files is in the store; other bytes under one name are diagnosed elsewhere."""
    kept = {one.key for one in known}
    names = {one.key.ref for one in known}
    used = dict.fromkeys(one.key for one in keys_of(texts))
    lacking = [key for key in used if key not in kept and key.ref not in names]
    for key in lacking:
        yield _CHECKS.bad(rules.KEPT, shown_ref(key.ref), "stands in a server's file and not in the key store")
    if used and not lacking:
        yield _CHECKS.ok(rules.KEPT, "key store", f"has every key of the servers' files ({len(used)})")


def look_at_snapshots(subject: Subject, store: KeyStore | None) -> Iterator[Item]:
    """The directory that a rotation saves to, and whether the registered snapshots are where they were put."""
    if not subject.described:
        return
    settings = subject.settings
    directory = settings.backups.directory or wiring.state_directory(settings.name) / "snapshots"
    yield _directory(directory)
    yield from _left(directory)
    try:
        backups = store.backups() if store is not None else ()
    except KeyctlError as error:
        yield _CHECKS.of_error(rules.STORE, "register", error)
        return
    snapshots = [one for one in backups if one.kind is BackupKind.SNAPSHOT and not is_former(one)]
    gone = [backup.location for backup in snapshots if not Path(backup.location).exists()]
    for location in gone:
        yield _CHECKS.bad(rules.SNAPSHOTS, "snapshot", f"{location} is registered, and is not there")
    if snapshots and not gone:
        yield _CHECKS.ok(rules.SNAPSHOTS, "snapshots", f"all {len(snapshots)} registered ones are there")


def _left(directory: Path) -> Iterator[Item]:
    """What saves that were killed left: as private as a snapshot, and nobody asks for it any more."""
    with suppress(OSError):
        for path in sorted(directory.glob(".*.part")):
            told = f"{path} is left of a save that was killed, if none is under way; it holds what etcd held"
            yield _CHECKS.bad(rules.SNAPSHOTS, "snapshots", told, fix=f"rm {quote(str(path))}")


def _directory(directory: Path) -> Item:
    label = "snapshots"
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return _CHECKS.ok(rules.SNAPSHOTS, label, f"{directory} is made when it is needed")
    except OSError as error:
        return _CHECKS.bad(rules.SNAPSHOTS, label, f"{directory}: {error.strerror}")
    if not stat.S_ISDIR(status.st_mode):
        return _CHECKS.bad(rules.SNAPSHOTS, label, f"{directory} is no directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        return _CHECKS.bad(rules.SNAPSHOTS, label, f"this user cannot write in {directory}")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        told = f"{directory} can be used by others than its owner (mode {mode:04o})"
        return _CHECKS.bad(rules.SNAPSHOTS, label, told, fix=f"chmod 700 {quote(str(directory))}")
    return _CHECKS.ok(rules.SNAPSHOTS, label, str(directory))
