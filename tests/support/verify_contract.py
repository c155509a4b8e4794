"""The JSON contract of `verify-secrets` (keyctl/v1), and what in a document breaks it.

Fields may be added to the contract, so unknown ones at the top are no fault; what is there must be of its type.
"""

from __future__ import annotations

from collections.abc import Iterator

_TEXT, _NUMBER, _FLAG, _ANY = str, int, bool, object
_ENCRYPTED = {
    "provider": _TEXT,
    "version": _TEXT,
    "key": _TEXT,
    "keyId": (str, type(None)),
    "values": _NUMBER,
    "role": ("write", "read", "unknown"),
    "decrypted": _NUMBER,
    "failed": _NUMBER,
    "state": ("ok", "stale", "unreadable", "unknown"),
}
_RESOURCE = {
    "resource": _TEXT,
    "required": _FLAG,
    "values": _NUMBER,
    "plaintext": _NUMBER,
    "unrecognised": _NUMBER,
    "missing": _NUMBER,
    "encrypted": [_ENCRYPTED],
}
_FINDING = {
    "id": _TEXT,
    "severity": ("critical", "high", "medium", "low", "info"),
    "status": ("fail", "pass", "unknown", "not-applicable", "manual", "waived"),
    "message": _TEXT,
    "location": {},
    "evidence": {"level": ("E0", "E1", "E2", "E3")},
    "mappings": [_TEXT],
}
_COUNTS = ("values", "encrypted", "plaintext", "stale", "unreadable", "unrecognised", "decrypted", "notDecrypted")
_AREA = ("scanned", "not-scanned", "absent")
CONTRACT = {
    "apiVersion": ("keyctl/v1",),
    "kind": ("VerifyReport",),
    "exitCode": _NUMBER,
    "findings": [_FINDING],
    "verdict": ("pass", "plaintext", "unreadable", "stale", "residue", "incomplete", "empty"),
    "outcomes": [_TEXT],
    "proof": ("decrypted", "prefix"),
    "source": {"type": ("etcd", "snapshot", "data-dir"), "location": _TEXT, "revision": _NUMBER, "clusterId": _TEXT},
    "summary": dict.fromkeys(_COUNTS, _NUMBER),
    "resources": [_RESOURCE],
    "coverage": dict.fromkeys(("live", "history", "freePages", "wal", "snapDir"), _AREA),
    "history": {"values": _NUMBER, "plaintext": _NUMBER, "encrypted": [_ENCRYPTED]},
    "residue": {"plaintext": _NUMBER, "encrypted": [_ENCRYPTED], "plaintextIn": {}},
}


def broken_promises(document: object, contract: object = CONTRACT, path: str = "$") -> list[str]:
    """Every place of `document` that is missing, of another type, or none of the words allowed there."""
    return list(_broken(document, contract, path))


def _broken(value: object, contract: object, path: str) -> Iterator[str]:
    match contract:
        case dict():
            if not isinstance(value, dict):
                yield f"{path} is no object"
                return
            for name, inner in contract.items():
                if name not in value:
                    yield f"{path}.{name} is missing"
                else:
                    yield from _broken(value[name], inner, f"{path}.{name}")
        case tuple() if all(isinstance(word, str) for word in contract):
            if value not in contract:
                yield f"{path} is {value!r}"
        case type() | tuple():
            if not isinstance(value, contract) or (contract is int and isinstance(value, bool)):
                yield f"{path} is {value!r}"
        case list():
            (inner,) = contract
            if not isinstance(value, list):
                yield f"{path} is no list"
                return
            for index, item in enumerate(value):
                yield from _broken(item, inner, f"{path}[{index}]")
