"""State `secured`: every key in the store and read back, a snapshot taken and its values opened."""

from __future__ import annotations

from pathlib import Path

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import StoppedError
from keyctl.etcd.interface import SavedSnapshot
from keyctl.keys.key import Key
from keyctl.rotation.preflight import Facts
from keyctl.rotation.scan import name_first, scan
from keyctl.rotation.world import Event, Reporter, World


def keep_keys(world: World, facts: Facts) -> None:
    """Import every key of every file into the store and read each back. All files hold the same keys."""
    config = facts.servers[0].config
    for key in () if config is None else effective.static_keys(config):
        world.store.put(key, origin="imported")
        read_back(world, key)


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
) -> tuple[SavedSnapshot, ...]:
    """Save a snapshot of each etcd and open every value in it.

    Raises `StoppedError` for a snapshot with a value that does not open: it would not be a way back.
    """
    saved = []
    world.snapshot_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, place in enumerate(world.etcds):
        path = world.snapshot_directory / f"{world.cluster}-{tag}-{number}.db"
        reporter.event(Event("step", f"saving a snapshot of etcd to {path}"))
        # NOTE: a big snapshot takes longer than the Lease lasts.
        snapshot = place.etcd.save_snapshot(path, progress=lambda _done, _all: world.lease.check())
        _open_all(world, path, config)
        saved.append(snapshot)
    return tuple(saved)


def _open_all(world: World, path: Path, config: EncryptionConfig | None) -> None:
    found = scan(world.open_snapshot(path), prefix=world.prefix, config=config)
    if found.unreadable:
        raise StoppedError(
            f"the snapshot {path} holds {found.unreadable} values that cannot be decrypted",
            cause=name_first(found.problems),
            hint="nothing else was changed; keyctl verify-secrets names the values in etcd",
            rule="secured",
        )
