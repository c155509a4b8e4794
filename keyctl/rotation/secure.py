"""Keys in the store and read back, snapshots whose values open: states `secured` and `resecured`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import KeyctlError, StoppedError
from keyctl.etcd.interface import SavedSnapshot
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import STATIC_PROVIDERS, Key, KeyRef, Provider
from keyctl.keys.ledger import KeyState
from keyctl.keys.private_files import is_gone
from keyctl.rotation.preflight import Facts
from keyctl.rotation.scan import Scan, name_first, scan
from keyctl.rotation.world import Event, Reporter, World


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot in which every value opened. `needs` are the keys of its live values; `size` in bytes.

    `plugins` are those that alone open some of them, each with what it called its key, None where it did not say.
    """

    path: Path
    sha256: str
    size: int
    revision: int
    needs: tuple[KeyRef, ...]
    plugins: tuple[tuple[KeyRef, str | None], ...] = ()

    def to_record(self) -> dict[str, object]:
        """As JSON-ready fields for the journal."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "size": self.size,
            "revision": self.revision,
            "needs": [str(ref) for ref in self.needs],
        }


def keep_keys(world: World, facts: Facts) -> None:
    """Import every key of every file into the store and read each back. All files hold the same keys."""
    config = facts.servers[0].config
    for key in () if config is None else effective.static_keys(config):
        record = world.store.put(key, origin="imported")
        read_back(world, key)
        if record.state is KeyState.DEACTIVATED:
            # It is in the files, so somebody put it back: what is in use must not look as if it could be destroyed.
            world.store.note_state(key.ref, KeyState.ACTIVE)


def read_back(world: World, key: Key) -> None:
    """The store gives `key` back, byte for byte, or `StoppedError`."""
    stored = world.store.get(key.ref)
    if stored is None or stored.fingerprint != key.fingerprint:
        raise StoppedError(
            f"the key store at {world.store.location} does not give {key.ref} back",
            hint="mend the store; no file has this key yet unless it was there before",
            rule="secured",
        )


def save_snapshots(
    world: World, config: EncryptionConfig | None, *, tag: str, reporter: Reporter
) -> tuple[KeptSnapshot, ...]:
    """Save a snapshot of each etcd, open every value in it, and register it with the keys it needs.

    Raises `StoppedError` for a snapshot with a value that does not open: it would not be a way back.
    """
    world.snapshot_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tuple(_save(world, number, config, tag, reporter) for number in range(len(world.etcds)))


def open_archive(
    world: World, paths: Sequence[Path], config: EncryptionConfig, old: tuple[KeyRef, ...]
) -> dict[KeyRef, int]:
    """How many values of the snapshots at `paths` each of `old` opens; `config` has their bytes from the key store.

    Raises `StoppedError` when a value under one of them does not open: the store's copy is not the key that wrote it.
    """
    opened = dict.fromkeys(old, 0)
    for path in paths:
        if not path.exists():
            raise StoppedError(
                f"the snapshot {path}, taken before the rotation, is gone",
                cause="nothing else proves that the store's copy of the old key opens what was written under it",
                hint="put the file back there, then: keyctl rotate --resume; or go back: keyctl rotate --abort",
                rule="resecured",
            )
        found = scan(world.open_snapshot(path), prefix=world.prefix, config=config)
        for group in found.groups:
            if group.ref not in opened or group.ref is None:
                continue
            if group.failed or group.not_decrypted:
                raise StoppedError(
                    f"the key store's copy of {group.ref} does not open {group.failed} values of {path}",
                    cause=name_first(found.problems),
                    hint="the key stays in every file; mend the key store, then: keyctl rotate --resume",
                    rule="resecured",
                )
            opened[group.ref] += group.decrypted
    return opened


def _save(world: World, number: int, config: EncryptionConfig | None, tag: str, reporter: Reporter) -> KeptSnapshot:
    path = _free_path(world.snapshot_directory, f"{world.cluster}-{tag}-{number}")
    reporter.event(Event("step", f"saving a snapshot of etcd to {path}"))
    # NOTE: registered before it is there: a run that is cut off leaves no snapshot that nobody knows of.
    _register(world, KeptSnapshot(path, "", 0, 0, _all_keys(config)))
    # NOTE: a big snapshot takes longer than the Lease lasts.
    try:
        saved = world.etcds[number].etcd.save_snapshot(path, progress=lambda _done, _all: world.lease.check())
        try:
            return _examine(world, saved, config)
        except (KeyctlError, KeyboardInterrupt):
            # NOTE: what failed first is what is told.
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
    except (KeyctlError, KeyboardInterrupt):
        # NOTE: a file that is there and forgotten would not hold back the destruction of the keys that it needs.
        if is_gone(path):
            with suppress(KeyctlError):
                world.store.forget_backup(str(path.absolute()))
        raise


def _examine(world: World, saved: SavedSnapshot, config: EncryptionConfig | None) -> KeptSnapshot:
    """Open every value of `saved`, and register it with the keys that it needs."""
    found = scan(world.open_snapshot(saved.path), prefix=world.prefix, config=config)
    if found.unreadable:
        raise StoppedError(
            f"the snapshot {saved.path} held {found.unreadable} values that cannot be decrypted",
            cause=name_first(found.problems),
            hint="nothing else was changed; keyctl verify-secrets names the values in etcd",
            rule="secured",
        )
    kept = KeptSnapshot(saved.path, saved.sha256, saved.size, found.revision, _needs(found), _plugins(found))
    _register(world, kept)
    return kept


def _register(world: World, kept: KeptSnapshot) -> None:
    # NOTE: every value was opened, with keys that were put into the store, and read back, before that.
    prints = {record.ref: record.fingerprint for record in world.store.records()}
    world.store.note_backup(
        Backup(
            kind=BackupKind.SNAPSHOT,
            location=str(kept.path.absolute()),
            at=world.clock.now().isoformat(),
            revision=kept.revision,
            needs=(*kept.needs, *dict.fromkeys(ref for ref, _ in kept.plugins)),
            sha256=kept.sha256,
            fingerprints=tuple((ref, prints[ref]) for ref in kept.needs if ref in prints),
            key_ids=tuple((ref, key_id) for ref, key_id in kept.plugins if key_id),
        )
    )


def _all_keys(config: EncryptionConfig | None) -> tuple[KeyRef, ...]:
    return () if config is None else tuple(key.ref for key in effective.static_keys(config))


def _needs(found: Scan) -> tuple[KeyRef, ...]:
    refs = {group.ref for group in found.groups if group.ref is not None}
    return tuple(sorted((ref for ref in refs if ref.provider in STATIC_PROVIDERS), key=str))


def _plugins(found: Scan) -> tuple[tuple[KeyRef, str | None], ...]:
    # NOTE: their keys are at a KMS: nothing here can hold one back, and who restores the snapshot must know of it.
    pairs = ((group.ref, group.key_id) for group in found.groups if group.ref is not None)
    return tuple(dict.fromkeys((ref, key_id) for ref, key_id in pairs if ref.provider is Provider.KMS))


def _free_path(directory: Path, stem: str) -> Path:
    """A name that is not taken: a run that was cut off may have left a snapshot that nobody knows of."""
    path, number = directory / f"{stem}.db", 1
    while path.exists():
        number += 1
        path = directory / f"{stem}-{number}.db"
    return path
