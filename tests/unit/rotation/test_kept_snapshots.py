"""A snapshot that a rotation could not keep is gone and forgotten, or there and known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.errors import KeyctlError, StoppedError, UnusableInputError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.secure import KeptSnapshot, save_snapshots
from keyctl.stored.source import ValueSource
from tests.support.sim_etcd import SimEtcd
from tests.support.sim_parts import Watcher
from tests.support.sim_texts import KEY_1, KMS_SECRETS, SECRETS
from tests.support.simulator import SimCluster


def keep(cluster: SimCluster, open_snapshot: Callable[[Path], ValueSource] | None = None) -> tuple[KeptSnapshot, ...]:
    world = cluster.world()
    world.lease.acquire()
    if open_snapshot is not None:
        world = replace(world, open_snapshot=open_snapshot)
    config = decode(SECRETS, name="config").config
    return save_snapshots(world, config, tag="before", reporter=Watcher())


def files(cluster: SimCluster) -> list[str]:
    return [str(path) for path in cluster.world().snapshot_directory.iterdir()]


def noted(cluster: SimCluster) -> list[str]:
    return [backup.location for backup in cluster.store_keys.backups()]


def damaged(path: Path) -> ValueSource:
    raise UnusableInputError(f"{path} is damaged")


def interrupted(path: Path) -> ValueSource:
    raise KeyboardInterrupt


CUT_OFF = pytest.mark.parametrize("open_snapshot", [damaged, interrupted])


@CUT_OFF
def test_a_snapshot_that_cannot_be_read_again_does_not_stay(
    tmp_path: Path, open_snapshot: Callable[[Path], ValueSource]
) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises((KeyctlError, KeyboardInterrupt)):
        keep(cluster, open_snapshot)
    assert (files(cluster), noted(cluster)) == ([], [])


@CUT_OFF
def test_one_that_cannot_be_taken_away_again_stays_known_with_every_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_snapshot: Callable[[Path], ValueSource]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    cluster = SimCluster(tmp_path)
    monkeypatch.setattr("keyctl.rotation.secure.Path.unlink", refuse)
    with pytest.raises((KeyctlError, KeyboardInterrupt)):
        keep(cluster, open_snapshot)
    assert files(cluster) == noted(cluster) != []
    assert [backup.needs for backup in cluster.store_keys.backups()] == [(KEY_1.ref,)]


def test_one_that_etcds_client_left_behind_stays_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: SimEtcd, path: Path, **__: object) -> None:
        path.write_bytes(b"whole")
        raise StoppedError("it could not be written")

    cluster = SimCluster(tmp_path)
    monkeypatch.setattr(SimEtcd, "save_snapshot", fail)
    with pytest.raises(StoppedError):
        keep(cluster)
    assert files(cluster) == noted(cluster) != []


def test_one_with_values_of_a_plugin_is_noted_as_needing_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=KMS_SECRETS)
    world = cluster.world()
    world.lease.acquire()
    config = decode(KMS_SECRETS, name="config").config
    (kept,) = save_snapshots(world, config, tag="before", reporter=Watcher())
    (backup,) = cluster.store_keys.backups()
    plugin = KeyRef(Provider.KMS, "vault")
    assert plugin in backup.needs
    assert [ref for ref, _ in kept.plugins] == [plugin]
    assert "kms" not in str(kept.to_record()), "a record tells of keys that the key store has"
