"""From accident to advice: what others left half done, or did by hand, as a table of facts and what is said of them."""

from __future__ import annotations

import base64
from dataclasses import replace

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
from keyctl.rotation.diagnosis.facts import Facts, JournalSeen, KnownKey
from keyctl.rotation.diagnosis.look import read_text
from keyctl.rotation.diagnosis.readability import in_use
from keyctl.rotation.diagnosis.union import union
from keyctl.rotation.diagnosis.values import DECODED, ENCODED, Trial
from keyctl.rotation.plan import FileChange, Goal, History, Plan, ServerPlan
from tests.support import seal
from tests.support.accidents import PREFIX, UID, facts, server, text, value
from tests.support.hints import wrong_commands
from tests.unit.rotation.accident_cases import (
    BOTH,
    CASES,
    GONE,
    NEW,
    OLD,
    ONLY_NEW,
    ONLY_OLD,
    OTHER_NEW,
    PROMOTED,
    SECRETS_NEW,
    SECRETS_OLD,
    STRANGER,
    three,
)


@pytest.mark.parametrize("name", CASES)
def test_an_accident_is_recognised_and_the_next_step_is_safe(name: str) -> None:
    case = CASES[name]
    found = diagnose(case.facts)
    ids = {finding.id for finding in found.findings if finding.severity in ("critical", "high")}
    assert ids == set(case.ids)
    advice = "\n".join(steps(case.facts, found))
    assert [said for said in case.said if said not in advice] == []
    assert [said for said in case.silent if said in advice] == []
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
    silent = replace(server("cp4", ONLY_OLD), loaded_hash=None, loaded_by="", doubt="its host does not tell")
    seen = facts([server("cp1", ONLY_OLD), down, STRANGER, silent], [SECRETS_OLD])
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


# -- what nobody can know


def test_without_any_server_nothing_is_fine_and_nothing_is_written_in_plaintext() -> None:
    seen = facts([], [SECRETS_OLD], store=(OLD, NEW, OTHER_NEW))
    found = diagnose(seen)
    (unknown,) = [finding for finding in found.findings if finding.status is Status.UNKNOWN]
    assert "the cluster file lists none" in unknown.message
    assert steps(seen, found) == ("mend what could not be looked at, then run this again: keyctl doctor",)
    assert found.union is not None
    assert writer(found.union.config, "secrets") == StaticReader(OLD)


def test_a_union_is_not_made_up_where_nobody_knows_how_its_plugin_is_reached() -> None:
    sealed = seal.seal_kms_v2("vault", PREFIX + b"/secrets/default/k", seal.secret("k"))
    seen = facts(three(ONLY_OLD, ONLY_OLD), [SECRETS_OLD, ("secrets", sealed, 1)])
    found = diagnose(seen)
    assert found.union is not None
    assert found.union.lacking == ("vault",)
    (step,) = steps(seen, found)
    assert "how the KMS plugin vault is reached" in step
    assert wrong_commands(step) == []


def test_an_earlier_file_of_our_own_rotation_is_nobodys_secret_and_freezes_nothing() -> None:
    seen = facts((server("cp1", BOTH), server("cp2", ONLY_OLD, BOTH)), (SECRETS_OLD,), journal=journal())
    assert in_use(seen.servers[1], seen.texts).config is None
    found = diagnose(seen)
    assert found.hidden == ()
    assert steps(seen, found) == ("go on: keyctl rotate --resume; or go back: keyctl rotate --abort",)
    assert diagnose(replace(seen, journal=None)).hidden == ("cp2",)


def test_a_lost_flag_during_our_own_rotation_comes_back_before_anything_else() -> None:
    seen = facts((server("cp1", BOTH), server("cp2", None, flag=False)), (SECRETS_OLD,), journal=journal())
    (step,) = steps(seen, diagnose(seen))
    assert step.startswith("put --encryption-provider-config and its mount back into the manifest of cp2")
    assert "before anything else is changed" in step
