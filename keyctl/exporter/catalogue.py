"""Every family of metrics: its name, its labels, which source tells it, what it means. And docs/monitoring.md's table.

Pure. `keyctl.exporter.samples` gives the numbers. No label holds the name of a Secret, or bytes of a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Source(StrEnum):
    """What is looked at, each on a schedule of its own."""

    VALUES = "values"
    SERVERS = "servers"
    ETCD = "etcd"
    ALARMS = "alarms"
    CERTIFICATES = "certificates"
    KEYS = "keys"
    BACKUPS = "backups"
    ROTATION = "rotation"


# How often each is looked at where nobody says otherwise, and what a look is.
INTERVALS = {
    Source.VALUES: timedelta(minutes=5),
    Source.SERVERS: timedelta(minutes=1),
    Source.ETCD: timedelta(seconds=30),
    Source.ALARMS: timedelta(seconds=30),
    Source.CERTIFICATES: timedelta(minutes=5),
    Source.KEYS: timedelta(minutes=1),
    Source.BACKUPS: timedelta(minutes=5),
    Source.ROTATION: timedelta(seconds=30),
}
_LOOKS = {
    Source.VALUES: "every value below the prefix is read from etcd at one revision, and opened with the servers' keys",
    Source.SERVERS: "each API server and the file on its host: ready, what it has loaded, refused reloads",
    Source.ETCD: "each endpoint's status",
    Source.ALARMS: "what each etcd says of its alarms and members",
    Source.CERTIFICATES: "the certificates that servers present, those of the cluster file, and --certificates",
    Source.KEYS: "the ledger of the key store",
    Source.BACKUPS: "the register of snapshots, and whether each is where it was saved",
    Source.ROTATION: "the journal of rotations on this machine",
}


class Kind(StrEnum):
    """What a number does: it goes up and down, or up only."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` is that of its samples; `source` None: the exporter tells it of itself, at every scrape."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    source: Source | None = None
    kind: Kind = Kind.GAUGE


INFO = Family(
    "keyctl_exporter_info", "Always 1: the cluster that is looked at, and keyctl's version.", ("cluster", "version")
)
UP = Family(
    "keyctl_source_up",
    "1 where the last look at the source came to its end; 0 where it did not, or there was none yet. "
    "What the source told before stays, at the age that its last success tells.",
    ("source",),
)
LAST_SUCCESS = Family(
    "keyctl_source_last_success_timestamp_seconds",
    "When the last look that came to its end began: every metric of the source is of then. "
    "Absent before the first one.",
    ("source",),
)
LAST_ATTEMPT = Family(
    "keyctl_source_last_attempt_timestamp_seconds", "When the last look ended, whatever came of it.", ("source",)
)
DURATION = Family("keyctl_source_duration_seconds", "How long the last look took.", ("source",))
PERIOD = Family(
    "keyctl_source_period_seconds",
    "From the beginning of the last look to that of the next one: the interval, or more where the load budget asks.",
    ("source",),
)
LOOKS = Family("keyctl_source_looks_total", "Looks at the source.", ("source",), kind=Kind.COUNTER)
FAILURES = Family(
    "keyctl_source_failures_total", "Looks that did not come to their end.", ("source",), kind=Kind.COUNTER
)

_of = Source.VALUES
STORED = Family(
    "keyctl_stored_values",
    "Values of the resources that are to be encrypted, and all that are. State: ok; stale (another key than the one "
    "that writes); unopened (a KMS plugin's, or no configuration was to be had); unreadable; unrecognised; plaintext.",
    ("resource", "provider", "key", "state"),
    _of,
)
READ = Family("keyctl_stored_values_read", "All values that were read below the prefix.", (), _of)
PLAINTEXT = Family(
    "keyctl_stored_plaintext_values", "Values in plaintext of a resource that is to be encrypted.", ("resource",), _of
)
STALE = Family(
    "keyctl_stored_stale_values",
    "Values of such a resource under another key than the one that writes.",
    ("resource",),
    _of,
)
UNREADABLE = Family(
    "keyctl_stored_unreadable_values", "Encrypted or unrecognised values that no server opens.", ("resource",), _of
)
EXIT_CODE = Family(
    "keyctl_verify_exit_code", "What keyctl verify-secrets would answer: 0 is all right, 10 nothing there.", (), _of
)
REVISION = Family("keyctl_verify_revision", "The revision of the main etcd that was read.", (), _of)
UNJUDGED = Family(
    "keyctl_verify_unread_configurations",
    "API servers whose configuration was not read: values are judged by those of the others, or by their heads alone.",
    (),
    _of,
)

