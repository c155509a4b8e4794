"""The HIPAA security rule's specifications that checks answer."""

from __future__ import annotations

from keyctl.audit.profiles.mapped import controls_of
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "hipaa",
    "HIPAA security rule, 45 CFR 164: encryption, transmission, audit, backup",
    "164.312(a)(2)(iv), which is addressable, as cnspec maps it; all other ids are from general knowledge, not "
    "compared with the text of the rule",
    controls_of("hipaa"),
)
