"""The kinds of JSON of the commands that look at a cluster, an audit, certificates or a plugin. See `shapes`."""

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

KINDS: dict[str, Kind] = {
    "AuditReport": Kind(
        ("audit",),
        {
            "profile": TEXT,
            "coverage": {"applicable": COUNT, "evaluated": COUNT},
            "keyctl": TEXT,
            "date": TEXT,
            "outcomes": [TEXT],
            "knownFailures": COUNT,
            "filesLookedInto": COUNT,
            "knownAs": Mapping(TEXT),
            "checks": [{"id": TEXT, "title": TEXT, "status": TEXT, "results": [Mapping(ANYTHING)]}],
            "ruleset": {"sha256": TEXT},
            "inputs": [{"file": MAYBE_TEXT, "sha256": MAYBE_TEXT, "bytes": MAYBE_COUNT, "whole": FLAG}],
            "observed": [TEXT],
            "signed": FLAG,
        },
    ),
    "ClusterStatus": Kind(
        ("status",),
        {
            "cluster": TEXT,
            "at": TEXT,
            "revision": MAYBE_COUNT,
            "scanned": FLAG,
            "servers": [
                {
                    "name": TEXT,
                    "version": MAYBE_TEXT,
                    "ready": FLAG,
                    "problem": MAYBE_TEXT,
                    "file": Maybe({"path": TEXT, "hash": MAYBE_TEXT}),
                    "loaded": {"hash": MAYBE_TEXT, "by": MAYBE_TEXT, "doubt": MAYBE_TEXT},
                    "writes": MAYBE_TEXT,
                    "reload": Maybe(FLAG),
                    "state": TEXT,
                }
            ],
            "keys": [
                {
                    "provider": TEXT,
                    "name": TEXT,
                    "fingerprint": MAYBE_TEXT,
                    "created": MAYBE_TEXT,
                    "role": MAYBE_TEXT,
                    "ledger": MAYBE_TEXT,
                    "values": MAYBE_COUNT,
                    "history": TEXT,
                    "snapshots": [TEXT],
                    "files": [TEXT],
                }
            ],
            "rotation": Maybe(
                {
                    "id": MAYBE_TEXT,
                    "state": MAYBE_TEXT,
                    "back": FLAG,
                    "began": MAYBE_TEXT,
                    "last": MAYBE_TEXT,
                    "ofThisCluster": FLAG,
                    "problem": MAYBE_TEXT,
                    "moments": [Mapping(ANYTHING)],
                }
            ),
            "due": MAYBE_TEXT,
        },
    ),
    "DoctorReport": Kind(
        ("doctor",),
        {
            "cluster": TEXT,
            "source": TEXT,
            "revision": MAYBE_COUNT,
            "checks": [{"area": TEXT, "label": TEXT, "outcome": TEXT, "id": TEXT, "message": TEXT, "fix": MAYBE_TEXT}],
            "servers": [
                {
                    "name": TEXT,
                    "version": MAYBE_TEXT,
                    "ready": FLAG,
                    "file": Maybe({"path": TEXT, "hash": MAYBE_TEXT}),
                    "flag": Maybe(FLAG),
                    "loaded": {"hash": MAYBE_TEXT, "by": MAYBE_TEXT, "known": FLAG},
                    "cannotRead": MAYBE_COUNT,
                    "cannotReadAfterStart": MAYBE_COUNT,
                }
            ],
            "values": Maybe(
                [
                    {
                        "resource": TEXT,
                        "key": MAYBE_TEXT,
                        "values": COUNT,
                        "lost": FLAG,
                        "openedBy": Maybe({"fingerprint": TEXT, "from": TEXT}),
                        "first": [TEXT],
                    }
                ]
            ),
            "lost": COUNT,
            "tool": MAYBE_TEXT,
            "steps": [TEXT],
        },
    ),
    "CertificateReport": Kind(
        ("certs check",),
        {
            "date": TEXT,
            "filesLookedInto": COUNT,
            "certificates": [
                {
                    "file": TEXT,
                    "number": COUNT,
                    "role": MAYBE_TEXT,
                    "use": TEXT,
                    "subject": TEXT,
                    "issuer": TEXT,
                    "names": [TEXT],
                    "notBefore": TEXT,
                    "notAfter": TEXT,
                    "serial": TEXT,
                    "publicKeySha256": TEXT,
                    "keyType": TEXT,
                    "keyBits": MAYBE_COUNT,
                    "signedBy": MAYBE_TEXT,
                    "chain": TEXT,
                    "key": MAYBE_TEXT,
                    "keyMatches": Maybe(FLAG),
                }
            ],
        },
    ),
    "CertificatesIssued": Kind(
        ("certs init", "certs issue"),
        {
            "directory": TEXT,
            "issued": [{"name": TEXT, "use": TEXT, "names": TEXT, "until": TEXT, "certificate": TEXT}],
            "flags?": Mapping([TEXT]),
        },
    ),
    "CertificatesRenewed": Kind(
        ("certs renew",),
        {
            "directory": TEXT,
            "dryRun": FLAG,
            "renewed": [{"name": TEXT, "use": TEXT, "former": TEXT, "until": TEXT, "folder": TEXT}],
            "hosts?": [TEXT],
        },
    ),
    "CertificatesRolloverPlan": Kind(("certs rollover --dry-run",), {"directory": TEXT, "steps": [TEXT]}),
    "CertificatesRolledOver": Kind(("certs rollover",), {"directory": TEXT, "generation": TEXT}),
    "KmsReport": Kind(
        ("kms check",),
        {
            "endpoint": TEXT,
            "usable": FLAG,
            "version": MAYBE_TEXT,
            "keyId": MAYBE_TEXT,
            "keyIdHash": MAYBE_TEXT,
            "timeoutSeconds": NUMBER,
            "socket": Maybe({"mode": TEXT, "uid": COUNT, "gid": COUNT}),
            "calls": [
                {
                    "call": TEXT,
                    "answered": COUNT,
                    "failed": COUNT,
                    "medianSeconds": Maybe(NUMBER),
                    "p99Seconds": Maybe(NUMBER),
                    "maxSeconds": Maybe(NUMBER),
                }
            ],
        },
    ),
    "RotationEvent": Kind(
        ("rotate", "enable", "disable"),
        {"event": TEXT, "message": TEXT},
        common=False,
    ),
}
