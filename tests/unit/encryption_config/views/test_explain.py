"""What is said of a resource and of the values under each key, and that it is what a server would do."""

from __future__ import annotations

import pytest

from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, StaticReader
from keyctl.encryption_config.views.explain import Asked, Explanation, Outcome, explained, fate_fields
from keyctl.keys.key import Provider
from keyctl.stored.decrypt import NotOpened, Opened, open_value
from tests.support import seal
from tests.support.hints import wrong_commands
from tests.unit.encryption_config.configs import b64, config_of, entry, key, static

_ID = "{identity: {}}"
_KMS = "{{kms: {{apiVersion: {version}, name: p, endpoint: 'unix:///p.sock'}}}}"
_UNREADABLE = [
    "  Unreadable means: the API server answers 500 for each such object, "
    "and for every list that reaches etcd and meets",
    "  one. A list from its cache can look fine, until it restarts and may not become ready: keyctl explain R10",
]
FP = {fill: key(fill=fill).fingerprint for fill in range(1, 9)}
TYPICAL = config_of(entry("secrets", static("key2", 2), static("key1", 1), _ID), entry("'*.'", _ID))


def asked(text: str) -> Asked:
    provider, _, name = text.partition(":")
    return Asked(Provider(provider), name or None)


def text_of(explanation: Explanation) -> str:
    return "\n".join(explanation.lines)


def said(config: EncryptionConfig | None, resource: str = "secrets", under: str | None = None) -> str:
    return text_of(explained(config, resource, asked(under) if under else None))


def test_a_typical_resource_is_explained_from_its_entry_to_what_nothing_opens() -> None:
    assert list(explained(TYPICAL, "secrets").lines) == [
        "secrets:",
        "  resources[0] covers it by its own name.",
        "  The wildcard '*.' in resources[1] adds nothing to that: the most exact name alone counts.",
        f"  New values are written with aescbc/key2 (fingerprint {FP[2]}).",
        "  On read a value says under which provider and key name it is. Those of that name are tried in this order:",
        f"    1. aescbc/key2 (fingerprint {FP[2]})",
        f"    2. aescbc/key1 (fingerprint {FP[1]})",
        "    3. plaintext",
        "  What becomes of stored values:",
        f"    - values under aescbc/key2 (fingerprint {FP[2]}) are read and current: an update that changes nothing "
        "writes nothing.",
        f"    - values under aescbc/key1 (fingerprint {FP[1]}) are read and count as stale: the next update, even one "
        "that changes nothing, writes such a value anew with aescbc/key2. All of them at once, under a new key: keyctl "
        "rotate.",
        "    - plaintext is read and counts as stale: the next update, even one that changes nothing, writes such a "
        "value anew with aescbc/key2. All of them at once, under a new key: keyctl rotate.",
        "    - values under any other key are unreadable: nothing here opens them.",
        *_UNREADABLE,
    ]


def test_what_nothing_covers_is_plaintext_and_opens_nothing_else() -> None:
    assert list(explained(TYPICAL, "jobs.batch").lines) == [
        "jobs.batch:",
        "  No entry covers it.",
        "  New values are written in PLAINTEXT.",
        "  On read nothing but plaintext is understood.",
        "  What becomes of stored values:",
        "    - plaintext is read and current: no update encrypts it.",
        "    - values under any other key are unreadable: nothing here opens them "
        '("identity transformer tried to read encrypted data").',
        *_UNREADABLE,
    ]
    assert said(None, "jobs.batch") == said(TYPICAL, "jobs.batch")


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("pods", "resources[0] covers it by the wildcard '*.', which is the core group less what an entry names"),
        ("jobs.batch", "by the wildcard '*.batch', which is the group batch less what an entry names itself."),
        ("leases.coordination.k8s.io", "by the wildcard '*.*', which is everything that no entry names more exactly."),
        ("*.batch", "every other resource of the group batch (*.batch):"),
        ("*.*", "everything else (*.*):"),
        ("*.*", "Never encrypted, whatever stands here: masterleases, peerserverleases, ranges,"),
    ],
)  # fmt: skip
def test_the_wildcard_that_covers_is_named(resource: str, expected: str) -> None:
    config = config_of(entry("'*.'", static()), entry("'*.batch'", static()), entry("'*.*'", static()))
    assert expected in said(config, resource)


