"""The kinds of JSON that tell of stored values, snapshots, keys and rotations. See `shapes`."""

from __future__ import annotations

from tests.support.manual.shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    MAYBE_COUNT,
    MAYBE_TEXT,
    NUMBER,
    TEXT,
    Kind,
    Mapping,
    Maybe,
)

_LEFT = {
    "area": TEXT,
    "resource": MAYBE_TEXT,
    "provider": TEXT,
    "key": TEXT,
    "values": COUNT,
    "retired": FLAG,
    "otherBytes": FLAG,
}
_COVERAGE = {"live": TEXT, "history": TEXT, "freePages": TEXT, "wal": TEXT, "snapDir": TEXT}
_REMARKS = [{"area": TEXT, "text": TEXT}]
_VERIFIED = {
    "verdict": TEXT,
    "outcomes": [TEXT],
    "proof": TEXT,
    "source": {"type": TEXT, "location": TEXT, "revision": COUNT, "clusterId": MAYBE_TEXT, "integrity?": TEXT},
    "summary": {
        "values": COUNT,
        "encrypted": COUNT,
        "plaintext": COUNT,
        "stale": COUNT,
        "unreadable": COUNT,
        "unrecognised": COUNT,
        "decrypted": COUNT,
        "notDecrypted": COUNT,
    },
    "resources": [
        {
            "resource": TEXT,
            "required": FLAG,
            "values": COUNT,
            "plaintext": COUNT,
            "unrecognised": COUNT,
            "missing": COUNT,
            "encrypted": [
                {
                    "provider": TEXT,
                    "version": TEXT,
                    "key": TEXT,
                    "keyId": MAYBE_TEXT,
                    "values": COUNT,
                    "role": TEXT,
                    "decrypted": COUNT,
                    "failed": COUNT,
                    "state": TEXT,
                }
            ],
        }
    ],
    "coverage": _COVERAGE,
    "remarks": _REMARKS,
    "history": {"values": COUNT, "plaintext": COUNT, "encrypted": [_LEFT]},
    "residue": {"plaintext": COUNT, "encrypted": [_LEFT], "plaintextIn": Mapping(COUNT)},
    "otherPrefixes": {"values": COUNT, "first": [TEXT], "live": {"values": COUNT, "first": [TEXT]}},
}
_SPACE = Maybe({"writable": FLAG, "why": [TEXT]})
_KEY_NEED = {
    "provider": TEXT,
    "version": MAYBE_TEXT,
    "name": TEXT,
    "keyId": MAYBE_TEXT,
    "fingerprint": MAYBE_TEXT,
    "values": COUNT,
    "opened": COUNT,
}
_ENCRYPTION = {"format": TEXT, "size": COUNT, "sha256": TEXT, "recipients": [TEXT]}
_FILE = {"file": TEXT, "at": TEXT}
_WHY = {"file": TEXT, "why": TEXT}
_KEPT = {
    "etcd": TEXT,
    "directory": TEXT,
    "policy": TEXT,
    "kept": [{**_FILE, "reasons": [TEXT]}],
    "deleted": [_FILE],
    "notDeleted": [_WHY],
    "leftAlone": [_WHY],
    "registeredAs": ANYTHING,
}
_MANIFEST = {
    "apiVersion": TEXT,
    "kind": TEXT,
    "file": TEXT,
    "size": COUNT,
    "sha256": TEXT,
    "at": TEXT,
    "etcd": {
        "name": TEXT,
        "clusterId": TEXT,
        "memberId": TEXT,
        "endpoint": TEXT,
        "version": TEXT,
        "revision": COUNT,
    },
    "prefix": TEXT,
    "values": COUNT,
    "encryption": Maybe(_ENCRYPTION),
    "keep": MAYBE_TEXT,
    "configuration": TEXT,
    "configurationsUnread": [TEXT],
    "keys": [_KEY_NEED],
    "resources": [{"resource": TEXT, "values": COUNT, "plaintext": COUNT}],
}
_SAVED = {
    "etcd": TEXT,
    "file": TEXT,
    "manifestFile": TEXT,
    "registeredIn": MAYBE_TEXT,
    "unread": MAYBE_COUNT,
    "plaintext": COUNT,
    "manifest": _MANIFEST,
}
_MOMENT = {"revision": COUNT, "at": TEXT}
_BACKUP = {
    "kind": TEXT,
    "location": TEXT,
    "at": TEXT,
    "revision": COUNT,
    "fingerprints": Mapping(MAYBE_TEXT),
    "keyIds": [{"key": TEXT, "id": TEXT}],
    "sha256": MAYBE_TEXT,
    "tested": Maybe({"at": TEXT, "proof": TEXT}),
}
_KEY = {
    "provider": TEXT,
    "name": TEXT,
    "state": TEXT,
    "since": TEXT,
    "fingerprint": TEXT,
    "origin": TEXT,
    "history": [{"state": TEXT, "at": TEXT}],
    "firstWrite": Maybe(_MOMENT),
    "lastWrite": Maybe(_MOMENT),
    "neededBy": [TEXT],
    "escrows": [TEXT],
}
_KEY_NAMED = {"provider": TEXT, "name": TEXT, "fingerprint": MAYBE_TEXT}
_VALUES_UNDER = {"resource": TEXT, "provider": TEXT, "key": TEXT, "values": COUNT}
_EVIDENCE = {
    "path": TEXT,
    "rotation": TEXT,
    "goal": TEXT,
    "state": TEXT,
    "cluster": TEXT,
    "clusterUid": TEXT,
    "who": TEXT,
    "began": TEXT,
    "ended": TEXT,
    "new": Maybe(_KEY_NAMED),
    "old": [_KEY_NAMED],
    "servers": [{"name": TEXT, "proofs": COUNT, "loadedBy": [TEXT]}],
    "before": [_VALUES_UNDER],
    "after": [_VALUES_UNDER],
    "revisions": Mapping(COUNT),
    "history": TEXT,
    "settle": NUMBER,
    "late": COUNT,
    "records": COUNT,
    "sha256": TEXT,
    "moments": [Mapping(ANYTHING)],
}

