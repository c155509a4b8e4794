"""Would a backup come back: what is opened, what a server is asked, which configuration it takes, what is said."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from keyctl.backup.every_key import every_key
from keyctl.backup.needed_config import needed_entries
from keyctl.backup.restore_report import to_report
from keyctl.backup.restore_test import RestoreTest, Served, Trial, Trialled, restore_test, with_keys
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import ExitCode, RefusedError, UnusableInputError
from keyctl.etcd_files.source import SnapshotSource
from keyctl.keys.backups import Proof
from keyctl.keys.key import Key, Provider
from keyctl.keys.ledger import KeyRecord
from keyctl.reports.text import render
from tests.support import seal
from tests.support.memory_store import MemoryKeyStore
from tests.unit.backup.databases import Written, snapshot

OLD, NEW = seal.key("old", fill=1), seal.key("a:b", Provider.AESGCM, fill=2)
SAME = Key(OLD.provider, "other-name", OLD.material)


def at(name: str, resource: str = "secrets") -> bytes:
    return f"/registry/{resource}/default/{name}".encode()


def sealed(name: str, key: Key, resource: str = "secrets") -> tuple[bytes, bytes]:
    place = at(name, resource)
    plain = seal.secret(name) if resource == "secrets" else seal.config_map(name)
    return place, seal.seal(key, place, plain)


PLUGIN = b"k8s:enc:kms:v2:vault:" + b"\x0a\x02ab\x12\x03key\x1a\x05wraps"
WRITTEN: list[Written] = [
    (*sealed("a", OLD), 5),
    (*sealed("b", NEW), 6),
    (*sealed("c", NEW), 7),
    (*sealed("m", OLD, "configmaps"), 8),
    (at("n", "configmaps"), seal.config_map("n"), 9),
]


class FakePlane:
    """A control plane that lists `listed` of each resource, and remembers what it was made of."""

    def __init__(self, **listed: int) -> None:
        self.listed, self.trials = listed, list[Trial]()

    def __call__(self, trial: Trial) -> Trialled:
        self.trials.append(trial)
        served = (Served(name, count, self.listed.get(name, count)) for name, count in trial.resources.items())
        return Trialled("v1.37.1", tuple(served))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return snapshot(tmp_path / "s.db", WRITTEN)


def trial(
    path: Path,
    *keys: Key,
    plane: FakePlane | None = None,
    config: EncryptionConfig | None = None,
    records: Sequence[KeyRecord] = (),
    untried: str = "",
) -> RestoreTest:
    return restore_test(
        path,
        prefix="/registry",
        keys=keys,
        config=config,
        records=records,
        open_snapshot=SnapshotSource,
        plane=plane,
        untried=untried,
    )


def test_with_every_key_it_is_served_whole_by_exactly_the_configuration_that_it_needs(path: Path) -> None:
    plane = FakePlane()
    found = trial(path, OLD, NEW, seal.key("unused", fill=9), plane=plane)
    (made,) = plane.trials
    config = decode(made.config, name="made").config
    assert made.resources == {"configmaps": 2, "secrets": 3}
    assert {key.ref: key for key in effective.all_static_keys(config)} == {OLD.ref: OLD, NEW.ref: NEW}
    assert [reader.ref.name for reader in effective.readers(config, "secrets")] == ["a:b", "old"]
    assert [reader.ref.name for reader in effective.readers(config, "configmaps")] == ["old", ""]
    assert (found.proof, to_report(found).exit_code) == (Proof.SERVED, ExitCode.OK)
    assert "kube-apiserver v1.37.1 served them all" in to_report(found).verdict


def test_the_key_that_is_active_writes_whatever_the_numbers(path: Path) -> None:
    store = MemoryKeyStore()
    store.put(OLD, origin="imported")
    found = trial(path, OLD, NEW, records=store.records())
    assert [reader.ref.name for entry in found.entries for reader in entry.readers] == ["old", "old", "a:b"]


def test_no_key_shows_in_what_is_said_or_in_what_is_remembered(path: Path) -> None:
    plane = FakePlane()
    found = trial(path, OLD, NEW, plane=plane)
    said = (
        render(to_report(found), width=None, color=False, unicode=False, wide=True)
        + str(to_report(found).data)
        + repr(found)
        + repr(plane.trials)
    )
    for key in (OLD, NEW):
        assert base64.b64encode(key.material).decode() not in said
        assert key.material.hex() not in said
        assert f"<the key with fingerprint {key.fingerprint}>" in said


def test_a_value_without_its_key_is_told_and_no_server_is_started(path: Path) -> None:
    plane = FakePlane()
    found = trial(path, NEW, plane=plane)
    report = to_report(found)
    assert plane.trials == []
    assert (found.unopened, found.proof, report.exit_code) == (2, Proof.FAILED, ExitCode.UNREADABLE)
    assert [finding.id for finding in report.findings] == ["KC-SNAP-009"]
    assert "they name aescbc/old" in report.findings[0].message


def test_other_bytes_under_the_name_do_not_count_as_the_key(path: Path) -> None:
    found = trial(path, NEW, Key(OLD.provider, OLD.name, bytes(32)))
    assert found.unopened == 2
    assert {need.ref: need.fingerprint for need in found.keys}[OLD.ref] is None


def test_one_name_for_two_keys_is_refused(path: Path) -> None:
    with pytest.raises(RefusedError) as told:
        trial(path, OLD, config=seal.config(Key(OLD.provider, OLD.name, bytes(32))))
    assert told.value.rule == "R5"


def test_a_server_that_lists_fewer_than_are_stored_has_lost_some(path: Path) -> None:
    found = trial(path, OLD, NEW, plane=FakePlane(secrets=2))
    report = to_report(found)
    assert (found.proof, report.exit_code) == (Proof.FAILED, ExitCode.UNREADABLE)
    assert [(finding.id, finding.message) for finding in report.findings] == [
        ("KC-SNAP-010", "secrets: 3 values are stored; it listed 2 objects")
    ]
    assert Served("events", 3, 2).good, "events leave by themselves"
    assert not Served("secrets", 3, 3, "no API serves it").good


def test_without_servers_it_says_why_and_the_proof_is_the_lesser_one(path: Path) -> None:
    found = trial(path, OLD, NEW, untried="--offline was given")
    report = to_report(found)
    assert (found.proof, report.exit_code) == (Proof.OPENED, ExitCode.OK)
    assert "no API server was asked: --offline was given" in report.notes
    assert "served" not in report.verdict


def test_a_damaged_file_is_unusable_before_any_key_is_tried(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnusableInputError, match="is not sound"):
        trial(path, OLD, NEW, plane=FakePlane())


def test_values_of_a_plugin_are_neither_opened_nor_lost(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "k.db", [(at("a"), PLUGIN, 5), (*sealed("b", OLD), 6)])
    plane = FakePlane()
    found = trial(path, OLD, plane=plane)
    report = to_report(found)
    assert (found.plugin, found.unopened, plane.trials) == (1, 0, [])
    assert (report.exit_code, found.proof, report.data["proof"]) == (ExitCode.INCOMPLETE, None, None)
    ((rule, message),) = [(finding.id, finding.message) for finding in report.findings]
    assert (rule, message) == ("KC-SNAP-011", "1 values open with their KMS plugin only: vault (key id key)")
    text = with_keys(found.entries, {OLD.ref: OLD})
    assert 'apiVersion: v2\n      name: "vault"\n      endpoint: unix:///path' in text


def test_a_value_that_no_key_opens_is_a_failure_beside_those_of_a_plugin(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "k.db", [(at("a"), PLUGIN, 5), (*sealed("b", OLD), 6)])
    assert trial(path).proof is Proof.FAILED


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"k8s:enc:aescbc:v9:old:" + bytes(64), "/registry/secrets/default/b"),
        (b"k8s:enc:aescbc:v1:ol", "/registry/secrets/default/b"),
        (b"neither", "/registry/secrets/default/b"),
        (b"{}", "/registry/secrets/default/b"),
    ],
    ids=["of another version", "cut off", "nothing known", "no object"],
)
def test_what_no_server_reads_is_not_passed_over_for_want_of_a_key(tmp_path: Path, value: bytes, says: str) -> None:
    path = snapshot(tmp_path / "u.db", [(*sealed("a", OLD), 5), (at("b"), value, 6)])
    plane = FakePlane()
    found = trial(path, OLD, plane=plane)
    report = to_report(found)
    assert (found.unopened, found.proof, report.exit_code) == (1, Proof.FAILED, ExitCode.UNREADABLE)
    assert plane.trials == []
    assert f"the first is {says}: " in report.findings[0].message


def test_an_empty_prefix_is_no_success_and_plaintext_alone_needs_no_configuration(tmp_path: Path) -> None:
    empty = trial(snapshot(tmp_path / "e.db", [(b"/other/x", b"x", 5)]), OLD)
    assert (to_report(empty).exit_code, empty.proof) == (ExitCode.EMPTY, None)
    plain = trial(snapshot(tmp_path / "p.db", [(at("a"), seal.secret("a"), 5)]), OLD, plane=FakePlane())
    assert (plain.entries, plain.untried, plain.shown()) == ((), "nothing in it is encrypted", "")


def test_a_value_is_opened_by_its_bytes_whatever_other_names_they_have(path: Path) -> None:
    found = trial(path, SAME, NEW)
    assert found.unopened == 2, "an API server goes by the name, and so must this"
    assert needed_entries(found.contents) == found.entries
    assert len(effective.all_static_keys(every_key([SAME, OLD], seal.config(OLD)))) == 2
