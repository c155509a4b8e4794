"""What stands in the entries of a cluster, for those who may not read keys."""

from __future__ import annotations

import pytest

from keyctl.errors import UnusableInputError
from keyctl.keys.key import Key, Provider
from keyctl.keys.ledger import Origin
from keyctl.keys.vault.entries import KeyEntry, Ledger, decode_ledger


@pytest.mark.parametrize(
    "name", ["k" * 600, "\u9375" * 200, "ab\u9375" * 171], ids=["ascii", "of three bytes", "mixed"]
)
def test_no_value_beside_a_key_is_longer_than_vault_takes(name: str) -> None:
    entry = KeyEntry(Key(Provider.AESCBC, name, bytes(range(32))), Origin.IMPORTED, "2026-11-21T10:00:05+00:00", "prod")
    shown = entry.metadata()["name"]
    assert 500 < len(shown.encode()) <= 512
    assert name.startswith(shown)
    assert entry.fields()["name"] == name


@pytest.mark.parametrize(
    "row",
    [
        ["aescbc", "key1", "ab", "yesterday"],
        ["aescbc", "key1", "ab", "2026-11-21T10:00:05"],
        ["aescbc", "key1", "ab"],
        ["nothing", "key1", "ab", "2026-11-21T10:00:05+00:00"],
    ],
    ids=["no time", "a time without a zone", "too short", "no provider"],
)
def test_an_intent_that_nobody_wrote_so_is_a_damaged_ledger(row: list[str]) -> None:
    whole = {**Ledger("prod", seq=1).fields(), "pending": [["aescbc", "key1", "ab", "2026-11-21T10:00:05+00:00"]]}
    assert len(decode_ledger(whole, cluster="prod", name="x").pending) == 1
    with pytest.raises(UnusableInputError, match="the key ledger at x is damaged"):
        decode_ledger({**whole, "pending": [row]}, cluster="prod", name="x")
