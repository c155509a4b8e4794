"""The controls of the CIS Kubernetes Benchmark 1.12 (Kubernetes 1.32 to 1.34) that are about etcd and encryption."""

from __future__ import annotations

from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "cis-1.12",
    "CIS Kubernetes Benchmark 1.12: encryption at rest, etcd, audit logs",
    "ids of CIS Kubernetes Benchmark 1.12 as the configuration of kube-bench has them (cis-1.11, cis-1.12); the checks "
    "judge what the software does, which is more than the wording of the benchmark",
    {
        "KC-FS-003": ("1.1.1", "1.1.2", "1.1.7", "1.1.8"),
        "KC-FS-002": ("1.1.11", "1.1.12"),
        "KC-FS-004": ("1.1.19", "1.1.20", "1.1.21"),
        "KC-AUTH-001": ("1.2.6", "1.2.7", "1.2.8"),
        "KC-LOG-001": ("1.2.16", "1.2.17", "1.2.18", "1.2.19"),
        "KC-TLS-008": ("1.2.23", "1.2.26"),
        "KC-ENC-001": ("1.2.27",),
        "KC-ENC-002": ("1.2.27",),
        "KC-ENC-003": ("1.2.27",),
        "KC-ENC-006": ("1.2.28",),
        "KC-ENC-007": ("1.2.28",),
        "KC-ENC-008": ("1.2.27",),
        "KC-ENC-009": ("1.2.28",),
        # What is stored says whether the flag and the file do what they are there for.
        "KC-ENC-014": ("1.2.27", "1.2.28"),
        "KC-DAT-101": ("1.2.27", "1.2.28"),
        "KC-TLS-010": ("1.2.29",),
        "KC-TLS-001": ("2.1",),
        "KC-TLS-002": ("2.2",),
        "KC-TLS-003": ("2.2", "2.5"),
        "KC-TLS-004": ("2.3", "2.6"),
        "KC-TLS-005": ("2.4", "2.5"),
        "KC-TLS-006": ("2.7",),
        # What a port answers to strangers says what its flags are worth.
        "KC-TLS-009": ("2.1", "2.2", "2.4", "2.5"),
        "KC-LOG-002": ("3.2.1", "3.2.2"),
        "KC-META-001": (),
        "KC-META-002": (),
    },
    # The benchmark is about files; a cluster that is asked shows what they are worth.
    optional=frozenset({"KC-ENC-014", "KC-DAT-101", "KC-TLS-009"}),
)
