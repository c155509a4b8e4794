"""The rules of DISA's Kubernetes STIG, version 2, that are about etcd, encryption, keys, files and audit logs."""

from __future__ import annotations

from keyctl.audit.profiles.mapped import controls_of
from keyctl.audit.profiles.profile import Profile

PROFILE = Profile(
    "stig",
    "DISA Kubernetes STIG v2: encryption at rest, etcd, files, audit logs",
    "ids of DISA's Kubernetes STIG v2r5 and v2r6 as gardener/diki has them; V-274882 asks for encrypted Secrets; "
    "V-242442 (no components of older versions) has no check here; V-242459 asks for 644 on files of etcd, and 0700 on "
    "their directory is judged",
    controls_of("stig"),
)
