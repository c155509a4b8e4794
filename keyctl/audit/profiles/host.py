"""What the files of a control-plane host tell: configuration, certificates, modes and owners."""

from __future__ import annotations

from keyctl.audit.profiles import ci_static
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "host",
    "what the files of a control-plane host tell, modes and owners too",
    "chosen by keyctl: every check that is judged from files; what does not lie on this host does not apply",
    {
        **ci_static.PROFILE.controls,
        **{f"KC-FS-{number:03}": () for number in range(1, 6)},
        "KC-LOG-003": (),
        **{f"KC-BKP-{number:03}": () for number in (1, 2, 3, 5, 6, 7)},
    },
    # Which keys a backup needs, and whether it was tested, is known where the key store is.
    optional=frozenset(
        {"KC-ENC-009", "KC-KEY-107", "KC-NET-001", "KC-VER-001", "KC-VER-002", "KC-LOG-004", "KC-BKP-005", "KC-BKP-006"}
    ),
    absent_is_fine=True,
)
