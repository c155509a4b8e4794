"""The kinds of JSON that tell of configurations, and of the users of etcd. See `shapes`."""

from __future__ import annotations

from tests.support.manual.shapes import COUNT, FLAG, MAYBE_TEXT, TEXT, Kind, Maybe

_READER = {"provider": TEXT, "key": MAYBE_TEXT, "fingerprint": MAYBE_TEXT, "kmsVersion": MAYBE_TEXT}
_EFFECTIVE = {
    "resource": TEXT,
    "coveredBy": MAYBE_TEXT,
    "entries": [COUNT],
    "write": _READER,
    "read": [_READER],
}
_USERS = [{"name": TEXT, "for": TEXT, "role": TEXT}]

KINDS: dict[str, Kind] = {
    "EtcdAccessPlan": Kind(("etcd-access plan",), {"enabled": FLAG, "users": _USERS, "steps": [TEXT]}),
    "EtcdAccessCheck": Kind(("etcd-access check",), {"enabled": FLAG, "users": _USERS}),
    "EtcdAccessApplied": Kind(
        ("etcd-access apply",),
        {"enabled": FLAG, "users": _USERS, "tried": [{"endpoint": TEXT, "user": TEXT, "what": TEXT, "let": FLAG}]},
    ),
    "EtcdAccessDisabled": Kind(("etcd-access apply --disable",), {"enabled": FLAG}),
    "ConfigReport": Kind(
        ("config validate",),
        {"file": TEXT, "kubernetes": TEXT, "accepted": Maybe(FLAG), "hash": TEXT, "effective": [_EFFECTIVE]},
    ),
    "ManifestReport": Kind(("config validate",), {"file": TEXT, "accepted": Maybe(FLAG)}),
    "ConfigView": Kind(
        ("config show",),
        {
            "configurations": [{"servers": [TEXT], "file": TEXT, "configured": FLAG, "effective": [_EFFECTIVE]}],
            "notes": [TEXT],
        },
    ),
    "ConfigExplanation": Kind(
        ("config explain",),
        {
            "configurations": [
                {
                    "servers": [TEXT],
                    "file": TEXT,
                    "configured": FLAG,
                    "resources": [
                        {
                            **_EFFECTIVE,
                            "values": [{"under": Maybe(_READER), "outcome": TEXT, "text": TEXT}],
                            "lines": [TEXT],
                        }
                    ],
                }
            ],
            "notes": [TEXT],
        },
    ),
    "ConfigDiff": Kind(
        ("config diff",),
        {
            "old": {"file": TEXT, "hash": TEXT},
            "new": {"file": TEXT, "hash": TEXT},
            "verdict": TEXT,
            "resources": [
                {
                    "resource": TEXT,
                    "same": FLAG,
                    "safe": FLAG,
                    "coveredBy": {"old": MAYBE_TEXT, "new": MAYBE_TEXT},
                    "write": {"old": _READER, "new": _READER},
                    "gained": [_READER],
                    "lost": [_READER],
                    "orderChanged": FLAG,
                }
            ],
        },
    ),
}
