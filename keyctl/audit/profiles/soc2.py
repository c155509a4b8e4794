"""The criteria of SOC 2 that checks answer."""

from __future__ import annotations

from keyctl.audit.profiles.mapped import controls_of
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "soc2",
    "SOC 2, trust services criteria: encryption, boundaries, monitoring, backups",
    "CC6.1 as cnspec maps it; all other ids are from general knowledge, not compared with the text of the criteria",
    controls_of("soc2"),
)
