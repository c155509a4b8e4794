from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime

import pytest

from keyctl.encryption_config.checks import key_advice as rules
from keyctl.encryption_config.checks.key_advice import key_advice
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.server import Server
from keyctl.findings import Evidence, Finding, Location, Severity, Status
from keyctl.keys.generate import generate
from keyctl.keys.key import STATIC_PROVIDERS

_GOOD = [
    bytes.fromhex("9f1c37a20be84d5571d3c60a42f89e7b05d27fb9c3164a88e07d2b5194fca36e"),
    bytes.fromhex("3ab6e1048f5d92c7106be95b2a7df4837c21d80e5496bf63a71f0cd84be9325a"),
]
_PUBLISHED = b"secret is secure"


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _config(*entries: list[dict[str, object]]) -> bytes:
    """A configuration in JSON; each entry has the providers given."""
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    names = ("secrets", "configmaps", "pods")
    resources = [{"resources": [names[i]], "providers": providers} for i, providers in enumerate(entries)]
    return json.dumps(head | {"resources": resources}).encode()


def _static(key: bytes, name: str = "key1", provider: str = "aescbc") -> dict[str, object]:
    return {provider: {"keys": [{"name": name, "secret": _text(key)}]}}


def _kms(version: str | None) -> dict[str, object]:
    fields = {"name": "plugin", "endpoint": "unix:///run/kms.sock"}
    return {"kms": fields | ({"apiVersion": version} if version else {})}


def _found(content: bytes) -> list[Finding]:
    return list(key_advice(decode(content, name="enc.yaml", server=Server(kms_v1_gate=True)), "enc.yaml"))


@pytest.mark.parametrize(
    ("providers", "expected"),
    [
        pytest.param([_static(_GOOD[0])], [], id="a random key"),
        pytest.param([_static(_PUBLISHED)], [rules.PUBLISHED, rules.SHORT], id="published"),
        pytest.param(
            [_static(b"abcdefghijklmnopqrstuvwxyz123456", provider="secretbox")], [rules.PUBLISHED], id="32 bytes"
        ),
        pytest.param([_static(_GOOD[0][:16] * 2)], [rules.LOW_ENTROPY], id="twice the same half"),
        pytest.param([_static(bytes([7]) * 32)], [rules.GUESSABLE], id="equal bytes"),
        pytest.param([_static(_GOOD[0][:16].hex().encode())], [rules.TEXT], id="hex digits"),
        pytest.param([_static(_GOOD[0][:24])], [rules.SHORT], id="24 bytes"),
        pytest.param([_static(_GOOD[0][:16], provider="aesgcm")], [rules.SHORT], id="16 bytes"),
        pytest.param(
            [_static(_GOOD[0]), _static(_GOOD[0], provider="aesgcm")], [rules.TWO_CIPHERS], id="two providers"
        ),
        pytest.param([_static(_GOOD[0], "new"), _static(_GOOD[0], "old")], [rules.TWO_NAMES], id="two names"),
        pytest.param([_static(_GOOD[0], "new"), _static(_GOOD[1], "old")], [], id="two keys"),
        pytest.param([_static(_GOOD[0], "a:b")], [rules.COLON], id="colon"),
        pytest.param([_static(_GOOD[0], "a b")], [rules.ODD_NAME], id="space"),
        pytest.param([_static(_GOOD[0], "a\nb")], [rules.ODD_NAME], id="line break"),
        pytest.param([_static(_GOOD[0], "schlüssel")], [rules.ODD_NAME], id="other than ASCII"),
        pytest.param([_static(_GOOD[0], "a: b")], [rules.COLON, rules.ODD_NAME], id="colon and space"),
        pytest.param([_static(_GOOD[0], _text(_GOOD[1]))], [rules.NAME_LIKE_KEY], id="another key for a name"),
        pytest.param([_kms("v1"), _static(_GOOD[0])], [rules.KMS_V1], id="kms v1"),
        pytest.param([_kms(None)], [rules.KMS_V1], id="kms without a version"),
        pytest.param([_kms("v2")], [], id="kms v2"),
        pytest.param([{"identity": {}}], [], id="no key"),
    ],
)
def test_each_rule_is_told_and_only_it(providers: list[dict[str, object]], expected: list[object]) -> None:
    found = _found(_config(providers))
    assert [one.id for one in found] == [rule.id for rule in rules.RULES if rule in expected]
    assert all(one.status is Status.FAIL and one.evidence is Evidence.E1 and one.fix for one in found)


