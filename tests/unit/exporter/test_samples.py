"""From facts to numbers: each state of each thing, what is not known has no number, and nobody's Secret is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyctl.encryption_config.model import EncryptionConfig
from keyctl.etcd.interface import Alarm, EndpointStatus
from keyctl.exporter.facts import (
    AlarmsSeen,
    BackupsSeen,
    CertificateSeen,
    CertificatesSeen,
    EtcdSeen,
    Facts,
    KeysSeen,
    RotationSeen,
    ServersSeen,
    ValuesSeen,
)
from keyctl.exporter.samples import samples
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.key import Key
from keyctl.keys.ledger import KeyRecord, KeyState, Origin, StateChange
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.facts import ServerSeen
from keyctl.verify.values import verify
from tests.support import accidents, seal
from tests.support.memory_source import MemorySource

NEW, OLD = seal.key("new"), seal.key("old", fill=2)
CONFIG, BEFORE = seal.config(NEW, OLD), seal.config(OLD)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def told(facts: Facts) -> dict[tuple[str, ...], float]:
    """Name and labels → number; two of one name and the same labels fail."""
    found = [((one.family.name.removeprefix("keyctl_"), *one.labels), one.value) for one in samples(facts)]
    assert len(dict(found)) == len(found)
    return dict(found)


def at(name: str, resource: str = "secrets") -> bytes:
    return f"/registry/{resource}/default/{name}".encode()


def sealed(key: Key, *names: str) -> dict[bytes, bytes]:
    return {at(name): seal.seal(key, at(name), seal.secret(name)) for name in names}


def values(stored: dict[bytes, bytes], config: EncryptionConfig | None = CONFIG) -> dict[tuple[str, ...], float]:
    return told(ValuesSeen(verify(MemorySource(stored), prefix="/registry", config=config), unread=0))


def test_values_are_counted_by_resource_key_and_state() -> None:
    unreadable = {at("broken"): seal.seal(seal.key("new", fill=9), at("broken"), seal.secret("broken"))}
    stored = sealed(NEW, "a", "b") | sealed(OLD, "c") | {at("open"): seal.secret("open")} | unreadable
    seen = values(stored | {at("cm", "configmaps"): seal.config_map("cm")})
    assert {key[1:]: value for key, value in seen.items() if key[0] == "stored_values"} == {
        ("secrets", "aescbc", "new", "ok"): 2,
        ("secrets", "aescbc", "old", "stale"): 1,
        ("secrets", "aescbc", "new", "unreadable"): 1,
        ("secrets", "identity", "", "plaintext"): 1,
    }
    assert seen["stored_values_read",] == 6
    assert seen["stored_plaintext_values", "secrets"] == 1
    assert seen["stored_stale_values", "secrets"] == 1
    assert seen["stored_unreadable_values", "secrets"] == 1
    assert seen["verify_exit_code",] == 13
    assert seen["verify_revision",] == 1000
    assert not [key for key in seen if "configmaps" in key]


def test_where_all_is_right_the_counts_of_what_is_wrong_are_zero_and_not_absent() -> None:
    seen = values(sealed(NEW, "a"))
    wrong = [
        seen[name, "secrets"] for name in ("stored_plaintext_values", "stored_stale_values", "stored_unreadable_values")
    ]
    assert wrong == [0, 0, 0]
    assert seen["verify_exit_code",] == 0


def test_without_a_configuration_what_is_sealed_is_unopened_and_not_right() -> None:
    seen = values(sealed(NEW, "a") | {at("open"): seal.secret("open")}, None)
    assert seen["stored_values", "secrets", "aescbc", "new", "unopened"] == 1
    assert seen["stored_plaintext_values", "secrets"] == 1
    assert ("stored_values", "secrets", "aescbc", "new", "ok") not in seen


def test_nothing_stored_is_not_clean() -> None:
    assert values({})["verify_exit_code",] == 10


def test_no_name_of_a_secret_is_among_the_labels() -> None:
    seen = values(sealed(NEW, "very-own-name") | sealed(OLD, "another-name") | {at("a-third"): seal.secret("a-third")})
    assert not [key for key in seen for part in key if "name" in part or "third" in part]


def servers(*seen: ServerSeen, probes: tuple[ServerProbe, ...] = ()) -> dict[tuple[str, ...], float]:
    cluster = replace(accidents.facts(seen), values=None)
    told_by = probes or tuple(ServerProbe(one.name, ready=one.ready) for one in seen)
    return told(ServersSeen(cluster, diagnose(cluster), told_by))


def states(seen: dict[tuple[str, ...], float]) -> dict[str, str]:
    return {key[1]: key[2] for key, value in seen.items() if key[0] == "apiserver_state" and value}


def test_servers_that_agree_are_one_configuration_and_ok() -> None:
    seen = servers(accidents.server("cp1", CONFIG), accidents.server("cp2", CONFIG))
    assert states(seen) == {"cp1": "ok", "cp2": "ok"}
    assert seen["apiserver_configurations",] == 1
    assert seen["apiserver_writes", "cp1", "secrets", "aescbc", "new"] == 1
    assert not [key for key in seen if key[0] == "findings"]


def test_each_state_of_a_server_is_told() -> None:
    waiting = accidents.server("waiting", BEFORE, CONFIG)
    down = replace(accidents.server("down", CONFIG), answers=False, ready=False, loaded_hash=None, loaded_by="")
    unflagged = accidents.server("unflagged", None, flag=False)
    unasked = replace(down, name="unasked", asked=False)
    seen = servers(accidents.server("fine", CONFIG), waiting, down, unflagged, unasked)
    assert states(seen) == {
        "fine": "ok",
        "waiting": "waiting",
        "down": "down",
        "unflagged": "no-flag",
        "unasked": "unknown",
    }
    assert seen["apiserver_ready", "down"] == 0
    assert ("apiserver_ready", "unasked") not in seen
    assert not [key for key in seen if key[0] == "apiserver_writes" and key[1] == "down"]
    assert [key for key in seen if key[0] == "findings"]


def test_servers_that_write_what_others_cannot_read_differ() -> None:
    seen = servers(accidents.server("cp1", CONFIG), accidents.server("cp2", BEFORE))
    assert states(seen) == {"cp1": "differs", "cp2": "differs"}
    assert seen["apiserver_configurations",] == 2


def test_without_their_files_servers_agree_by_their_hashes() -> None:
    blind = [
        replace(accidents.server(name, config), file=None, file_problem="no way there", flag=None)
        for name, config in (("cp1", CONFIG), ("cp2", CONFIG), ("cp3", BEFORE))
    ]
    assert servers(*blind[:2])["apiserver_configurations",] == 1
    assert servers(*blind)["apiserver_configurations",] == 2
    assert not [key for key in servers(*blind) if key[0] == "apiserver_writes"]


def test_reloads_are_told_only_of_servers_that_answer() -> None:
    up = accidents.server("cp1", CONFIG, reloads=True)
    down = replace(up, name="cp2", answers=False, ready=False)
    probe = ServerProbe("", ready=True, start_time=5.0, reloads=3, reload_failures=2, reloaded_at=77.0)
    seen = servers(up, down, probes=(probe, ServerProbe("", ready=False)))
    assert seen["apiserver_reloads_total", "cp1"] == 3
    assert seen["apiserver_reload_failures_total", "cp1"] == 2
    assert seen["apiserver_last_reload_timestamp_seconds", "cp1"] == 77
    assert not [key for key in seen if "reload" in key[0] and key[1] == "cp2"]


STATUS = EndpointStatus("https://10.0.0.1:2379", "3.7.3", "c", "1", 9, 1000, 2000, 900, leader="1")


def test_a_server_whose_metrics_were_not_read_has_no_reloads_rather_than_none_that_failed() -> None:
    up = accidents.server("cp1", CONFIG, reloads=True)
    seen = servers(up, probes=(ServerProbe("", ready=True, problem="its metrics cannot be read: 403"),))
    assert not [key for key in seen if "reload" in key[0]]


def test_of_an_endpoint_that_does_not_answer_nothing_is_known() -> None:
    seen = told(
        EtcdSeen(
            (("https://a:1", STATUS), ("https://b:1", None), ("https://c:1", replace(STATUS, leader="0", quota=0)))
        )
    )
    assert seen["etcd_endpoint_up", "https://a:1"] == 1
    assert [seen[name, "https://a:1"] for name in ("etcd_database_size_bytes", "etcd_database_in_use_bytes")] == [
        1000,
        900,
    ]
    assert seen["etcd_quota_bytes", "https://a:1"] == 2000
    assert {key: value for key, value in seen.items() if key[1] == "https://b:1"} == {
        ("etcd_endpoint_up", "https://b:1"): 0
    }
    assert seen["etcd_has_leader", "https://c:1"] == 0
    assert ("etcd_quota_bytes", "https://c:1") not in seen


def test_alarms_that_do_not_stand_are_zero() -> None:
    seen = told(AlarmsSeen((("main", (Alarm("1", "NOSPACE"), Alarm("2", "NOSPACE")), 3), ("events", (), 1))))
    assert seen["etcd_alarms", "main", "NOSPACE"] == 2
    assert [seen["etcd_alarms", *of] for of in (("main", "CORRUPT"), ("events", "NOSPACE"))] == [0, 0]
    assert seen["etcd_members", "main"] == 3


def test_a_certificate_that_cannot_be_read_has_no_end() -> None:
    read = CertificateSeen("file", "/pki/a.crt", NOON, NOON + timedelta(days=1))
    seen = told(CertificatesSeen((read, CertificateSeen("presented", "https://b"))))
    assert seen["certificate_not_after_timestamp_seconds", "file", "/pki/a.crt"] == NOON.timestamp() + 86_400
    assert seen["certificate_not_before_timestamp_seconds", "file", "/pki/a.crt"] == NOON.timestamp()
    assert seen["certificate_readable", "file", "/pki/a.crt"] == 1
    assert {key: value for key, value in seen.items() if "https://b" in key} == {
        ("certificate_readable", "presented", "https://b"): 0
    }


def record(name: str, *changes: tuple[KeyState, int]) -> KeyRecord:
    history = tuple(StateChange(state, (NOON - timedelta(days=days)).isoformat()) for state, days in changes)
    key = seal.key(name, fill=len(name))
    return KeyRecord(key.ref, key.fingerprint, Origin.GENERATED, history)


def test_a_keys_age_begins_when_it_came_into_use_and_a_destroyed_one_has_none() -> None:
    active = record("active", (KeyState.PRE_ACTIVATION, 12), (KeyState.ACTIVE, 10))
    gone = record("destroyed", (KeyState.ACTIVE, 90), (KeyState.DEACTIVATED, 10), (KeyState.DESTROYED, 1))
    seen = told(KeysSeen((active, gone), timedelta(days=90)))
    assert seen["key_in_use_since_timestamp_seconds", "aescbc", "active"] == (NOON - timedelta(days=10)).timestamp()
    assert ("key_in_use_since_timestamp_seconds", "aescbc", "destroyed") not in seen
    assert seen["key_state", "aescbc", "active", "active"] == 1
    assert seen["key_state", "aescbc", "active", "compromised"] == 0
    assert (seen["keys", "active"], seen["keys", "destroyed"], seen["keys", "compromised"]) == (1, 1, 0)
    assert seen["key_max_age_seconds",] == 90 * 86_400


def test_an_age_that_the_ledger_does_not_tell_is_absent() -> None:
    odd = replace(record("odd", (KeyState.ACTIVE, 1)), history=(StateChange(KeyState.ACTIVE, "some day"),))
    assert ("key_in_use_since_timestamp_seconds", "aescbc", "odd") not in told(KeysSeen((odd,), timedelta(days=1)))


def test_a_name_that_reads_like_a_key_is_shortened() -> None:
    name = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
    seen = told(KeysSeen((record(name, (KeyState.ACTIVE, 1)),), timedelta(days=1)))
    assert not [part for key in seen for part in key if name in part]


def backup(location: str, days: int) -> Backup:
    at = (NOON - timedelta(days=days)).isoformat()
    return Backup(BackupKind.SNAPSHOT, location, at, 5, (NEW.ref,), "00")


def test_a_snapshot_that_is_not_there_is_no_newest_one() -> None:
    days = {proof: (NOON - timedelta(days=number)).isoformat() for number, proof in enumerate(Proof)}
    snapshots = (backup("/b/1", 3), backup("/b/2", 2), backup("/b/3", 1))
    tests = (Proven(days[Proof.SERVED], Proof.SERVED), Proven(days[Proof.FAILED], Proof.FAILED))
    seen = told(BackupsSeen(snapshots, frozenset({"/b/3"}), timedelta(hours=24), tests))
    assert seen["backup_newest_timestamp_seconds",] == (NOON - timedelta(days=2)).timestamp()
    assert (seen["backups",], seen["backups_missing",], seen["backup_max_age_seconds",]) == (3, 1, 86_400)
    assert seen["backup_tested_timestamp_seconds", "served"] == datetime.fromisoformat(days[Proof.SERVED]).timestamp()
    assert seen["backup_tested_timestamp_seconds", "failed"] == datetime.fromisoformat(days[Proof.FAILED]).timestamp()
    assert ("backup_tested_timestamp_seconds", "opened") not in seen


def test_without_a_snapshot_there_is_a_zero_and_no_moment() -> None:
    seen = told(BackupsSeen((), frozenset(), timedelta(hours=24)))
    assert set(seen) == {("backups",), ("backups_missing",), ("backup_max_age_seconds",)}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (RotationSeen(), {("rotation_under_way",): 0}),
        (
            RotationSeen(NOON.isoformat(), (NOON + timedelta(minutes=1)).isoformat()),
            {
                ("rotation_under_way",): 1,
                ("rotation_begun_timestamp_seconds",): NOON.timestamp(),
                ("rotation_last_event_timestamp_seconds",): NOON.timestamp() + 60,
            },
        ),
    ],
)
def test_a_rotation_is_told_while_it_is_under_way(facts: Facts, expected: dict[tuple[str, ...], float]) -> None:
    assert told(facts) == expected
