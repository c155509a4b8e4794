"""Whether somebody is told when etcd or encryption fails: by the metrics that the expressions of alert rules name.

That a rule names the right series says neither that its bound is a good one, nor that the series is scraped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keyctl.audit.alerts import AlertRule
from keyctl.audit.checks.check import check_once
from keyctl.audit.checks.kms_health import has_kms
from keyctl.audit.checks.mappings import LOG
from keyctl.audit.facts import TEMPLATE, About, Facts, UndecidedError
from keyctl.audit.verdicts import Verdict, passed, unknown
from keyctl.findings import Evidence, Location, Rule, Severity, Status

ALERTS = Rule(
    "KC-LOG-004",
    Severity.MEDIUM,
    "nobody is told when etcd or encryption fails",
    "No leader, a full database, an expiring certificate, an old backup, a reload that failed: each is seen in metrics "
    "before it is felt.",
    "scrape etcd and the API servers, and alert on these",
    "metrics of etcd 3.7 and kube-apiserver 1.37; docs/audit.md",
    ("nist-800-53/SI-4", *LOG),
)

_TEXTS = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_STATUS = re.compile(r"\bstatus\s*(=~|!=|!~|=)\s*[\"']([^\"']*)[\"']")
_LEADER = re.compile(r"etcd_server_has_leader|keyctl_etcd_has_leader")
_SIZE = re.compile(
    r"etcd_(?:debugging_)?mvcc_db_total_size_in(?:_use_in)?_bytes|apiserver_storage_(?:db_total_)?size.*"
    r"|keyctl_etcd_database_size_bytes"
)
_EXPIRY = re.compile(
    r"apiserver_client_certificate_expiration_seconds.*|probe_ssl_.*expiry.*|x509_cert_.*|ssl_(?:file_)?cert_not_after"
    r"|certmanager_certificate_expiration_timestamp_seconds|keyctl_certificate_not_after_timestamp_seconds"
)
# etcd calls the snapshots of its log so, too; they are no backups.
_BACKUP = re.compile(r".*backup.*|etcdbr_snapshot.*|velero_.*")
_JOB = re.compile(r"kube_(?:cron)?job_.*")
_BACKUP_JOB = re.compile(r"backup|snapshot", re.IGNORECASE)
# What a report of keyctl gives to Prometheus.
_OWN = re.compile(r"keyctl_report_.*")
_RELOAD = "apiserver_encryption_config_controller_automatic_reload"
_FAILED_RELOADS = re.compile(
    rf"{_RELOAD}_(?:failures_total|last_timestamp_seconds)|keyctl_apiserver_reload_failures_total"
)
_RELOADS = re.compile(rf"{_RELOAD}s_total")
_TRANSFORMED = re.compile(r"apiserver_storage_transformation_operations_total")
_NOT_TRANSFORMED = re.compile(r"apiserver_storage_transformation_failures_total|keyctl_stored_unreadable_values")
_KMS = re.compile(r"apiserver_envelope_encryption_.*")
_HEALTH = re.compile(r"kubernetes_healthchecks?(?:_total)?")


@dataclass(frozen=True, slots=True)
class _Expression:
    """What an alert looks at: the `names` in its expression outside of texts, and the `whole` of it."""

    names: frozenset[str]
    whole: str

    def has(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.fullmatch(one) for one in self.names)

    def failures(self, right: str) -> bool:
        """Whether it tells the status `right` from others."""
        asked = _STATUS.findall(self.whole)
        return any(how in ("!=", "!~") or value != right for how, value in asked) or (
            not asked and "status" in self.names
        )


_TOPICS: dict[str, Callable[[_Expression], bool]] = {
    "an etcd without a leader": lambda one: one.has(_LEADER),
    "the size of etcd's database": lambda one: one.has(_SIZE),
    "certificates that expire": lambda one: one.has(_EXPIRY),
    "the age of backups": lambda one: (
        one.has(_BACKUP)
        or (one.has(_JOB) and _BACKUP_JOB.search(one.whole) is not None)
        or (one.has(_OWN) and "KC-BKP-001" in one.whole)
    ),
    "failed reloads of the encryption configuration": lambda one: (
        one.has(_FAILED_RELOADS) or (one.has(_RELOADS) and one.failures("success"))
    ),
    "values that cannot be encrypted or opened": lambda one: (
        one.has(_NOT_TRANSFORMED) or (one.has(_TRANSFORMED) and one.failures("OK"))
    ),
    "errors of the KMS": lambda one: one.has(_KMS) or (one.has(_HEALTH) and "kms" in one.whole),
}
_OF_RELOADS, _OF_KMS = "failed reloads of the encryption configuration", "errors of the KMS"


@check_once(ALERTS, About.ALERT_RULE)
def somebody_is_told(facts: Facts) -> Iterator[Verdict]:
    """Each thing that should be alerted on; what a template hides may be any of them."""
    rules = facts.of(AlertRule)
    if not rules:
        return
    alerts = [(one, _expression(one, rules)) for one in rules if not one.records]
    found = {topic: next((one for one, seen in alerts if matches(seen)), None) for topic, matches in _TOPICS.items()}
    if not any(found.values()):
        yield unknown(
            f"none of {len(alerts)} alerts is about etcd or encryption; those may be kept elsewhere", rules[0]
        )
        return
    template = next((one for one in rules if TEMPLATE.search(one.expression)), None)
    for topic, alert in found.items():
        needed = _is_needed(topic, facts)
        if alert is not None:
            yield passed(f"{alert.name} is about {topic}", alert)
        elif needed is None:
            yield unknown(f"no alert is about {topic}; whether there is need of one is not known", rules[0])
        elif needed and template is not None:
            yield unknown(f"whether an alert is about {topic} is put in later", template)
        elif needed:
            yield Verdict(Status.FAIL, f"no alert is about {topic}", Location(), Evidence.E1)


def _expression(alert: AlertRule, rules: tuple[AlertRule, ...]) -> _Expression:
    """Of the alert, with those of the recorded series that it uses."""
    recorded: dict[str, list[str]] = {}
    for one in rules:
        if one.records:
            recorded.setdefault(one.name, []).append(one.expression)
    whole, names = [alert.expression], set[str]()
    for text in whole:
        new = set(_NAME.findall(_TEXTS.sub("", text))) - names
        names |= new
        whole += [expression for name in sorted(new) for expression in recorded.get(name, ())]
    return _Expression(frozenset(names), "\n".join(whole))


def _is_needed(topic: str, facts: Facts) -> bool | None:
    """Whether there is something to be told of; None where that is not known."""
    if topic == _OF_KMS:
        decoded = [one.judged.decoded for one in facts.configurations]
        if any(one is not None and has_kms(one.config) for one in decoded):
            return True
        return None if not decoded or None in decoded else False
    if topic == _OF_RELOADS and facts.api_servers:
        name = "encryption-provider-config-automatic-reload"
        try:
            return any(server.switched(name) is not None for server in facts.api_servers)
        except UndecidedError:
            return None
    return True