def test_every_random_key_passes() -> None:
    now = datetime(2026, 5, 7, tzinfo=UTC)
    for _ in range(100):
        for provider in STATIC_PROVIDERS:
            key = generate(provider, now=now)
            assert _found(_config([_static(key.material, key.name, provider)])) == []
        assert _found(_config([_static(secrets.token_bytes(32))])) == []


def test_a_finding_points_at_the_line_of_the_key() -> None:
    content = (
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
        "- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n"
        f"      - name: good\n        secret: {_text(_GOOD[0])}\n"
        f'      - name: "a:b"\n        secret: {_text(_GOOD[1])}\n'
        f"  - aesgcm:\n      keys:\n      - name: doc\n        secret: {_text(_PUBLISHED)}\n"
        "  - kms:\n      name: plugin\n      endpoint: unix:///run/kms.sock\n"
    ).encode()
    places = {one.id: one.location for one in _found(content)}
    assert places == {
        rules.COLON.id: Location(file="enc.yaml", line=10, column=15),
        rules.PUBLISHED.id: Location(file="enc.yaml", line=15, column=17),
        rules.SHORT.id: Location(file="enc.yaml", line=15, column=17),
        rules.KMS_V1.id: Location(file="enc.yaml", line=17, column=7),
    }


def test_a_key_in_several_entries_is_told_once_and_where_it_stands_first() -> None:
    found = _found(_config([_static(bytes(32))], [_static(bytes(32))]))
    assert [one.id for one in found] == [rules.GUESSABLE.id]
    (alone,) = _found(_config([_static(bytes(32))]))
    assert found[0].location == alone.location


def test_one_name_with_two_keys_has_both_judged() -> None:
    found = _found(_config([_static(_GOOD[0])], [_static(bytes(32))]))
    assert [one.id for one in found] == [rules.GUESSABLE.id]


def test_reuse_is_found_across_entries_and_names_the_first_place() -> None:
    found = _found(_config([_static(_GOOD[0], "old")], [_static(_GOOD[0], "new", "secretbox")]))
    assert [one.message for one in found] == [
        "secretbox/new has the same bytes as aescbc/old: one key in two ciphers",
    ]


def test_a_published_key_is_told_where_from() -> None:
    found = _found(_config([_static(_PUBLISHED)]))
    assert found[0].message == "aescbc/key1 is published, in the Kubernetes documentation"
    assert found[0].severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param(_text(_GOOD[1]), "Orbh…", id="base64"),
        pytest.param(_GOOD[1].hex(), "3ab6…", id="hex"),
        pytest.param("a\x1b[31mb", "a\\x1b[31mb", id="what acts on a terminal"),
        pytest.param("x" * 64, "x" * 64, id="a long name"),
    ],
)
def test_a_name_is_shown_as_far_as_it_may_be(name: str, shown: str) -> None:
    found = _found(_config([_static(bytes(32), name)]))
    assert found[0].message == f"aescbc/{shown}: all bytes are equal"
    assert [one.id for one in found if one.id == rules.NAME_LIKE_KEY.id] == [rules.NAME_LIKE_KEY.id] * ("…" in shown)
    assert (name in repr(found)) is (name == shown)


@pytest.mark.parametrize(
    "key", [_PUBLISHED, _GOOD[0][:16], b"x" * 32, _GOOD[0][:16].hex().encode(), b"tea, biscuits & a long walk home"]
)
def test_no_message_holds_key_bytes_or_their_text(key: bytes) -> None:
    decoded = decode(_config([_static(key), _static(key, "b c", "aesgcm")]), name="enc.yaml", server=Server())
    shown = repr(list(key_advice(decoded, "enc.yaml"))) + repr(list(rules._places(decoded)))
    for spelled in (_text(key), key.hex(), repr(key)[2:-1]):
        assert spelled not in shown
        assert spelled[:12] not in shown


def test_ids_are_unique_and_every_rule_says_why_and_what_to_do() -> None:
    assert [rule.id for rule in rules.RULES] == [f"KC-KEY-{number:03}" for number in range(1, len(rules.RULES) + 1)]
    assert all(rule.title and rule.why and rule.fix for rule in rules.RULES)
