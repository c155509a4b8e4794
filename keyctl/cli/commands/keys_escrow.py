"""`keyctl keys escrow`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import wiring
from keyctl.cli.options import cluster_option
from keyctl.errors import RefusedError, UnusableInputError, WrongUsageError
from keyctl.keys.shown import shown_ref
from keyctl.stored.display import display

if TYPE_CHECKING:
    from keyctl.backup.open_with import Opened
    from keyctl.cluster_file.settings import ClusterSettings
    from keyctl.keys.backups import Proof
    from keyctl.keys.escrow import Escrow
    from keyctl.keys.interface import KeyStore

_RECIPIENTS = "the file of recipients"
_IDENTITY = "the identity file"
_ESCROW = "the escrow"
_LIMIT = 64 << 20


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@cluster_option
@click.option(
    "-r", "--recipient", "recipients", multiple=True, metavar="AGE1...", help="Who can open it. age or SSH; repeatable."
)
@click.option(
    "-R",
    "--recipients-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of recipients, one a line, as age takes it.",
)
@click.option("--forget", is_flag=True, help="FILE and its copies are gone: it does not count any more.")
@click.option("--test", "test", is_flag=True, help="Open FILE, compare it with the key store, open stored values.")
@click.option(
    "-i",
    "--identity",
    metavar="FILE",
    help="With --test: the secret side of one recipient, as age-keygen writes it; - is stdin.",
)
@click.option(
    "--snapshot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --test: open the values of this snapshot, not those of etcd.",
)
def escrow(
    file: Path,
    cluster: Path | None,
    recipients: tuple[str, ...],
    recipients_file: Path | None,
    forget: bool,
    test: bool,
    identity: str | None,
    snapshot: Path | None,
) -> None:
    """Write every key, its life and the register of backups to FILE, encrypted; and test that it opens.

    For the day on which the key store is lost. FILE is encrypted to age recipients before
    a byte of it is on a disk, 0600, and never written over another; nor beside the
    backups, for whoever takes those would take both. It does not count before it was
    tested: opened with an identity, every fingerprint compared, stored values opened with
    the keys in it. keyctl keys import --escrow brings everything back on an empty machine.

    \b
    Examples:
      age-keygen -o escrow.identity        (once; keep it off this machine)
      keyctl keys escrow /mnt/usb/prod.age --recipient age1...
      keyctl keys escrow /mnt/usb/prod.age --test --identity escrow.identity
    """  # noqa: D301 — click reads the \b
    named = bool(recipients or recipients_file)
    _check_usage(named=named, forget=forget, test=test, identity=identity, snapshot=snapshot)
    settings = wiring.require_cluster(cluster)
    store = wiring.key_store(settings)
    if forget:
        _forget(file, store)
        return
    if named:
        _write(file, settings, store, (*recipients, *_recipients(recipients_file)))
        if not test:
            click.echo("it counts once it was tested: keyctl keys escrow FILE --test --identity IDENTITY")
    if test and identity is not None:
        _test(file, settings, store, identity, snapshot)


def _check_usage(*, named: bool, forget: bool, test: bool, identity: str | None, snapshot: Path | None) -> None:
    if forget and (named or test):
        raise WrongUsageError("an escrow that is gone is neither written nor tested", hint="give --forget alone")
    if not (named or test or forget):
        raise WrongUsageError(
            "an escrow is written for somebody, or tested",
            hint="name who can open it with --recipient age1..., or test one: --test --identity FILE",
        )
    if test and identity is None:
        raise WrongUsageError("a test opens the escrow", hint="give the secret side of one recipient: --identity FILE")
    if not test and (identity is not None or snapshot is not None):
        raise WrongUsageError("--identity and --snapshot belong to a test", hint="add --test")


def _forget(path: Path, store: KeyStore) -> None:
    from keyctl.keys.backups import BackupKind
    from keyctl.keys.private_files import is_gone

    location = str(path.absolute())
    if not any(one.kind is BackupKind.ESCROW and one.location == location for one in store.backups()):
        raise UnusableInputError(
            f"no escrow at {location} is registered in the key store {store.location}",
            hint="see them all: keyctl keys list -o json",
        )
    if not is_gone(path):
        raise RefusedError(f"the escrow {path} is not forgotten", cause="its file is there", hint="remove it first")
    store.forget_backup(location)
    click.echo(f"forgotten: {location}")


def _recipients(path: Path | None) -> tuple[str, ...]:
    from keyctl.cli.files import read_regular
    from keyctl.keys.escrow_age import recipient_lines

    return () if path is None else recipient_lines(read_regular(path, _RECIPIENTS).decode(errors="replace"))


def _write(path: Path, settings: ClusterSettings, store: KeyStore, recipients: tuple[str, ...]) -> None:
    from keyctl.keys import escrow as escrows
    from keyctl.keys import escrow_age, escrow_place
    from keyctl.keys.backups import Backup, BackupKind

    escrow_place.check_place(path, backups=_backups(settings, store), keys=_directory(settings))
    at = wiring.SystemClock().now().isoformat()
    made = escrows.of_store(store, cluster=settings.name, at=at)
    sealed = escrow_age.seal(escrows.content(made), recipients)
    escrow_place.write(path, sealed)
    refs = tuple(key.ref for key in made.keys)
    store.note_backup(
        Backup(BackupKind.ESCROW, str(path.absolute()), at, 0, refs, _sha256(sealed), fingerprints=made.fingerprints)
    )
    count = len(dict.fromkeys(recipients))
    click.echo(f"{path}: {len(refs)} keys of {settings.name}, encrypted to {count} {_plural('recipient', count)}")


def _backups(settings: ClusterSettings, store: KeyStore) -> tuple[Path, ...]:
    """Where backups are: the directory of the cluster file, and those of every registered snapshot."""
    from keyctl.keys.backups import BackupKind

    directory = settings.backups.directory or wiring.state_directory(settings.name) / "snapshots"
    noted = (Path(one.location).parent for one in store.backups() if one.kind is BackupKind.SNAPSHOT)
    return (directory, *noted)


def _directory(settings: ClusterSettings) -> Path | None:
    from keyctl.cluster_file.settings import FileKeySettings

    return settings.keys.directory if isinstance(settings.keys, FileKeySettings) else None


def read_escrow(path: Path, settings: ClusterSettings, identity: str) -> tuple[Escrow, bytes]:
    """The escrow in the file `path`, opened with the `identity` in that file, and its sealed bytes."""
    from keyctl.cli.files import STDIN, read_file, read_regular
    from keyctl.keys import escrow as escrows
    from keyctl.keys import escrow_age
    from keyctl.keys.private_files import require_private

    sealed = read_regular(path, _ESCROW, limit=_LIMIT)
    if identity != STDIN and Path(identity).exists():
        require_private(Path(identity).resolve())
    name = display(str(path))
    opened = escrow_age.open_sealed(sealed, read_file(identity, _IDENTITY), name=name)
    return escrows.parse(opened, cluster=settings.name, name=name), sealed


def _test(path: Path, settings: ClusterSettings, store: KeyStore, identity: str, snapshot: Path | None) -> None:
    from keyctl.keys import escrow as escrows
    from keyctl.keys.backups import Proof

    found, sealed = read_escrow(path, settings, identity)
    compared = escrows.compare(store, found)
    opened = _opened(found, settings, snapshot)
    good = not compared.differing and opened.values > 0 and not opened.failed
    # NOTE: where nothing was there to be opened, nothing was found out, for or against it.
    if good or compared.differing or opened.failed:
        _note(store, path, found, sealed, Proof.OPENED if good else Proof.FAILED)
    _tell(path, opened)
    if compared.differing or opened.failed:
        failed = dict.fromkeys((*compared.differing, *opened.failed))
        raise UnusableInputError(
            f"the escrow {path} is not what it should be",
            cause=f"other bytes than those in use: {', '.join(map(shown_ref, failed))}",
            hint="write a new one: keyctl keys escrow FILE --recipient AGE1...",
        )
    if not opened.values:
        raise UnusableInputError(
            f"the escrow {path} does not count yet",
            cause="no stored value is under any of its keys, so nothing shows that they are the right ones",
            hint="test it with a snapshot that has such values: keyctl keys escrow FILE --test --snapshot SNAPSHOT",
        )
    if compared.lacking:
        raise UnusableInputError(
            f"the escrow {path} is older than the key store",
            cause=f"it lacks {', '.join(map(shown_ref, compared.lacking))}; for its own keys it counts",
            hint="write a new one: keyctl keys escrow FILE --recipient AGE1...",
        )
    click.echo(f"{path} counts: all {len(found.keys)} keys of {settings.name}, fingerprints as in the key store")


def _opened(found: Escrow, settings: ClusterSettings, snapshot: Path | None) -> Opened:
    from keyctl.backup.open_with import open_with
    from keyctl.etcd_files.source import SnapshotSource

    if snapshot is not None:
        return open_with(found.keys, (SnapshotSource(snapshot),), settings.etcd.prefix)
    places = [settings.etcd.connection, *(other.connection for other in settings.etcd.others)]
    etcds = [wiring.etcd(place) for place in places]
    try:
        return open_with(found.keys, [one.source() for one in etcds], settings.etcd.prefix)
    finally:
        for one in etcds:
            one.close()


def _tell(path: Path, opened: Opened) -> None:
    for ref, count in opened.by_key:
        click.echo(f"{path}: {shown_ref(ref)} opens {count} stored {_plural('value', count)}", file=sys.stderr)


def _note(store: KeyStore, path: Path, found: Escrow, sealed: bytes, proof: Proof) -> None:
    from dataclasses import replace

    from keyctl.keys.backups import Backup, BackupKind, Proven

    tested, sha256 = Proven(wiring.SystemClock().now().isoformat(), proof), _sha256(sealed)
    known = [one for one in store.backups() if one.kind is BackupKind.ESCROW and one.sha256 == sha256]
    refs = tuple(key.ref for key in found.keys)
    here = Backup(BackupKind.ESCROW, str(path.absolute()), found.at, 0, refs, sha256, found.fingerprints)
    for one in known or [here]:
        store.note_backup(replace(one, tested=tested))


def _sha256(sealed: bytes) -> str:
    return hashlib.sha256(sealed).hexdigest()


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
