"""The controls of NIST SP 800-53, revision 5, in the moderate baseline that checks answer."""

from __future__ import annotations

from keyctl.audit.profiles.mapped import controls_of
from keyctl.audit.profiles.profile import Profile

# Of the controls that checks name, those that NIST's own data has in the moderate baseline.
_MODERATE = frozenset(
    {"AC-3", "AC-6", "AU-2", "AU-9", "AU-12", "CM-6", "CM-7", "CP-9", "CP-9(1)", "CP-9(8)", "IA-5(2)", "RA-5", "SA-22"}
) | {"SC-7", "SC-8(1)", "SC-12", "SC-13", "SC-17", "SC-28", "SC-28(1)", "SI-2", "SI-4", "SI-7"}

PROFILE = Profile(
    "nist-800-53",
    "NIST SP 800-53 revision 5, moderate baseline: encryption at rest, keys, TLS, access, backups, logs, flaws",
    "membership in the moderate baseline as in NIST's OSCAL content (revision 5, final); SC-12(1), SC-28(3) and AU-10, "
    "which checks name too, are not in it; which check answers which control is keyctl's own choice",
    controls_of("nist-800-53", among=_MODERATE),
)
