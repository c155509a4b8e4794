"""Every check, in the order of the areas. A new file of checks has one row here."""

from __future__ import annotations

from keyctl.audit.checks import (
    api_server,
    audit_logs,
    backups,
    certificates,
    encryption_config,
    encryption_flags,
    encryption_state,
    etcd_clients,
    etcd_members,
    etcd_ports,
    etcd_tls,
    files,
    keys,
    meta,
    network,
    operated,
    stored_values,
    versions,
)
from keyctl.audit.checks.check import Check
from keyctl.findings import Rule

CHECKS: tuple[Check, ...] = (
    *encryption_flags.CHECKS,
    *encryption_config.CHECKS,
    *encryption_state.CHECKS,
    *operated.CHECKS,
    *stored_values.CHECKS,
    *keys.CHECKS,
    *etcd_tls.CHECKS,
    *etcd_ports.CHECKS,
    *etcd_members.CHECKS,
    *etcd_clients.CHECKS,
    *certificates.CHECKS,
    *api_server.CHECKS,
    *network.CHECKS,
    *files.CHECKS,
    *versions.CHECKS,
    *backups.CHECKS,
    *audit_logs.CHECKS,
)

RULES: tuple[Rule, ...] = (*(one.rule for one in CHECKS), *meta.RULES)
