"""Back to plaintext by the same machine: identity is the new key, by the same proofs, and every key leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import IdentityReader
from keyctl.errors import RefusedError
from keyctl.keys.ledger import KeyState
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from keyctl.rotation.stages import IDENTITY
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import KEY_0, KEY_1, KMS_CONFIGMAPS, configuration
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import (
    DISABLE,
    ENABLE,
    KEY_2,
    SCENES,
    Scene,
    after,
    assert_done,
    begin,
    have_old_key,
    plans,
    proofs_of,
    skip_slow_parts,
    states_of_keys,
    stops,
)

BEFORE_IDENTITY, WITHOUT, TWO_KEYS = SCENES[7:10]
EACH = pytest.mark.parametrize("scene", [BEFORE_IDENTITY, WITHOUT, TWO_KEYS], ids=lambda scene: scene.name)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


@EACH
def test_disabled_every_value_is_plaintext_and_no_key_is_in_any_file(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    finished = begin(cluster.session(), DISABLE)
    assert finished.state is State.RETIRED
    assert plans(cluster)[0].new == IDENTITY
    for server in cluster.servers:
        (entry,) = decode(server.host.files[CONFIG_PATH].content, name="enc.yaml").config.entries
        assert [reader for element in entry.providers for reader in element.readers] == [IdentityReader()]
    assert proofs_of(cluster) == ["switched", "verified", "history", "resecured", "retired"]
    assert_done(cluster, scene)


def test_the_keys_that_left_stay_in_the_store_out_of_use(tmp_path: Path) -> None:
    cluster = TWO_KEYS.cluster(tmp_path)
    begin(cluster.session(), DISABLE)
    assert states_of_keys(cluster) == {KEY_1.ref: KeyState.DEACTIVATED, KEY_2.ref: KeyState.DEACTIVATED}
    assert cluster.store_keys.get(KEY_1.ref) == KEY_1


@EACH
def test_disabled_while_others_write_no_value_stays_encrypted(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    cluster.write_now_and_then(period=0.3)
    begin(cluster.session(), DISABLE)
    assert_done(cluster, scene)


def test_r3_a_value_that_lands_late_under_the_key_brings_it_back_everywhere(tmp_path: Path) -> None:
    cluster = BEFORE_IDENTITY.cluster(tmp_path)
    land = cluster.hold_until_told("cp2", "secrets", "default", "late")
    after(cluster, "cp2: restart", land, nth=2)
    assert stops(cluster, DISABLE).rule == "R3"
    assert have_old_key(cluster) == [True] * 3
    assert cluster.under("secrets") == {b"plaintext"}
    assert not cluster.still_excused()
    cluster.session().resume()
    assert_done(cluster, BEFORE_IDENTITY)


def test_only_the_entries_asked_for_become_plaintext(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("configmaps",), KEY_0)))
    begin(cluster.session(), Wish(Goal.DISABLE, resources=("secrets",)))
    assert cluster.under("secrets") == {b"plaintext"}
    assert cluster.under("configmaps") == {b"k8s:enc:aescbc:v1:key0"}
    assert states_of_keys(cluster) == {KEY_1.ref: KeyState.DEACTIVATED, KEY_0.ref: KeyState.ACTIVE}


def test_an_entry_of_a_kms_plugin_is_left_alone(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=KMS_CONFIGMAPS)
    begin(cluster.session(), DISABLE)
    assert cluster.under("secrets") == {b"plaintext"}
    assert all(value.startswith(b"k8s:enc:kms:v2:vault") for value in cluster.under("configmaps"))


def test_a_cluster_that_encrypts_nothing_has_nothing_to_disable(tmp_path: Path) -> None:
    for name, config in (("no flag", None), ("disabled", BEFORE_IDENTITY.config)):
        cluster = SimCluster(tmp_path / name, config=config)
        if config is not None:
            begin(cluster.session(), DISABLE)
        effects = len(cluster.switch.labels)
        assert isinstance(stops(cluster, DISABLE), RefusedError)
        assert len(cluster.switch.labels) == effects


@pytest.mark.parametrize("scene", [BEFORE_IDENTITY, WITHOUT], ids=lambda scene: scene.name)
def test_what_was_disabled_can_be_enabled_again_with_a_new_key(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    begin(cluster.session(), DISABLE)
    begin(cluster.session(), ENABLE)
    _, again = plans(cluster)
    assert cluster.under("secrets") == {f"k8s:enc:aescbc:v1:{again.new.name}".encode()}
    assert again.new != KEY_1.ref