_of = Source.SERVERS
READY = Family(
    "keyctl_apiserver_ready",
    "1 where the server says that it is ready. Absent where nobody can ask it: without a kubeconfig.",
    ("server",),
    _of,
)
STATE = Family(
    "keyctl_apiserver_state",
    "1 for the state that the server is in, 0 for the others: ok (what it has loaded is known, and nothing is against "
    "it), waiting (it has not loaded the file on its host), differs (it writes what another one cannot read, or the "
    "other way), no-flag (it encrypts nothing, others do), down, unknown.",
    ("server", "state"),
    _of,
)
WRITES = Family(
    "keyctl_apiserver_writes",
    "1 for the key under which the server stores new values of the resource; provider identity is plaintext. "
    "Absent where what it has loaded is not known.",
    ("server", "resource", "provider", "key"),
    _of,
)
CONFIGS = Family(
    "keyctl_apiserver_configurations",
    "How many different configurations the servers that answered have loaded; 1 where all agree.",
    (),
    _of,
)
RELOADS = Family(
    "keyctl_apiserver_reloads_total",
    "Reloads since the server's start that it took. Absent where its metrics were not read.",
    ("server",),
    _of,
    Kind.COUNTER,
)
RELOAD_FAILURES = Family(
    "keyctl_apiserver_reload_failures_total",
    "Reloads since the server's start that it refused. Absent where its metrics were not read.",
    ("server",),
    _of,
    Kind.COUNTER,
)
RELOADED = Family(
    "keyctl_apiserver_last_reload_timestamp_seconds",
    "The newest reload that the server took. Absent before the first one.",
    ("server",),
    _of,
)
FINDINGS = Family(
    "keyctl_findings",
    "Findings of keyctl status --no-scan, by check: see docs/findings.md. Absent where there is none.",
    ("check", "severity"),
    _of,
)

_of = Source.ETCD
ENDPOINT_UP = Family("keyctl_etcd_endpoint_up", "1 where the endpoint answered over mutual TLS.", ("endpoint",), _of)
LEADER = Family("keyctl_etcd_has_leader", "1 where the member follows a leader.", ("endpoint",), _of)
SIZE = Family("keyctl_etcd_database_size_bytes", "The member's file.", ("endpoint",), _of)
IN_USE = Family("keyctl_etcd_database_in_use_bytes", "What of the file is no free page.", ("endpoint",), _of)
QUOTA = Family(
    "keyctl_etcd_quota_bytes",
    "How large the file may get. Absent where etcd does not tell (before 3.6).",
    ("endpoint",),
    _of,
)

_of = Source.ALARMS
ALARMS = Family("keyctl_etcd_alarms", "Alarms that stand, against whichever member.", ("etcd", "alarm"), _of)
MEMBERS = Family("keyctl_etcd_members", "Members that the cluster knows.", ("etcd",), _of)

_of = Source.CERTIFICATES
NOT_AFTER = Family(
    "keyctl_certificate_not_after_timestamp_seconds",
    "When the certificate ends. Place: file, or presented by a server. Absent where it could not be read.",
    ("place", "certificate"),
    _of,
)
NOT_BEFORE = Family("keyctl_certificate_not_before_timestamp_seconds", "When it begins.", ("place", "certificate"), _of)
CERTIFICATE_READ = Family(
    "keyctl_certificate_readable", "1 where the certificate was read.", ("place", "certificate"), _of
)

_of = Source.KEYS
KEY_STATE = Family(
    "keyctl_key_state", "1 for the state that the ledger has the key in.", ("provider", "key", "state"), _of
)
KEY_SINCE = Family(
    "keyctl_key_in_use_since_timestamp_seconds",
    "Since when the key's bytes are in use, or are known, under whatever name. Absent where the ledger does not tell, "
    "and for destroyed keys.",
    ("provider", "key"),
    _of,
)
KEYS = Family("keyctl_keys", "Keys in this state.", ("state",), _of)
MAX_AGE = Family("keyctl_key_max_age_seconds", "policy.keyMaxAge of the cluster file.", (), _of)

_of = Source.BACKUPS
BACKUPS = Family("keyctl_backups", "Registered snapshots.", (), _of)
MISSING = Family(
    "keyctl_backups_missing", "Registered snapshots that are not where they were saved, as seen from here.", (), _of
)
NEWEST = Family(
    "keyctl_backup_newest_timestamp_seconds",
    "When the newest registered snapshot that is where it was saved was registered. Absent without one.",
    (),
    _of,
)
TESTED = Family(
    "keyctl_backup_tested_timestamp_seconds",
    "The newest test of a snapshot with this result: served by an API server, its values opened, or failed. "
    "Absent without one.",
    ("result",),
    _of,
)
BACKUP_MAX_AGE = Family("keyctl_backup_max_age_seconds", "backups.maxAge of the cluster file.", (), _of)

_of = Source.ROTATION
UNDER_WAY = Family("keyctl_rotation_under_way", "1 while a rotation was begun and has not ended.", (), _of)
BEGUN = Family("keyctl_rotation_begun_timestamp_seconds", "When it began. Absent without one.", (), _of)
LAST_EVENT = Family(
    "keyctl_rotation_last_event_timestamp_seconds", "When it last did anything. Absent without one.", (), _of
)

FAMILIES = tuple(value for value in list(globals().values()) if isinstance(value, Family))


def table() -> str:
    """The sources and the metrics as Markdown, for docs/monitoring.md."""
    sources = "".join(f"| `{one}` | {_LOOKS[one]} | {_span(INTERVALS[one])} |\n" for one in Source)
    metrics = "".join(map(_row, FAMILIES))
    return (
        f"| source | a look | every |\n|---|---|---|\n{sources}\n"
        f"| metric | labels | of | meaning |\n|---|---|---|---|\n{metrics}"
    )


def _row(family: Family) -> str:
    labels = ", ".join(family.labels) or "-"
    kind = " (counter)" if family.kind is Kind.COUNTER else ""
    return f"| `{family.name}`{kind} | {labels} | {family.source or 'itself'} | {family.help} |\n"


def _span(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
