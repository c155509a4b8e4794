"""The least that must be right, with proof: encryption is on, in what is stored too, and etcd is closed to others."""

from __future__ import annotations

from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "minimal",
    "the least that must be right, with proof by stored values",
    "chosen by keyctl: what, when it is wrong, makes all other checks worthless",
    {
        "KC-ENC-001": (),
        "KC-ENC-002": (),
        "KC-ENC-006": (),
        "KC-ENC-007": (),
        "KC-ENC-014": (),
        "KC-DAT-101": (),
        "KC-TLS-007": (),
        "KC-TLS-009": (),
        "KC-META-001": (),
        "KC-META-002": (),
    },
)
