"""Rotations whose keys are in a real OpenBao: from the first key to the last proof, and with it sealed half-way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import StoppedError
from keyctl.keys.vault.policies import Role, policy
from keyctl.keys.vault.settings import VaultPlace
from keyctl.rotation.plan import State
from keyctl.rotation.world import World
from tests.support import bao_store
from tests.support.openbao import RunningBao
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, begin, go_on, plans

pytestmark = pytest.mark.live


class VaultCluster(SimCluster):
    """A simulated cluster that keeps its keys in `mount`, with a rotator's token."""

    vault: tuple[RunningBao, str, str]

    def world(self, *, place: str = "here") -> World:
        bao, mount, token = self.vault
        store = bao_store.store(bao, mount, self.directory / "seen", token=token)
        return replace(super().world(place=place), store=store)


@pytest.fixture
def cluster(bao: RunningBao, mount: str, tmp_path: Path) -> VaultCluster:
    name = bao.policy(f"rotator-{mount}", policy(Role.ROTATOR, VaultPlace(mount, "clusters/prod")))
    made = VaultCluster(tmp_path)
    made.vault = (bao, mount, bao.token(name, no_default_policy=True))
    return made


def states(cluster: VaultCluster) -> dict[str, str]:
    return {record.ref.name: record.state for record in cluster.world().store.records()}


def test_a_rotation_keeps_every_key_of_its_life_in_the_vault(cluster):
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    (plan,) = plans(cluster)
    store = cluster.world().store
    assert states(cluster)[plan.new.name] == "active"
    assert "deactivated" in states(cluster).values()
    assert all(store.get(record.ref) is not None for record in store.records())
    assert {backup.kind for backup in store.backups()} == {"snapshot", "history"}


@pytest.mark.parametrize(
    "moment", ["state adding", "state switched", "state verified", "proof history", "state retired"]
)
def test_with_the_vault_sealed_half_way_it_stops_and_goes_on_when_it_is_unsealed(cluster, bao, moment):
    sealed: list[str] = []

    def seal(label: str) -> None:
        if label == f"journal {moment}" and not sealed:
            bao.seal()
            sealed.append(label)

    cluster.switch.after = seal
    try:
        with pytest.raises(StoppedError) as caught:
            begin(cluster.session(), ROTATE)
    finally:
        if sealed:
            bao.unseal()
    assert sealed, cluster.switch.labels
    assert "sealed" in f"{caught.value} {caught.value.cause}"
    assert go_on(cluster, ROTATE).state is State.RETIRED
    assert sorted(states(cluster).values()) == ["active", "deactivated"]
