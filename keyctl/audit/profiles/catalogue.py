"""Every profile by its name. A new one is a file beside this one and a row here."""

from __future__ import annotations

from collections.abc import Mapping

from keyctl.audit.checks.catalogue import RULES
from keyctl.audit.profiles import (
    ci_static,
    cis_1_12,
    cis_2_0_1,
    hipaa,
    host,
    iso_27001,
    minimal,
    nist_800_53,
    nsa,
    pci_4_0_1,
    soc2,
    stig,
)
from keyctl.audit.profiles.profile import Profile

ALL = Profile("all", "every check", "the catalogue itself", {rule.id: () for rule in RULES})

PROFILES: Mapping[str, Profile] = {
    one.PROFILE.name: one.PROFILE
    for one in (
        *(ci_static, host, minimal, cis_1_12, cis_2_0_1),
        *(stig, nsa, nist_800_53, pci_4_0_1, iso_27001, soc2, hipaa),
    )
} | {ALL.name: ALL}