def test_entries_that_name_one_resource_are_told_to_be_joined() -> None:
    config = config_of(entry("secrets", static("a", 1)), entry("pods", _ID), entry("secrets", static("b", 2)))
    told = said(config)
    assert (
        "resources[0] and resources[2] cover it by its own name; their providers are joined in this order: the first "
        "one of all writes."
    ) in told
    assert told.index("1. aescbc/a") < told.index("2. aescbc/b")


def test_a_name_under_which_nothing_is_stored_is_told_the_right_one() -> None:
    told = said(config_of(entry("secret", static())), "secret")
    assert "Take care: nothing is stored under this name. The core group has no such resource: write secrets." in told
    assert "Take care" not in said(TYPICAL, "things.example.org")
    assert "Take care" not in said(TYPICAL, "*.*")


def test_plaintext_first_is_current_and_encrypted_values_go_back_to_it() -> None:
    told = said(config_of(entry("secrets", _ID, static("a", 1))))
    assert "New values are written in PLAINTEXT." in told
    assert "plaintext is read and current: no update encrypts it." in told
    assert "writes such a value anew in PLAINTEXT. To encrypt instead: keyctl enable." in told


def test_plaintext_without_identity_is_refused() -> None:
    told = said(config_of(entry("secrets", static())), under="identity")
    assert 'plaintext is unreadable: it is refused where identity is not listed ("no matching prefix found").' in told


def test_one_name_with_two_keys_is_told_with_their_order_and_both_fingerprints() -> None:
    told = said(config_of(entry("secrets", static("a", 1), static("a", 2))))
    assert (
        f"Take care: aescbc/a stands for 2 different keys (fingerprints {FP[1]}, then {FP[2]}). A value does not say "
        "which of them it needs: they are tried in this order. aescbc cannot tell a wrong key for certain: about one "
        "value in 256 comes out as garbage."
    ) in told
    assert f"Some may come out as garbage under aescbc/a (fingerprint {FP[1]}), which is tried first." in told
    assert f"writes such a value anew with aescbc/a (fingerprint {FP[1]})." in told
    authentic = said(config_of(entry("secrets", static("a", 1, "aesgcm"), static("a", 2, "aesgcm"))))
    assert "aesgcm/a stands for 2 different keys" in authentic
    assert "garbage" not in authentic


def test_a_key_that_stands_twice_is_told_to_change_nothing() -> None:
    told = said(config_of(entry("secrets", static("a", 1), static("b", 2), static("a", 1))))
    assert f"    3. aescbc/a (fingerprint {FP[1]}), which is number 1 again and changes nothing" in told
    assert "stands for" not in told
    assert told.count(f"values under aescbc/a (fingerprint {FP[1]})") == 1


def test_a_name_that_another_one_goes_on_from_is_told() -> None:
    start = "Take care: a value under aescbc/{} starts like one under aescbc/a, which is tried on it first"
    told = said(config_of(entry("secrets", static("a", 1), static("'a:b'", 2))))
    assert f"{start.format('a:b')}; that fails, and the search goes on." in told
    whole_blocks = "a:" + "x" * 15
    told = said(config_of(entry("secrets", static("a", 1), static(f"'{whole_blocks}'", 2))))
    assert f"{start.format(whole_blocks)}, and may open it as garbage." in told
    assert "starts like" not in said(config_of(entry("secrets", static("'a:b'", 2), static("a", 1))))
    assert "starts like" not in said(config_of(entry("secrets", static("a", 1), static("ab", 2))))
    assert "starts like" not in said(config_of(entry("secrets", static("a", 1), static("'a:b'", 2, "aesgcm"))))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            "v1",
            "also after the plugin's own key has changed; only what Kubernetes 1.24 and older wrote counts as stale.",
        ),
        ("v2", "unless the plugin's own key (its key_id) has changed since; then they count as stale."),
    ],
)
def test_what_counts_as_stale_under_a_plugin_depends_on_its_version(version: str, expected: str) -> None:
    told = said(config_of(entry("secrets", _KMS.format(version=version), static("a", 1))))
    assert f"values under kms/p ({version}) are read and current: an update that changes nothing writes nothing" in told
    assert expected in told
    assert "writes such a value anew with kms/p." in told
    assert "keyctl rotate" not in told


