"""What the files of a repository tell by themselves: for a gate before the cluster exists.

Modes and owners are left out: those of a checkout say nothing about a host.
"""

from __future__ import annotations

from keyctl.audit.profiles.profile import Profile

_CHECKS = (
    *(f"KC-ENC-{number:03}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16)),
    *(f"KC-KEY-{number:03}" for number in (104, 105, 106, 107)),
    *(f"KC-TLS-{number:03}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 14)),
    "KC-AUTH-001",
    "KC-NET-001",
    "KC-NET-003",
    "KC-VER-001",
    "KC-VER-002",
    "KC-LOG-001",
    "KC-LOG-002",
    "KC-LOG-004",
    "KC-META-001",
    "KC-META-002",
)

PROFILE = Profile(
    "ci-static",
    "what files alone can tell, for continuous integration",
    "chosen by keyctl: every check that is judged from files; what the repository does not hold does not apply",
    dict.fromkeys(_CHECKS, ()),
    # What only a host, a certificate or the other servers can settle does not stop a build.
    optional=frozenset(
        {"KC-ENC-004", "KC-ENC-009", "KC-KEY-107", "KC-TLS-006", "KC-NET-001", "KC-VER-001", "KC-VER-002", "KC-LOG-004"}
    ),
    absent_is_fine=True,
)
