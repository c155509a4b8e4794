"""A sealed value in a file."""

from __future__ import annotations

import json

import pytest

from keyctl.errors import UnusableInputError
from keyctl.kms.interface import Sealed
from keyctl.kms.kept import keep, parse

SEED = b"s" * 32
KEPT = keep(SEED, Sealed(b"\x00cipher", "key-1", {"a.example": b"\xff"}), name="f", endpoint="unix:///x", at="2026")


def test_what_is_kept_comes_back_and_knows_its_plaintext_without_having_it() -> None:
    text = KEPT.to_text()
    found = parse(text.encode(), "f")
    assert found == KEPT
    assert found.opens_to(SEED)
    assert not found.opens_to(b"t" * 32)
    assert SEED.decode() not in text


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Other"},
        {"apiVersion": "keyctl/v2"},
        {"ciphertext": "!"},
        {"ciphertext": None},
        {"keyId": 3},
        {"annotations": []},
        {"annotations": {"a": "!"}},
        {"plaintextSha256": None},
    ],
    ids=str,
)
def test_what_is_no_such_value_is_refused(change: dict[str, object]) -> None:
    fields = json.loads(KEPT.to_text()) | change
    with pytest.raises(UnusableInputError, match="f is not a value that a plugin sealed for keyctl"):
        parse(json.dumps(fields).encode(), "f")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableInputError):
        parse(content, "f")