@pytest.mark.parametrize(
    ("under", "expected"),
    [
        ("aescbc:key2", ["values under aescbc/key2 (", "are read and current"]),
        ("aescbc:key1", ["count as stale", "aescbc/key1 that were written with other bytes than these are unreadable"]),
        ("aescbc:key9", ['aescbc/key9 are unreadable: nothing here opens them ("no matching key was found for the']),
        ("aescbc:key1:x", ["aescbc/key1:x are unreadable: nothing here opens them.\n"]),
        ("secretbox:s", ['secretbox/s are unreadable: nothing here opens them ("no matching prefix found")']),
        ("kms:p", ['kms/p are unreadable: nothing here opens them ("no matching prefix found")']),
        ("aesgcm", ["values under any key of aesgcm are unreadable"]),
        ("aescbc", ["aescbc/key2 (", "aescbc/key1 (", "values under any other key of aescbc are unreadable"]),
        ("identity", ["plaintext is read and counts as stale"]),
    ],
)
def test_one_key_is_answered_for_alone(under: str, expected: list[str]) -> None:
    told = said(TYPICAL, under=under)
    assert [part for part in expected if part not in told] == []
    assert "New values" not in told
    assert "any other key are" not in told


def test_an_unknown_key_of_secretbox_is_told_as_the_server_tells_it() -> None:
    told = said(config_of(entry("secrets", static("s", 1, "secretbox"))), under="secretbox:t")
    assert '("no matching key was found for the provided Secretbox transformer")' in told


def test_a_plugin_that_is_there_is_not_asked_about_other_bytes() -> None:
    told = said(config_of(entry("secrets", _KMS.format(version="v2"))), under="kms:p")
    assert "are read and current" in told
    assert "other bytes" not in told
    assert "Unreadable means" not in told


def test_no_key_shows_and_no_name_breaks_a_line() -> None:
    config = config_of(entry('"secrets", "a\\nb"', static('"k\\e[31m\\nx"', 1), _ID))
    explanation = explained(config, "a\nb")
    assert all(line.isprintable() for line in explanation.lines)
    assert "aescbc/k\\x1b[31m\\nx" in text_of(explanation)
    assert b64(1) not in repr(explanation)


def test_every_command_that_is_named_is_one_that_keyctl_takes() -> None:
    told = [said(TYPICAL), said(None), said(config_of(entry("secrets", _ID, static())))]
    assert [problem for text in told for line in text.splitlines() for problem in wrong_commands(line)] == []


def test_fates_as_fields_name_the_key_the_outcome_and_the_sentence() -> None:
    fates = explained(TYPICAL, "secrets").fates
    assert [fate.outcome for fate in fates] == [Outcome.CURRENT, Outcome.STALE, Outcome.STALE, Outcome.UNREADABLE]
    assert fate_fields(fates[1]) == {
        "under": {"provider": "aescbc", "key": "key1", "fingerprint": FP[1], "kmsVersion": None},
        "outcome": "stale",
        "text": fates[1].line,
    }
    assert fate_fields(fates[-1])["under"] is None


@pytest.mark.parametrize("provider", ["aescbc", "aesgcm", "secretbox"])
def test_what_is_called_readable_opens_and_what_is_called_unreadable_does_not(provider: str) -> None:
    config = config_of(entry("secrets", static("new", 2, provider), static("old", 1, provider)))
    readers = explained(config, "secrets").view.readers
    place = b"/registry/secrets/default/demo"
    for name, fill, opens in (("new", 2, True), ("old", 1, True), ("gone", 3, False), ("old", 4, False)):
        one = key(name, fill, Provider(provider))
        fates = explained(config, "secrets", Asked(one.provider, name)).fates
        readable = {fate.reader for fate in fates if fate.outcome is not Outcome.UNREADABLE}
        assert (StaticReader(one) in readable) is opens
        value = seal.seal(one, place, seal.secret("demo"))
        assert isinstance(open_value(readers, place, value), Opened if opens else NotOpened)
    (fate,) = explained(config, "secrets", asked("identity")).fates
    assert fate.reader == IdentityReader()
    assert isinstance(open_value(readers, place, seal.secret("demo")), NotOpened)
