from __future__ import annotations

import pytest

from keyctl.encryption_config.checks.advice import advice
from keyctl.encryption_config.decode import Decoded, decode
from keyctl.encryption_config.server import Server
from keyctl.findings import Severity, Status
from tests.unit.encryption_config.configs import b64, entry, file, static

_ID = "{identity: {}}"


def _decoded(*entries: str, tail: bytes = b"", minor: int = 37) -> Decoded:
    return decode(file(*entries) + tail, name="enc.yaml", server=Server(minor))


_GOOD = entry("secrets", static("good", 7), _ID)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([_GOOD], [], id="nothing wrong"),
        pytest.param([entry("'*.*'", static(), _ID)], [], id="secrets by a wildcard"),
        pytest.param([entry("secrets", _ID, static())], [("KC-CFG-001", Severity.CRITICAL)], id="identity first"),
        pytest.param([entry("configmaps", static())], [("KC-CFG-002", Severity.CRITICAL)], id="secrets not covered"),
        pytest.param([_GOOD, entry("secret", static())], [("KC-CFG-003", Severity.HIGH)], id="singular"),
        pytest.param([_GOOD, entry("deployments", static())], [("KC-CFG-003", Severity.HIGH)], id="no group"),
        pytest.param([_GOOD, entry("deployments.apps, '*.batch'", static())], [], id="groups are not judged"),
        pytest.param(
            [_GOOD, entry("pods", static("good", 8))], [("KC-CFG-004", Severity.HIGH)], id="one name, two keys"
        ),
        pytest.param([_GOOD, entry("pods", static("good", 7))], [], id="one key in two entries"),
        pytest.param(
            [entry("secrets", static("a", 1), static("b", 2), static("a", 1))],
            [("KC-CFG-005", Severity.LOW)],
            id="a key twice in one entry",
        ),
        pytest.param([entry("secrets", static("a", 1), static("a", 1, "aesgcm"))], [], id="two providers, one name"),
    ],
)
def test_accepted_but_wrong_is_told(entries: list[str], expected: list[tuple[str, Severity]]) -> None:
    found = advice(_decoded(*entries))
    assert [(one.id, one.severity) for one in found] == expected
    assert all(one.status is Status.FAIL and one.fix for one in found)


def test_a_typo_is_told_the_right_name() -> None:
    (found,) = advice(_decoded(_GOOD, entry("configmap", static())))
    assert found.message == '"configmap" encrypts nothing: the core group has no such resource'
    assert found.fix == "write configmaps"


def test_no_advice_repeats_a_key() -> None:
    found = advice(_decoded(entry("secret", _ID, static("a", 1), static("a", 2))))
    assert len(found) == 4
    assert not any(b64(fill) in repr(found) for fill in (1, 2))


@pytest.mark.parametrize(
    ("entries", "tail", "minor", "expected"),
    [
        pytest.param([_GOOD, entry("pods", _ID)], b"", 37, ("KC-CFG-006", 7, 15), id="a plaintext entry"),
        pytest.param([_GOOD, entry("secrets", static("b", 2))], b"", 37, ("KC-CFG-007", 6, 15), id="named twice"),
        pytest.param([_GOOD], b"---\n{broken", 37, ("KC-CFG-009", None, None), id="another document"),
        pytest.param([_GOOD, "  note: x\n"], b"", 30, ("KC-CFG-010", 6, 3), id="an ignored field"),
        pytest.param([_GOOD, entry("secret", static())], b"", 37, ("KC-CFG-003", 6, 15), id="a typo"),
        pytest.param([entry("pods", static())], b"", 37, ("KC-CFG-002", 4, 1), id="secrets not covered"),
        pytest.param([entry("secrets", _ID, static())], b"", 37, ("KC-CFG-001", 5, 15), id="identity first"),
    ],
)
def test_a_finding_points_at_the_mistake(
    entries: list[str], tail: bytes, minor: int, expected: tuple[str, int | None, int | None]
) -> None:
    (found,) = advice(_decoded(*entries, tail=tail, minor=minor))
    assert (found.id, found.location.line, found.location.column) == expected
    assert found.location.file == "enc.yaml"


def test_a_repeated_name_is_pointed_at_where_it_is_repeated() -> None:
    (found,) = advice(_decoded(_GOOD, entry("pods", static("good", 8), static("good", 9))))
    assert (found.id, found.location.line) == ("KC-CFG-004", 7)


def test_the_kind_of_old_is_told() -> None:
    content = (
        file(_GOOD)
        .replace(b"apiserver.config.k8s.io/v1", b"v1")
        .replace(b"EncryptionConfiguration", b"EncryptionConfig")
    )
    (found,) = advice(decode(content, name="enc.yaml"))
    assert (found.id, found.location.line, found.location.column) == ("KC-CFG-008", 2, 7)


def test_every_required_resource_is_looked_at() -> None:
    found = advice(_decoded(_GOOD), required=("secrets", "configmaps"))
    assert [(one.id, one.message) for one in found] == [
        ("KC-CFG-002", "no entry covers configmaps: stored in plaintext")
    ]


def test_a_key_name_that_may_be_a_key_is_not_repeated() -> None:
    name = b64(200)
    found = advice(_decoded(entry("secrets", *[static(name, fill) for fill in (1, 1, 2)])))
    assert [one.id for one in found] == ["KC-CFG-005", "KC-CFG-004"]
    assert all(one.message.startswith(f"aescbc/{name[:4]}… ") for one in found)
    assert name[:5] not in repr(found)


def test_a_name_that_may_be_a_key_is_not_repeated() -> None:
    (found,) = advice(_decoded(_GOOD, entry(f"'{'0123456789abcdef' * 4}'", static())))
    assert found.message.startswith('"0123…" encrypts nothing')
    assert "01234" not in repr(found)
