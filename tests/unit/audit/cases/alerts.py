"""Alert rules, by the series that their expressions name; and the files of audit logs."""

from __future__ import annotations

from typing import Any

from keyctl.audit.checks.files import AUDIT_LOG
from keyctl.audit.facts import Git
from keyctl.findings import Status
from tests.unit.audit.cases import Case
from tests.unit.audit.given import GOOD_CONFIG, config, file, found_in, server

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
RELOADS = "apiserver_encryption_config_controller_automatic_reload"
TRANSFORMED = "apiserver_storage_transformation_operations_total"
ALL = {
    "leader": "etcd_server_has_leader == 0",
    "size": "last_over_time(etcd_mvcc_db_total_size_in_bytes[5m]) / etcd_server_quota_backend_bytes > 0.9",
    "expiry": "x509_cert_not_after - time() < 86400 * 30",
    "backup": "time() - etcd_backup_last_success_timestamp_seconds > 90000",
    "reload": f'increase({RELOADS}s_total{{status="failure"}}[15m]) > 0',
    "transformed": f'increase({TRANSFORMED}{{status!="OK"}}[15m]) > 0',
    "kms": "increase(apiserver_envelope_encryption_invalid_key_id_from_status_total[15m]) > 0",
}
BY_PLUGIN = GOOD_CONFIG.partition("  providers:")[0] + (
    "  providers:\n  - kms: {apiVersion: v2, name: vault, endpoint: 'unix:///run/kms.sock'}\n"
)
KMS, NO_KMS = config(BY_PLUGIN), config()
WEBHOOK = server("--audit-webhook-config-file=/etc/kubernetes/webhook.yaml")


def rules(*without: str, records: str = "", **other: str) -> tuple[Any, ...]:
    """Alerts on everything but what is in `without`, with `other` expressions."""
    lines = [f"  - alert: {name}\n    expr: '{text}'\n" for name, text in (ALL | other).items() if name not in without]
    recorded = f"  - record: its:own\n    expr: '{records}'\n" if records else ""
    return found_in("groups:\n- name: etcd\n  rules:\n" + "".join(lines) + recorded, "rules.yaml")


CASES: list[Case] = [
    ("KC-LOG-004", P, (*rules(), KMS)),
    ("KC-LOG-004", P, (*rules("kms"), NO_KMS)),
    ("KC-LOG-004", U, (*rules("kms"),)),
    *(("KC-LOG-004", F, (*rules(name), KMS)) for name in ALL),
    ("KC-LOG-004", F, (*rules(leader="up == 0"), KMS)),
    # What keyctl exporter tells is as good.
    ("KC-LOG-004", P, (*rules(leader="keyctl_etcd_has_leader == 0"), KMS)),
    ("KC-LOG-004", P, (*rules(size="keyctl_etcd_database_size_bytes / keyctl_etcd_quota_bytes > 0.8"), KMS)),
    ("KC-LOG-004", P, (*rules(expiry="keyctl_certificate_not_after_timestamp_seconds - time() < 86400"), KMS)),
    ("KC-LOG-004", P, (*rules(reload="increase(keyctl_apiserver_reload_failures_total[15m]) > 0"), KMS)),
    ("KC-LOG-004", P, (*rules(transformed="keyctl_stored_unreadable_values > 0"), KMS)),
    # The name of a series in a text is not the series.
    ("KC-LOG-004", F, (*rules(leader='absent(up{job="etcd_server_has_leader"})'), KMS)),
    ("KC-LOG-004", F, (*rules(leader="my_etcd_server_has_leader_total == 0"), KMS)),
    # Snapshots of etcd's own log are no backups.
    ("KC-LOG-004", F, (*rules(backup="rate(etcd_debugging_snap_save_total_duration_seconds_sum[5m]) > 1"), KMS)),
    (
        "KC-LOG-004",
        P,
        (*rules(backup='time() - kube_cronjob_status_last_successful_time{cronjob="etcd-backup"} > 90000'), KMS),
    ),
    ("KC-LOG-004", F, (*rules(backup='time() - kube_cronjob_status_last_successful_time{cronjob="x"} > 90000'), KMS)),
    ("KC-LOG-004", P, (*rules(backup='keyctl_report_check_findings{check="KC-BKP-001",status="fail"} > 0'), KMS)),
    ("KC-LOG-004", F, (*rules(backup='keyctl_report_check_findings{check="KC-TLS-001",status="fail"} > 0'), KMS)),
    # That it was reloaded, or opened, is no failure.
    ("KC-LOG-004", F, (*rules(reload=f'increase({RELOADS}s_total{{status="success"}}[15m]) > 0'), KMS)),
    ("KC-LOG-004", P, (*rules(reload=f"increase({RELOADS}_failures_total[15m]) > 0"), KMS)),
    ("KC-LOG-004", F, (*rules(transformed=f'increase({TRANSFORMED}{{status="OK"}}[15m]) > 0'), KMS)),
    ("KC-LOG-004", F, (*rules(transformed=f"increase({TRANSFORMED}[15m]) > 0"), KMS)),
    ("KC-LOG-004", P, (*rules(transformed=f"sum by (status) (increase({TRANSFORMED}[15m])) > 0"), KMS)),
    ("KC-LOG-004", P, (*rules(kms='kubernetes_healthcheck{name="kms-providers"} == 0'), KMS)),
    ("KC-LOG-004", P, (*rules(leader="its:own > 0", records="etcd_server_has_leader == 0"), KMS)),
    ("KC-LOG-004", F, (*rules(leader="its:own > 0", records="its:own + 1"), KMS)),
    ("KC-LOG-004", P, (*rules("reload"), KMS, server())),
    ("KC-LOG-004", F, (*rules("reload"), KMS, server("--encryption-provider-config-automatic-reload=true"))),
    ("KC-LOG-004", U, (*rules("reload"), KMS, server(hidden="it is a test"))),
    ("KC-LOG-004", U, (*rules(leader="{{ later }} == 0"), KMS)),
    ("KC-LOG-004", P, (*rules(leader='etcd_server_has_leader{job="{{ later }}"} == 0'), KMS)),
    # Those of an application: what watches etcd is kept elsewhere.
    ("KC-LOG-004", U, (*rules(*ALL, mine="up == 0"), KMS)),
    ("KC-LOG-004", U, found_in("groups:\n- rules:\n  - record: a\n    expr: etcd_server_has_leader\n")),
    ("KC-LOG-003", P, (file(AUDIT_LOG), WEBHOOK)),
    ("KC-LOG-003", F, (file(AUDIT_LOG, 0o644), WEBHOOK)),
    ("KC-LOG-003", F, (file(AUDIT_LOG), file(AUDIT_LOG, 0o620), WEBHOOK)),
    ("KC-LOG-003", Status.MANUAL, (file(AUDIT_LOG), server())),
    ("KC-LOG-003", Status.MANUAL, (file(AUDIT_LOG), WEBHOOK, server(hidden="it is a test"))),
    ("KC-LOG-003", N, (file(AUDIT_LOG, 0o644, git=Git.TRACKED), WEBHOOK)),
    ("KC-LOG-003", N, (server(without=["audit-log-path"]),)),
]
