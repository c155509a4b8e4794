"""What the Kubernetes Hardening Guide of NSA and CISA says of etcd, encryption, logs and updates."""

from __future__ import annotations

from keyctl.audit.profiles.mapped import controls_of
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "nsa",
    "NSA/CISA Kubernetes Hardening Guide 1.2: encryption at rest, etcd, audit logs, updates",
    "the guide (August 2022) numbers nothing, so the names of its demands are keyctl's own; taken from summaries, "
    "not compared with its text",
    {
        **controls_of("nsa"),
        **{f"KC-TLS-{number:03}": ("etcd-tls",) for number in (1, 2, 3, 4, 5, 7, 8, 9)},
        "KC-TLS-006": ("etcd-ca",),
        "KC-NET-001": ("etcd-network",),
        "KC-NET-002": ("etcd-network",),
        "KC-LOG-001": ("audit-logs",),
        "KC-LOG-002": ("audit-logs",),
        "KC-VER-001": ("updates",),
        "KC-VER-002": ("updates",),
    },
)
