"""Every profile by its name. A new one is a file beside this one and a row here."""

from __future__ import annotations

from collections.abc import Mapping

from keyctl.audit.checks.catalogue import RULES
from keyctl.audit.profiles import ci_static, cis_1_12, host, minimal
from keyctl.audit.profiles.profile import Profile

ALL = Profile("all", "every check", "the catalogue itself", {rule.id: () for rule in RULES})

PROFILES: Mapping[str, Profile] = {
    one.name: one for one in (ci_static.PROFILE, host.PROFILE, minimal.PROFILE, cis_1_12.PROFILE, ALL)
}
