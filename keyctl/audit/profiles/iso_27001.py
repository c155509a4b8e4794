"""The controls of ISO/IEC 27001:2022, annex A, that checks answer."""

from __future__ import annotations

from keyctl.audit.profiles.mapped import controls_of
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "iso-27001",
    "ISO/IEC 27001:2022, annex A: cryptography, backup, logs, flaws, networks, access",
    "A.8.24 as cnspec maps it; all other ids are from general knowledge, not compared with the text of the standard",
    controls_of("iso-27001"),
)
