"""From accident to advice: what others left half done, or did by hand, as a table of facts and what is said of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

import pytest

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.effective import readers, writer
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, StaticReader
from keyctl.findings import Status
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.rotation.diagnosis import rules
from keyctl.rotation.diagnosis.advice import needs_union, steps
from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.facts import Facts, JournalSeen, KnownKey, ServerSeen, StageSeen
from keyctl.rotation.diagnosis.look import read_text
from keyctl.rotation.diagnosis.readability import in_use
from keyctl.rotation.diagnosis.union import union
from keyctl.rotation.diagnosis.values import DECODED, ENCODED, Trial
from keyctl.rotation.plan import FileChange, Goal, History, Plan, ServerPlan
from tests.support import seal
from tests.support.accidents import PREFIX, UID, Stored, facts, server, text, value
from tests.support.hints import wrong_commands

OLD, NEW = seal.key("old", fill=1), seal.key("new", fill=2)
OTHER_NEW = seal.key("new", fill=3)
GONE = seal.key("gone", fill=9)

ONLY_OLD, BOTH, PROMOTED, ONLY_NEW = (
    seal.config(OLD),
    seal.config(OLD, NEW),
    seal.config(NEW, OLD),
    seal.config(NEW),
)
HASHES = ("a" * 64, "b" * 64)


@dataclass(frozen=True, slots=True)
class Case:
    """An accident: the ids that must be among the findings (and no other critical one), and what the steps say."""

    facts: Facts
    ids: tuple[str, ...]
    said: tuple[str, ...]
    lost: int = 0
    writer: Key | None = None


def three(first: EncryptionConfig, others: EncryptionConfig) -> tuple[ServerSeen, ...]:
    return server("cp1", first), server("cp2", others), server("cp3", others)


def stages(*told: tuple[str, str, str], tool: str = "k3s") -> tuple[StageSeen, ...]:
    return tuple(StageSeen(node, tool, stage, digest) for node, stage, digest in told)


SECRETS_OLD: Stored = ("secrets", OLD, 5)
SECRETS_NEW: Stored = ("secrets", NEW, 3)

CASES = {
    "read before write broken: RKE1, KubeOne and k3s rotate-keys place the new key first at once": Case(
        facts(three(PROMOTED, ONLY_OLD), (SECRETS_OLD, SECRETS_NEW)),
        ("KC-ROT-002", "KC-ROT-003", "KC-SRV-001"),
        ("restart nothing", "cp2, cp3 and cp1, in that order", "what it writes every server reads already"),
        writer=OLD,
    ),
    "new key first on one server, and nothing written yet": Case(
        facts(three(PROMOTED, ONLY_OLD), (SECRETS_OLD,)),
        ("KC-ROT-002", "KC-SRV-001"),
        ("--union-config",),
        writer=OLD,
    ),
    "the old key was dropped on one server while values are under it": Case(
        facts(three(ONLY_NEW, PROMOTED), (SECRETS_OLD, SECRETS_NEW), store=(OLD, NEW)),
        ("KC-ROT-003", "KC-SRV-001"),
        ("make the one file that reads everything: ", "put it in the place of the file on cp1, cp2 and cp3"),
        writer=NEW,
    ),
    "the old key was dropped everywhere; the key store has it": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD, SECRETS_NEW), store=(OLD, NEW)),
        ("KC-ROT-003",),
        ("with aescbc/old from the key store: keyctl doctor --union-config union.yaml",),
        writer=NEW,
    ),
    "the old key was dropped everywhere; an old copy of the file has it": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD,), copies=(ONLY_OLD,)),
        ("KC-ROT-003",),
        ("with aescbc/old from copy1.yaml",),
        writer=NEW,
    ),
    "the old key was dropped everywhere; a bare key file has it, whatever it is called": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD,), key_files=(OLD,)),
        ("KC-ROT-003",),
        ("from file1",),
        writer=NEW,
    ),
    "the old key was dropped everywhere, and nobody has it": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD, SECRETS_NEW)),
        ("KC-ROT-001",),
        ("look for the key of 5 values", "delete no key and no value"),
        lost=5,
    ),
    "the same name with different bytes on two servers": Case(
        facts(
            (server("cp1", seal.config(NEW)), server("cp2", seal.config(OTHER_NEW))),
            (SECRETS_NEW, ("secrets", OTHER_NEW, 2)),
        ),
        ("KC-ROT-002", "KC-ROT-003", "KC-ROT-005", "KC-SRV-001"),
        ("keyctl rotates no key whose name has two meanings",),
    ),
    "kubespray made a new key under the old name: the files agree, the key store has the right one": Case(
        facts(three(seal.config(OTHER_NEW), seal.config(OTHER_NEW)), (SECRETS_NEW,), store=(NEW,)),
        ("KC-ROT-003", "KC-ROT-005"),
        ("with aescbc/new from the key store",),
    ),
    "a key was renamed on every server: the bytes are there, the name is not": Case(
        facts([server("cp1", seal.config(Key(OLD.provider, "renamed", OLD.material)))], (SECRETS_OLD,)),
        ("KC-ROT-003",),
        ("--union-config",),
    ),
    "KubeOne: the file lacks a key that the running server still has": Case(
        facts(
            (server("cp1", PROMOTED, ONLY_NEW), server("cp2", PROMOTED, ONLY_NEW)), (SECRETS_OLD,), copies=(PROMOTED,)
        ),
        ("KC-ROT-004", "KC-ROT-007"),
        ("restart nothing",),
        writer=NEW,
    ),
    "a server has not loaded its file": Case(
        facts((server("cp1", BOTH), server("cp2", ONLY_OLD, BOTH)), (SECRETS_OLD,), copies=(ONLY_OLD,)),
        ("KC-ROT-007",),
        ("have every server load its file (restart cp1 and cp2",),
    ),
    "one server lost its flag: it writes plaintext": Case(
        facts((server("cp1", ONLY_OLD), server("cp2", None, flag=False)), (SECRETS_OLD, ("secrets", None, 2))),
        ("KC-ROT-008", "KC-DAT-001"),
        ("put --encryption-provider-config and its mount back into the manifest of cp2",),
        writer=OLD,
    ),
    "plaintext left from before encryption": Case(
        facts(three(ONLY_OLD, ONLY_OLD), (SECRETS_OLD, ("secrets", None, 4))),
        ("KC-DAT-001",),
        ("then rewrite every value under a new key: keyctl rotate",),
    ),
    "values of a resource that no file names any more": Case(
        facts(three(ONLY_OLD, ONLY_OLD), (SECRETS_OLD, ("configmaps", OLD, 2))),
        ("KC-ROT-003",),
        ("--union-config",),
        writer=OLD,
    ),
    "k3s rotate-keys: the first server is done, the others have the file from before": Case(
        facts(
            three(ONLY_NEW, ONLY_OLD),
            (SECRETS_NEW, ("secrets", OLD, 1)),
            stages=stages(("n1", "reencrypt_finished", HASHES[0]), ("n2", "start", HASHES[1])),
        ),
        ("KC-ROT-002", "KC-ROT-003", "KC-ROT-011", "KC-SRV-001"),
        ("--union-config union.json", "k3s secrets-encrypt status", "restart the k3s servers whose hash differs"),
    ),
    "k3s classic, stopped after prepare": Case(
        facts(three(BOTH, BOTH), (SECRETS_OLD,), stages=stages(("n1", "prepare", HASHES[0]))),
        ("KC-ROT-011",),
        ("restart every k3s server, one at a time, then: k3s secrets-encrypt rotate",),
    ),
    "RKE2, its rewriting died": Case(
        facts(
            three(PROMOTED, PROMOTED), (SECRETS_OLD,), stages=stages(("n1", "reencrypt_active", "c" * 64), tool="rke2")
        ),
        ("KC-ROT-011",),
        ("rke2 secrets-encrypt reencrypt --force --skip",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_accident_is_recognised_and_the_next_step_is_safe(name: str) -> None:
    case = CASES[name]
    found = diagnose(case.facts)
    ids = {finding.id for finding in found.findings if finding.severity in ("critical", "high")}
    assert ids == set(case.ids)
    advice = "\n".join(steps(case.facts, found))
    assert [said for said in case.said if said not in advice] == []
    assert found.lost == case.lost
    if case.writer is not None:
        assert found.union is not None
        assert writer(found.union.config, "secrets") == StaticReader(case.writer)


@pytest.mark.parametrize("name", CASES)
def test_the_union_opens_every_value_that_is_not_lost_and_every_server_may_get_it_in_any_order(name: str) -> None:
    case = CASES[name]
    made = diagnose(case.facts).union
    assert made is not None
    for as_json in (False, True):
        content = made.text(as_json=as_json)
        assert decode(content, name="union").config == made.config
    loaded = [used for s in case.facts.servers if (used := in_use(s, case.facts.texts).config) and used.entries]
    for resource in ("secrets", "configmaps"):
        ring = readers(made.config, resource)
        for group in case.facts.values or ():
            if group.opened is not None and group.resource == resource and group.ref is not None:
                key = Key(group.ref.provider, group.ref.name, group.opened.key.material)
                assert StaticReader(key) in ring
        # R2: until all have it, what it writes is read by whoever has not.
        if resource not in made.divided:
            assert all(ring[0] in readers(config, resource) for config in loaded)
        # What any server writes meanwhile is read by whoever has it.
        assert all(readers(config, resource)[0] in ring for config in loaded)


@pytest.mark.parametrize("name", CASES)
def test_every_finding_has_a_fix_and_every_command_in_it_exists(name: str) -> None:
    case = CASES[name]
    found = diagnose(case.facts)
    told = [*(finding.fix or "" for finding in found.findings), *steps(case.facts, found)]
    assert all(told)
    assert [problem for line in told for problem in wrong_commands(line)] == []


def test_a_healthy_cluster_has_no_finding_and_nothing_to_do() -> None:
    seen = facts(three(ONLY_OLD, ONLY_OLD), (SECRETS_OLD, ("configmaps", None, 3)))
    found = diagnose(seen)
    assert found.findings == ()
    assert steps(seen, found) == ()
    assert not needs_union(found)


def test_a_cluster_that_encrypts_nothing_has_no_union() -> None:
    seen = facts([server("cp1", None, flag=False)], [("secrets", None, 2)])
    found = diagnose(seen)
    assert (found.findings, found.union) == ((), None)


def test_what_cannot_be_seen_is_unknown_and_never_fine() -> None:
    down = replace(
        server("cp2", ONLY_OLD), answers=False, ready=False, loaded_hash=None, loaded_by="", problem="refused"
    )
    stranger = replace(server("cp3", ONLY_OLD), loaded_hash="sha256:" + "f" * 64)
    silent = replace(server("cp4", ONLY_OLD), loaded_hash=None, loaded_by="", doubt="its host does not tell")
    seen = facts([server("cp1", ONLY_OLD), down, stranger, silent], [SECRETS_OLD])
    unknown = [finding for finding in diagnose(seen).findings if finding.status is Status.UNKNOWN]
    assert [finding.id for finding in unknown] == ["KC-ROT-012"] * 3
    assert ["refused" in unknown[0].message, "not at hand" in unknown[1].message] == [True, True]
    assert "its host does not tell; its file stands for it here" in unknown[2].message
    unread = replace(seen, values=None, unread="etcd is down")
    assert any("etcd is down" in finding.message for finding in diagnose(unread).findings)


def test_an_old_copy_tells_what_a_server_has_loaded_that_nobody_has_any_more() -> None:
    seen = facts([server("cp1", ONLY_OLD, ONLY_NEW)], [SECRETS_OLD], copies=(ONLY_OLD,))
    assert in_use(seen.servers[0], seen.texts).origin == "copy1.yaml"
    assert {"KC-ROT-004", "KC-ROT-007"} <= {finding.id for finding in diagnose(seen).findings}


# -- base64 once too often


TEXT_KEY = Key(Provider.AESCBC, "key1", b"0123456789abcdefghijABCDEFGHIJKL")


@pytest.mark.parametrize(
    ("at_hand", "in_values", "changed"),
    [
        pytest.param(TEXT_KEY, base64.b64decode(TEXT_KEY.material), DECODED, id="32 characters became 24 bytes"),
        pytest.param(
            Key(Provider.AESCBC, "key1", base64.b64decode(TEXT_KEY.material)), TEXT_KEY.material, ENCODED, id="24 to 32"
        ),
    ],
)
def test_a_key_that_was_base64_once_too_often_is_recognised_and_kept(
    at_hand: Key, in_values: bytes, changed: str
) -> None:
    real = Key(Provider.AESCBC, "key1", in_values)
    seen = facts(three(seal.config(at_hand), seal.config(at_hand)), [("secrets", real, 4)])
    found = diagnose(seen)
    (finding,) = [one for one in found.findings if one.id == rules.ENCODED.id]
    assert changed in finding.message
    assert f"a key of {len(in_values)} bytes" in finding.message
    assert found.lost == 0
    assert found.union is not None
    assert StaticReader(real) in readers(found.union.config, "secrets")


# -- which key opens what


def test_every_key_is_tried_under_every_name_and_provider() -> None:
    material = b"\7" * 32
    box = Key(Provider.SECRETBOX, "somebody", material)
    trial = Trial(PREFIX, [KnownKey(Key(Provider.AESCBC, "legacy", material), "copy")])
    trial.add([value("secrets", box, "a"), value("secrets", GONE, "b"), value("secrets", None, "c")])
    groups = {str(group.ref): group for group in trial.groups()}
    assert groups["secretbox/somebody"].opened is not None
    assert groups["aescbc/gone"].lost
    assert groups["aescbc/gone"].why == "no such key is at hand"
    assert groups["aescbc/gone"].first == ("/registry/secrets/default/b",)
    assert groups["identity"].plain
    assert not groups["identity"].lost


def test_many_values_alike_are_counted_exactly_and_the_odd_ones_among_them_too() -> None:
    """Past the first few, values like the one before take a short way."""
    trial = Trial(PREFIX, [KnownKey(NEW, "a"), KnownKey(OLD, "b")], names=2)
    odd = {40: GONE, 41: NEW, 60: None, 61: OTHER_NEW}
    batch = [value("secrets", odd.get(n, OLD), f"s{n:03}") for n in range(100)]
    misplaced = (batch[0][0] + b"-copy", batch[0][1], 1)
    trial.add([*batch, misplaced, value("configmaps", OLD, "c")])
    counts = {(group.resource, str(group.ref), group.lost): group.values for group in trial.groups()}
    assert counts == {
        ("secrets", "aescbc/old", False): 97,
        ("secrets", "aescbc/new", False): 1,
        ("secrets", "aescbc/new", True): 1,
        ("secrets", "aescbc/gone", True): 1,
        ("secrets", "identity", False): 1,
        ("configmaps", "aescbc/old", False): 1,
    }


def test_aescbc_padding_that_fits_by_chance_is_no_proof() -> None:
    plain = seal.secret("a")
    where = PREFIX + b"/secrets/default/a"
    trial = Trial(PREFIX, [KnownKey(Key(OLD.provider, "old", NEW.material), "wrong")])
    trial.add([(where, seal.opens_by_chance(OLD, NEW, plain), 1)])
    (group,) = trial.groups()
    assert group.lost
    assert "other bytes under that name" in group.why


def test_a_kms_plugins_values_are_neither_lost_nor_proven() -> None:
    config = seal.config(KmsReader("vault", "v2"))
    sealed = seal.seal_kms_v2("vault", PREFIX + b"/secrets/default/k", seal.secret("k"))
    other = seal.config(OLD)
    content = (
        b"apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n"
        b"  providers:\n  - kms: {apiVersion: v2, name: vault, endpoint: unix:///run/kms.sock, timeout: 5s}\n"
        b"  - identity: {}\n"
    )
    read, problem = read_text(content, "the file of cp1")
    assert read is not None, problem
    assert read.config == config
    first = replace(server("cp2", other), name="cp1", file=read, loaded_hash=read.sha256)
    seen = facts([first, server("cp2", other)], [("secrets", sealed, 1)])
    assert [group.lost for group in seen.values or ()] == [False]
    found = diagnose(seen)
    assert {"KC-ROT-002", "KC-ROT-003"} <= {finding.id for finding in found.findings}
    assert found.union is not None
    assert b'endpoint: "unix:///run/kms.sock"' in found.union.text(as_json=False)
    assert b"5s" in found.union.text(as_json=False)


def test_infrastructure_and_what_is_no_object_of_the_api_are_passed_over() -> None:
    trial = Trial(PREFIX, [])
    trial.add([(PREFIX + b"/ranges/serviceips", b"k8s\0x", 1), (PREFIX + b"/health", b"ok", 1), (b"/other/a", b"x", 1)])
    assert trial.groups() == ()


# -- the union


def test_names_keep_their_order_of_lookup_and_each_stands_once() -> None:
    wild = EncryptionConfig((*seal.config(NEW, resources=("*.*",)).entries,))
    exact = EncryptionConfig((*seal.config(OLD, resources=("secrets", "configmaps")).entries,))
    seen = facts([server("cp1", wild), server("cp2", exact)], [("secrets", OLD, 1), ("pods", NEW, 1)])
    made = union(seen)
    assert made is not None
    names = effective.named_resources(made.config)
    assert names.index("*.*") == len(names) - 1
    assert len(set(names)) == len(names)
    for resource in ("secrets", "configmaps", "pods"):
        ring = readers(made.config, resource)
        for config in (wild, exact):
            assert set(readers(config, resource)) <= set(ring)


def test_what_all_servers_write_in_plaintext_is_not_encrypted_by_the_union() -> None:
    """As halfway through `enable`: the key is only read."""
    config = seal.config(OLD, identity=False)
    (entry,) = config.entries
    added = EncryptionConfig(
        (replace(entry, providers=(*seal.config(identity=True).entries[0].providers, *entry.providers)),)
    )
    made = union(facts([server("cp1", added), server("cp2", added)], [("secrets", None, 2)]))
    assert made is not None
    assert isinstance(writer(made.config, "secrets"), IdentityReader)


def test_a_union_that_no_common_key_writes_says_so() -> None:
    seen = facts((server("cp1", ONLY_NEW), server("cp2", ONLY_OLD)), (SECRETS_OLD, SECRETS_NEW))
    found = diagnose(seen)
    assert found.union is not None
    assert found.union.divided == ("secrets",)
    assert any("with a key that not every server reads yet" in step for step in steps(seen, found))


# -- keyctl's own journal


def journal(*, uid: str = UID, back: bool = False, hashes: tuple[str | None, ...] = ()) -> JournalSeen:
    base, added, promoted, retired = (text(one, "").sha256 for one in (ONLY_OLD, BOTH, PROMOTED, ONLY_NEW))
    texts = ((base,), (added,), (promoted,), (retired,)) if not hashes else tuple((one,) for one in hashes)
    plan = Plan(
        rotation="20261121t101500z-3f2a",
        goal=Goal.ROTATE,
        cluster="prod",
        cluster_uid=uid,
        new=KeyRef(Provider.AESCBC, "new"),
        fingerprint=NEW.fingerprint,
        old=(),
        change=FileChange(("secrets",), (0,), (0,)),
        history=History.COMPACT,
        settle=60.0,
        servers=tuple(ServerPlan(name, texts) for name in ("cp1", "cp2")),
    )
    return JournalSeen("/state/journal.jsonl", plan.rotation, "2026-11-21", "2026-11-21", "promoting", back, plan)


def test_an_unfinished_rotation_of_keyctl_says_resume_and_abort_and_alarms_nobody() -> None:
    seen = facts((server("cp1", PROMOTED), server("cp2", BOTH)), (SECRETS_OLD, SECRETS_NEW), journal=journal())
    found = diagnose(seen)
    assert [(finding.id, str(finding.severity)) for finding in found.findings] == [("KC-ROT-009", "medium")]
    assert steps(seen, found) == ("go on: keyctl rotate --resume; or go back: keyctl rotate --abort",)
    back = replace(seen, journal=journal(back=True))
    assert steps(back, diagnose(back)) == ("go on: keyctl rotate --abort",)


def test_a_file_that_is_none_of_the_rotations_is_put_back_first() -> None:
    seen = facts((server("cp1", PROMOTED), server("cp2", seal.config(OTHER_NEW))), (SECRETS_OLD,), journal=journal())
    found = diagnose(seen)
    assert found.strangers == ("cp2",)
    told = steps(seen, found)
    assert told[0].startswith("put back on cp2 the file that the rotation placed")
    assert "move /state/journal.jsonl away" in told[1]
    assert told[-1].startswith("go on: keyctl rotate --resume")


def test_a_journal_of_another_cluster_is_named_and_not_followed() -> None:
    seen = facts(three(ONLY_OLD, ONLY_OLD), (SECRETS_OLD,), journal=journal(uid="another"))
    found = diagnose(seen)
    assert [finding.id for finding in found.findings] == ["KC-ROT-010"]
    assert not any("--resume" in step for step in steps(seen, found))


def test_a_journal_that_cannot_be_read_is_unknown() -> None:
    seen = facts(three(ONLY_OLD, ONLY_OLD), (SECRETS_OLD,), journal=JournalSeen("/state/journal.jsonl", problem="torn"))
    (finding,) = diagnose(seen).findings
    assert (finding.id, finding.status) == (rules.UNREADABLE_JOURNAL.id, Status.UNKNOWN)


# -- who did it


@pytest.mark.parametrize(
    ("seen", "tool"),
    [
        (facts([server("a", ONLY_OLD, path="/etc/kubernetes/ssl/encryption.yaml")]), "rke1"),
        (facts([server("a", ONLY_OLD, path="/etc/kubernetes/ssl/secrets_encryption.yaml")]), "kubespray"),
        (
            facts([server("a", ONLY_OLD, path="/etc/kubernetes/encryption-providers/encryption-providers.yaml")]),
            "kubeone",
        ),
        (facts([server("a", ONLY_OLD, version="v1.37.1+k3s1")]), "k3s"),
        (facts([server("a", ONLY_OLD, path="/var/lib/rancher/rke2/server/cred/encryption-config.json")]), "rke2"),
        (facts([server("a", seal.config(seal.key("aescbckey")))]), "k3s"),
        (facts([server("a", ONLY_OLD)], distribution="kubespray"), "kubespray"),
        (facts([server("a", ONLY_OLD)]), None),
    ],
)
def test_the_tool_is_known_by_its_marks(seen: Facts, tool: str | None) -> None:
    found = diagnose(seen).tool
    assert (found.name if found else None) == tool
    assert found is None or found.way
