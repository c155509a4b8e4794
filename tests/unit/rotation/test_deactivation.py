"""R4: a key is noted as out of use when no file has it and no value stands under it, and each use is a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.rotation.deactivation import Deactivation
from keyctl.rotation.destruction import Destruction
from keyctl.rotation.journal import LocalLock
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import KEY_0, KEY_1, SECRETS, configuration
from tests.support.simulator import SimCluster

OLD = KEY_0
MAIN = "https://10.0.0.9:2379"
BOTH_KEYS = configuration((("secrets",), KEY_1), (("leases.coordination.k8s.io",), OLD))
NEVER_USED = Key(Provider.AESCBC, "never", bytes(range(32, 64)))
SNAPSHOT = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 90, (OLD.ref,), "ab" * 32)


@pytest.fixture
def cluster(tmp_path: Path) -> SimCluster:
    """Under `KEY_1`; the ledger has `OLD` as active, and it is in no file and under no value."""
    made = SimCluster(tmp_path)
    for key in (KEY_1, OLD):
        made.store_keys.put(key, origin="imported")
    made.store_keys.put(NEVER_USED, origin="generated")
    made.switch.labels.clear()
    return made


def deactivation(cluster: SimCluster, ref: KeyRef = OLD.ref) -> Deactivation:
    journal = cluster.journal()
    return Deactivation(cluster.world(), journal, LocalLock(journal.path.parent), Watcher(), ref)


def state_of(cluster: SimCluster, ref: KeyRef = OLD.ref) -> str:
    return next(record.state for record in cluster.store_keys.records() if record.ref == ref)


def only_reason(cluster: SimCluster, ref: KeyRef = OLD.ref) -> str:
    """Why it is refused; nothing has changed and nothing stays locked."""
    before = cluster.store_keys.records()
    with pytest.raises(RefusedError) as caught:
        deactivation(cluster, ref).carry_out()
    assert caught.value.rule == "R4"
    assert "is not deactivated" in str(caught.value)
    assert cluster.store_keys.records() == before
    assert cluster.lease_record.place is None
    (reason,) = (caught.value.cause or "").splitlines()
    return reason


@pytest.mark.parametrize("ref", [OLD.ref, NEVER_USED.ref], ids=["active", "never used"])
def test_a_key_that_nothing_uses_is_noted_as_deactivated_and_nothing_else_is_done(
    cluster: SimCluster, ref: KeyRef
) -> None:
    assert deactivation(cluster, ref).carry_out().state == "deactivated"
    assert cluster.switch.labels == ["store-note-backup", "store-note-state"]
    assert cluster.store_keys.get(ref) is not None
    assert cluster.lease_record.place is None


def test_checking_changes_nothing_and_takes_no_lease(cluster: SimCluster) -> None:
    cluster.lease_record.place, cluster.lease_record.renewed = "elsewhere", cluster.clock.monotonic()
    assert deactivation(cluster).check().state == "active"
    assert cluster.switch.labels == []


def test_the_key_that_writes_is_in_use(cluster: SimCluster) -> None:
    with pytest.raises(RefusedError) as caught:
        deactivation(cluster, KEY_1.ref).carry_out()
    assert f"cp1 still has it in {CONFIG_PATH}" in (caught.value.cause or "")
    assert state_of(cluster, KEY_1.ref) == "active"


def test_one_file_that_no_server_has_loaded_yet_is_a_use(cluster: SimCluster) -> None:
    cluster.change_file("cp2", BOTH_KEYS)
    with pytest.raises(RefusedError) as caught:
        deactivation(cluster).carry_out()
    assert f"cp2 still has it in {CONFIG_PATH}" in (caught.value.cause or "")


def test_one_live_value_is_a_use(cluster: SimCluster) -> None:
    value = f"k8s:enc:{OLD.provider}:v1:{OLD.name}:".encode() + bytes(64)
    cluster.etcds[MAIN].put(b"/registry/configmaps/default/left", value)
    assert only_reason(cluster) == "live values stand under it: 1 (1 of configmaps)"


def test_a_server_that_may_have_it_in_memory_is_a_doubt(cluster: SimCluster) -> None:
    cluster.change_file("cp2", SECRETS + b"# and more\n")
    assert only_reason(cluster) == "cp2 has not loaded the file that is on its host"


def test_while_a_rotation_is_under_way_no_key_is_deactivated(cluster: SimCluster) -> None:
    cluster.journal().append("begin", cluster.clock.now(), {"plan": {}})
    assert only_reason(cluster) == "a rotation of this cluster is under way"


def test_a_rotation_that_was_begun_elsewhere_is_seen_by_its_key_in_a_file(tmp_path: Path) -> None:
    text = configuration((("secrets",), KEY_1), (("leases.coordination.k8s.io",), NEVER_USED))
    cluster = SimCluster(tmp_path, config=text)
    cluster.store_keys.put(OLD, origin="imported")
    cluster.store_keys.put(NEVER_USED, origin="generated")
    assert only_reason(cluster).startswith("a rotation may be under way elsewhere: aescbc/never is in a file")
    cluster.store_keys.note_state(NEVER_USED.ref, "active")
    assert deactivation(cluster).carry_out().state == "deactivated"


def test_r4_a_write_that_lands_late_under_a_key_that_was_just_taken_out_by_hand_finds_the_key(
    cluster: SimCluster,
) -> None:
    deactivation(cluster).carry_out()
    asked = Destruction(
        cluster.world(), cluster.journal(), LocalLock(cluster.journal().path.parent), Watcher(), OLD.ref
    )
    with pytest.raises(RefusedError) as caught:
        asked.carry_out()
    assert (caught.value.cause or "").startswith(f"etcd {MAIN} still has revisions before ")
    value = f"k8s:enc:{OLD.provider}:v1:{OLD.name}:".encode() + bytes(64)
    cluster.etcds[MAIN].put(b"/registry/secrets/default/late", value)
    cluster.etcds[MAIN].forget_before(cluster.etcds[MAIN].revision)
    with pytest.raises(RefusedError, match="is not destroyed") as caught:
        asked.carry_out()
    assert caught.value.cause == "live values stand under it: 1 (1 of secrets)"
    cluster.etcds[MAIN].remove(b"/registry/secrets/default/late")
    assert asked.carry_out().state == "destroyed"


def test_a_backup_that_needs_it_is_no_use_of_it(cluster: SimCluster) -> None:
    cluster.store_keys.note_backup(SNAPSHOT)
    assert deactivation(cluster).carry_out().state == "deactivated"


def test_an_etcd_that_is_down_is_never_taken_for_one_without_the_key(cluster: SimCluster) -> None:
    cluster.etcds[MAIN].down = True
    with pytest.raises(UnreachableError):
        deactivation(cluster).carry_out()
    assert state_of(cluster) == "active"


def test_one_that_is_deactivated_already_is_looked_for_and_left_as_it_is(cluster: SimCluster) -> None:
    first = deactivation(cluster).carry_out()
    cluster.switch.labels.clear()
    assert deactivation(cluster).carry_out() == first
    assert cluster.switch.labels == []
    cluster.change_file("cp2", BOTH_KEYS)
    with pytest.raises(RefusedError):
        deactivation(cluster).carry_out()


@pytest.mark.parametrize("states", [("compromised",), ("deactivated", "destroyed")])
def test_there_is_no_way_back_from_worse_states(cluster: SimCluster, states: tuple[str, ...]) -> None:
    for state in states:
        cluster.store_keys.note_state(OLD.ref, state)
    with pytest.raises(RefusedError, match=f"is {states[-1]}, which is past being deactivated"):
        deactivation(cluster).carry_out()
    assert state_of(cluster) == states[-1]


def test_a_key_that_the_store_never_had_is_unusable_input(cluster: SimCluster) -> None:
    with pytest.raises(UnusableInputError, match="there is no key aescbc/nobody"):
        deactivation(cluster, KeyRef(Provider.AESCBC, "nobody")).check()


def test_r8_the_lease_and_the_lock_keep_others_away(cluster: SimCluster) -> None:
    cluster.lease_record.place, cluster.lease_record.renewed = "elsewhere", cluster.clock.monotonic()
    with pytest.raises(RefusedError) as caught:
        deactivation(cluster).carry_out()
    assert caught.value.rule == "R8"
    cluster.lease_record.place = None
    lock = LocalLock(cluster.journal().path.parent)
    lock.acquire()
    with pytest.raises(RefusedError) as caught:
        deactivation(cluster).carry_out()
    assert caught.value.rule == "R8"
    lock.release()
    assert state_of(cluster) == "active"


def test_r8_a_lease_that_was_lost_while_everything_was_read_ends_it(cluster: SimCluster) -> None:
    def lose() -> None:
        cluster.lease_record.place, cluster.lease_record.renewed = "elsewhere", cluster.clock.monotonic()

    cluster.etcds[MAIN].between_pages = lose
    with pytest.raises(StoppedError):
        deactivation(cluster).carry_out()
    assert state_of(cluster) == "active"
