"""The requirements of PCI DSS 4.0.1 that checks answer."""

from __future__ import annotations

from keyctl.audit.profiles.mapped import controls_of
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "pci-4.0.1",
    "PCI DSS 4.0.1: stored data, keys, TLS, networks, access, logs, patches",
    "ids of PCI DSS 4.0.1; of its wording 3.5.1, 3.5.1.2 and 3.6.1.2 were compared, the others are from general "
    "knowledge; 3.6.1.2 names no raw key in a file among the forms that it accepts",
    controls_of("pci-4.0.1"),
)