KINDS: dict[str, Kind] = {
    "VerifyReport": Kind(("verify-secrets",), _VERIFIED),
    "SanitizePlan": Kind(
        ("sanitize --dry-run",),
        {
            "clusters": [
                {
                    "label": TEXT,
                    "clusterId": TEXT,
                    "revision": COUNT,
                    "alarmsToTakeBack": [ANYTHING],
                    "members": [
                        {
                            "name": TEXT,
                            "id": TEXT,
                            "endpoint": TEXT,
                            "version": TEXT,
                            "leader": FLAG,
                            "dbSize": COUNT,
                            "dbSizeInUse": COUNT,
                        }
                    ],
                }
            ],
            "remains": [TEXT],
        },
    ),
    "SanitizeReport": Kind(
        ("sanitize",),
        {
            "clusters": [
                {
                    "label": TEXT,
                    "clusterId": TEXT,
                    "compactedTo": COUNT,
                    "space": _SPACE,
                    "members": [{"name": TEXT, "endpoint": TEXT, "dbSizeBefore": COUNT, "dbSizeAfter": COUNT}],
                    "proofs": [{"member": TEXT, "endpoint": TEXT, **_VERIFIED}],
                }
            ],
            "remains": [TEXT],
        },
    ),
    "SnapshotSaveReport": Kind(
        ("snapshot save",),
        {
            **_SAVED,
            "snapshots": [_SAVED],
            "notSaved": [{"etcd": TEXT, "file": TEXT, "error": TEXT}],
            "keep": [_KEPT],
        },
    ),
    "SnapshotSavePlan": Kind(("snapshot save --dry-run",), {"keep": [_KEPT]}),
    "SnapshotVerifyReport": Kind(
        ("snapshot verify",),
        {
            "snapshots": [
                {
                    "file": TEXT,
                    "sound": FLAG,
                    "manifest": TEXT,
                    "encrypted?": FLAG,
                    "opened?": FLAG,
                    "size?": COUNT,
                    "integrity?": TEXT,
                    "sha256?": MAYBE_TEXT,
                    "revision?": COUNT,
                    "compactRevision?": COUNT,
                    "pages?": COUNT,
                    "freePages?": COUNT,
                    "records?": COUNT,
                    "deletions?": COUNT,
                    "values?": COUNT,
                    "bothMetas?": FLAG,
                }
            ]
        },
    ),
    "SnapshotInspection": Kind(
        ("snapshot inspect",),
        {
            "file": TEXT,
            "size": COUNT,
            "integrity": TEXT,
            "revision": COUNT,
            "compactRevision": COUNT,
            "scheduledCompactRevision": COUNT,
            "storageVersion": MAYBE_TEXT,
            "clusterVersion": MAYBE_TEXT,
            "values": COUNT,
            "unreadable": MAYBE_COUNT,
            "plaintext": COUNT,
            "resources": [{"resource": TEXT, "values": COUNT, "plaintext": COUNT}],
            "keys": [{**_KEY_NEED, "leftBehind": COUNT}],
            "coverage": _COVERAGE,
            "remarks": _REMARKS,
            "history": [Mapping(ANYTHING)],
            "residue": [Mapping(ANYTHING)],
            "outsideOfPrefix": [{"prefix": TEXT, "keys": COUNT}],
            "members": [ANYTHING],
            "removedMembers": [ANYTHING],
            "alarms": [ANYTHING],
            "authEnabled": Maybe(FLAG),
            "users": [ANYTHING],
            "roles": [ANYTHING],
            "leases": COUNT,
        },
    ),
    "RestoreTestReport": Kind(
        ("snapshot restore-test",),
        {
            "file": TEXT,
            "sha256": TEXT,
            "integrity": TEXT,
            "revision": COUNT,
            "values": COUNT,
            "encrypted": COUNT,
            "unopened": COUNT,
            "kmsOnly": COUNT,
            "proof": MAYBE_TEXT,
            "keys": [_KEY_NEED],
            "configuration": [{"resources": [TEXT], "providers": [{"provider": TEXT, "name?": TEXT}]}],
            "server": Maybe(
                {
                    "version": TEXT,
                    "resources": [{"resource": TEXT, "stored": COUNT, "listed": COUNT, "problem": MAYBE_TEXT}],
                }
            ),
            "notTried": MAYBE_TEXT,
        },
    ),
    "KeyList": Kind(
        ("keys list",),
        {
            "store": TEXT,
            "keys": [_KEY],
            "backups": [{**_BACKUP, "needs": [TEXT]}],
            "escrows": [{**_BACKUP, "holds": [TEXT]}],
        },
        common=False,
    ),
    "KeyShow": Kind(("keys show",), {"store": TEXT, "cluster": TEXT, "key": _KEY}, common=False),
    "RotationEvidence": Kind(("rotate --verify-evidence --report json=",), _EVIDENCE),
}
