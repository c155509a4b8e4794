"""What the files of a control-plane host tell: configuration, certificates, modes and owners."""

from __future__ import annotations

from keyctl.audit.profiles import ci_static
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "host",
    "what the files of a control-plane host tell, modes and owners too",
    "chosen by keyctl: every check that is judged from files; what does not lie on this host does not apply",
    {**ci_static.PROFILE.controls, **{f"KC-FS-{number:03}": () for number in range(1, 6)}},
    optional=frozenset({"KC-ENC-009", "KC-KEY-107", "KC-NET-001", "KC-VER-001", "KC-VER-002"}),
    absent_is_fine=True,
)
