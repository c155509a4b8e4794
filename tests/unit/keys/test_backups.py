"""The register of backups as text: what is written is read back, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keyctl.errors import UnusableInputError
from keyctl.keys import backups
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.key import KeyRef, Provider

_KEY1, _KEY2 = KeyRef(Provider.AESCBC, "key1"), KeyRef(Provider.SECRETBOX, "key2")
_A = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 117, (_KEY1, _KEY2), "ab" * 32)
_B = Backup(BackupKind.HISTORY, "https://10.0.0.9:2379", "2026-11-21T10:00:00+00:00", 130, (_KEY2,))
_NOTED = backups.noted_line(_A, cluster="prod")
_FORGOTTEN = backups.forgotten_line(_A.location, at="later", cluster="prod")


def replay(*lines: bytes) -> tuple[Backup, ...]:
    return backups.replay(b"".join(lines), cluster="prod", name="backups.jsonl")


def changed(**fields: object) -> bytes:
    document = json.loads(_NOTED) | fields
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode() + b"\n"


def test_what_is_written_is_read_back() -> None:
    noted = backups.noted_line(_B, cluster="prod")
    assert replay() == ()
    assert replay(_NOTED, noted) == (_A, _B)
    assert replay(_NOTED, noted, _FORGOTTEN) == (_B,)
    assert replay(_NOTED, noted, _FORGOTTEN, _NOTED) == (_B, _A)
    assert changed() == _NOTED


def test_a_line_says_which_keys_are_needed_by_their_names_only() -> None:
    fields = json.loads(_NOTED)
    assert fields["needs"] == ["aescbc:key1", "secretbox:key2"]
    assert (fields["format"], fields["event"]) == ("keyctl/backup/v1", "noted")


def test_the_backups_that_need_a_key_are_found_by_its_provider_and_name() -> None:
    assert backups.needing((_A, _B), _KEY1) == (_A,)
    assert backups.needing((_A, _B), _KEY2) == (_A, _B)
    assert backups.needing((_A, _B), KeyRef(Provider.AESGCM, "key1")) == ()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"{\n", id="no JSON"),
        pytest.param(b"[]\n", id="no object"),
        pytest.param(b"[" * 200_000 + b"\n", id="too deep"),
        pytest.param(changed(format="keyctl/backup/v2"), id="another format"),
        pytest.param(changed(event="lost"), id="another event"),
        pytest.param(changed(event="forgotten"), id="too much for a forgotten one"),
        pytest.param(changed(needs=...), id="a field is missing"),
        pytest.param(changed(extra="x"), id="a field too many"),
        pytest.param(changed(kind="tape"), id="another kind"),
        pytest.param(changed(location=1), id="a number for a place"),
        pytest.param(changed(revision="117"), id="a text for a revision"),
        pytest.param(changed(revision=True), id="yes for a revision"),
        pytest.param(changed(revision=-1), id="a revision before the first"),
        pytest.param(changed(needs="aescbc:key1"), id="a text for a list"),
        pytest.param(changed(needs=[1]), id="a number for a key"),
        pytest.param(changed(needs=["aescbc/key1"]), id="no colon"),
        pytest.param(changed(needs=["enigma:key1"]), id="another provider"),
        pytest.param(_FORGOTTEN.replace(b"a.db", b"z.db"), id="forgotten before it was noted"),
        pytest.param(_FORGOTTEN.replace(b"forgotten", b"lost"), id="another short event"),
    ],
)
def test_a_line_that_keyctl_would_not_have_written_is_named(line: bytes) -> None:
    assert line != _NOTED
    with pytest.raises(UnusableInputError, match=r"backups\.jsonl:2: this line of the register of backups is damaged"):
        replay(_NOTED, line)


def test_the_register_of_another_cluster_is_not_ours() -> None:
    with pytest.raises(UnusableInputError, match='belongs to cluster "test", not "prod"'):
        replay(backups.noted_line(_A, cluster="test"))


_TESTED = replace(_A, fingerprints=((_KEY1, "aa" * 16),), tested=Proven("2026-11-21T12:00:00+00:00", Proof.OPENED))
_ESCROW = replace(_TESTED, kind=BackupKind.ESCROW, location="/mnt/keys.age")


def test_what_came_later_is_read_back_and_a_line_without_it_is_as_it_always_was() -> None:
    assert replay(backups.noted_line(_TESTED, cluster="prod")) == (_TESTED,)
    plugin = KeyRef(Provider.KMS, "vault")
    under = replace(_TESTED, needs=(plugin,), key_ids=((plugin, "id-1"), (plugin, "id-2")))
    assert replay(backups.noted_line(under, cluster="prod")) == (under,)
    assert not {"fingerprints", "tested", "keyIds"} & json.loads(_NOTED).keys()


@pytest.mark.parametrize(
    "fields",
    [
        {"fingerprints": "aa"},
        {"fingerprints": [["aescbc:key1"]]},
        {"fingerprints": [["nothing", "aa"]]},
        {"keyIds": {"kms:vault": "id"}},
        {"keyIds": [["vault", "id"]]},
        {"tested": "yes"},
        {"tested": {"at": "now"}},
        {"tested": {"at": "now", "proof": "hoped"}},
        {"more": 1},
    ],
)
def test_what_came_later_is_right_or_the_line_is_damaged(fields: dict[str, object]) -> None:
    with pytest.raises(UnusableInputError, match=r"backups.jsonl:1"):
        replay(changed(**fields))


def test_a_key_is_needed_by_its_name_and_by_its_bytes_and_by_no_escrow() -> None:
    renamed = KeyRef(Provider.AESCBC, "renamed")
    assert backups.needing((_TESTED, _ESCROW), _KEY1) == (_TESTED,)
    assert backups.needing((_TESTED, _ESCROW), _KEY1, "bb" * 16) == (_TESTED,), "too much rather than too little"
    assert backups.needing((_TESTED, _ESCROW), renamed, "aa" * 16) == (_TESTED,)
    assert backups.needing((_TESTED, _A), renamed, "") == ()


def test_only_a_tested_escrow_holds_a_key_and_only_with_those_bytes() -> None:
    everything = (_TESTED, _ESCROW)
    assert backups.escrows(everything, _KEY1, "aa" * 16) == (_ESCROW,)
    assert backups.escrows(everything, _KEY1, "bb" * 16) == ()
    for tested in (None, Proven("now", Proof.FAILED)):
        assert backups.escrows((replace(_ESCROW, tested=tested),), _KEY1, "aa" * 16) == ()
