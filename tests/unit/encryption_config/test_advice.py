from __future__ import annotations

import pytest

from keyctl.encryption_config.advice import advice
from keyctl.findings import Severity, Status
from tests.unit.encryption_config.configs import b64, config_of, entry, static

_ID = "{identity: {}}"
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
    found = advice(config_of(*entries))
    assert [(one.id, one.severity) for one in found] == expected
    assert all(one.status is Status.FAIL and one.fix for one in found)


def test_a_typo_is_told_the_right_name() -> None:
    (found,) = advice(config_of(_GOOD, entry("configmap", static())))
    assert found.message == '"configmap" is no resource of the core group: the line encrypts nothing'
    assert found.fix == "write configmaps"


def test_no_advice_repeats_a_key() -> None:
    found = advice(config_of(entry("secret", _ID, static("a", 1), static("a", 2))))
    assert len(found) == 4
    assert not any(b64(fill) in repr(found) for fill in (1, 2))
