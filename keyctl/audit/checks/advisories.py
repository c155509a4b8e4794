"""What is known against versions of etcd, and which are supported: dated data, from etcd's changelogs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from keyctl.findings import Severity

# When this was last compared with etcd's changelogs and its list of advisories.
AS_OF = date(2026, 8, 20)
# The two newest minors; 3.5 still gets fixes.
SUPPORTED = ((3, 5), (3, 6), (3, 7))

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Advisory:
    """`fixed` are the first good versions of each minor; `since` the first bad one.

    `needs` says in which set-up it matters, "" for all. A minor that is not in `fixed` is bad if it is older than all
    of them, good if it is newer.
    """

    id: str
    severity: Severity
    what: str
    fixed: tuple[Version, ...]
    since: Version = (0, 0, 0)
    needs: str = ""

    def hits(self, version: Version) -> bool:
        """Whether `version` is bad."""
        if version < self.since:
            return False
        same = [one for one in self.fixed if one[:2] == version[:2]]
        return version < same[0] if same else version < min(self.fixed)


USERS = "etcd's own users and roles, which Kubernetes does not use"

ADVISORIES = (
    Advisory(
        "CVE-2026-73499",
        Severity.LOW,
        "a watch passes over permissions",
        ((3, 5, 33), (3, 6, 14), (3, 7, 1)),
        needs=USERS,
    ),
    Advisory(
        "GHSA-6vch-q96h-7gc3",
        Severity.HIGH,
        "unfinished TLS handshakes exhaust the server",
        ((3, 5, 33), (3, 6, 14), (3, 7, 1)),
    ),
    Advisory(
        "GHSA-3wh4-j44w-pg92",
        Severity.MEDIUM,
        "revocation lists are passed over",
        ((3, 5, 32), (3, 6, 13), (3, 7, 0)),
        needs="revocation lists (--client-crl-file)",
    ),
    Advisory(
        "CVE-2026-44283",
        Severity.LOW,
        "permissions are passed over",
        ((3, 4, 44), (3, 5, 30), (3, 6, 11)),
        needs=USERS,
    ),
    Advisory(
        "CVE-2026-33413", Severity.LOW, "permissions are passed over", ((3, 4, 42), (3, 5, 28), (3, 6, 9)), needs=USERS
    ),
    Advisory(
        "CVE-2026-33343", Severity.LOW, "permissions are passed over", ((3, 4, 42), (3, 5, 28), (3, 6, 9)), needs=USERS
    ),
    Advisory("CVE-2023-32082", Severity.LOW, "key names leak through leases", ((3, 4, 26), (3, 5, 9)), needs=USERS),
    Advisory("CVE-2021-28235", Severity.LOW, "a debug page shows credentials", ((3, 4, 25), (3, 5, 8)), needs=USERS),
    Advisory(
        "data corruption in 3.5.0 to 3.5.2",
        Severity.HIGH,
        "members come to differ after a crash under load",
        ((3, 5, 3),),
        since=(3, 5, 0),
    ),
    Advisory(
        "data corruption by a snapshot during defragmentation",
        Severity.HIGH,
        "a member that is sent a snapshot while it defragments comes to differ",
        ((3, 4, 38), (3, 5, 23), (3, 6, 5)),
    ),
)
