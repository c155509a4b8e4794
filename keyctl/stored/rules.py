"""What can be wrong with stored values, and with knowing: the texts. `keyctl.verify` and its command apply them."""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_READ = "every value as it stands in etcd, opened with the keys of the encryption configuration"


def _data(number: int, severity: Severity, title: str, why: str, fix: str) -> Rule:
    return Rule(f"KC-DAT-{number:03}", severity, title, why, fix, _READ)


PLAINTEXT = _data(
    1,
    Severity.CRITICAL,
    "a value that should be encrypted is stored in plaintext",
    "Whoever reads etcd, its disk or a backup reads this value. Turning encryption on changes what is written from "
    "then on only; what was there stays as it was until it is rewritten.",
    "keyctl enable, which rewrites the values and proves it",
)
UNREADABLE = _data(
    2,
    Severity.CRITICAL,
    "a value that the configured keys do not open",
    "Its head names a key that is not there, has other bytes, or the value is damaged. The API server answers 500 for "
    "it, lists of its resource fail, and a server that restarts never becomes ready.",
    "bring the key back that the value names: keyctl keys list shows which keys there are",
)
UNRECOGNISED = _data(
    3,
    Severity.CRITICAL,
    "a value that is neither a Kubernetes object nor any known encryption",
    "Something else wrote it, or a form of encryption that keyctl does not know. No API server reads it.",
    "look at who wrote it: etcdctl get KEY prints its revision",
)
STALE = _data(
    4,
    Severity.MEDIUM,
    "a value under another key than the one that writes",
    "It is encrypted and read. The key it is under has to stay in every file until the value is rewritten.",
    "rewrite the values: keyctl rotate",
)
MISSING = _data(
    5,
    Severity.HIGH,
    "the API knows more objects than etcd holds here",
    "The counts of the API and of the scan differ: another etcd holds some of them, the prefix is wrong, or the scan "
    "was not of this cluster.",
    "name every etcd in the cluster file (etcd.overrides), or correct --etcd-prefix",
)
EMPTY = _data(
    6,
    Severity.HIGH,
    "nothing was there to check",
    "A scan that found nothing proves nothing: the prefix may be wrong, or the etcd another one.",
    "correct --etcd-prefix or --endpoints; the largest prefixes that are there are shown",
)
NOT_OPENED = _data(
    7,
    Severity.INFO,
    "told from the head only, not opened",
    "Without a key, as with values of a KMS plugin, only the head says who encrypted the value.",
    "give the encryption configuration, or read the values through every API server",
)
LEFT_PLAINTEXT = _data(
    10,
    Severity.HIGH,
    "plaintext is left behind the live values",
    "What was overwritten stays in etcd's history until it is compacted, in freed pages of the database file until "
    "they are reused or the member is defragmented, in the WAL until its files are purged, and in every snapshot taken "
    "meanwhile: a snapshot is a copy of all pages, freed ones too.",
    "compact, then defragment every member, and take new snapshots: keyctl sanitize --dry-run shows the plan",
)
LEFT_RETIRED = _data(
    11,
    Severity.MEDIUM,
    "values under a retired key are left behind the live values",
    "Whoever still has the key can read them there. A restore of this file needs no retired key for its live values, "
    "but a leaked one opens what is left.",
    "compact, then defragment every member, and take new snapshots: keyctl sanitize --dry-run shows the plan",
)
NOT_LOOKED_AT = _data(
    12,
    Severity.HIGH,
    "an area that had to be looked at could not be",
    "What was not looked at may hold anything. A snapshot has no WAL; a data directory has one, and it must be there "
    "(etcd may keep it elsewhere: --wal-dir), have entries and be readable. A file that is compressed or not "
    "understood is not opened, and a link that leads elsewhere is not followed. Of a large value in freed pages the "
    "beginning may be gone: of plaintext its end then says that it was a Secret, or another object, or nothing does; "
    "of an encrypted one nothing says under which key.",
    "give the whole data directory, with its log and what links in it lead to, where every file can be read; unpack or "
    "remove compressed files; compact and defragment the member, which leaves no freed page",
)
SERVERS_DIFFER = Rule(
    "KC-SRV-001",
    Severity.CRITICAL,
    "the API servers have different encryption configurations",
    "What one server writes another may not be able to read, and which values are stale depends on who answers.",
    "make the files equal; keyctl rotate refuses until they are",
    "the files on the API servers' hosts, compared by what they mean",
)
SERVER_UNREAD = Rule(
    "KC-SRV-002",
    Severity.HIGH,
    "the configuration of an API server was not looked at",
    "What this server writes and reads is not known, so nothing said here holds for it.",
    "run keyctl where the file can be read, or give the file: --encryption-config",
    "the cluster file",
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
