"""What can be wrong with the servers of a cluster beside each other and with what is stored: the texts."""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_SEEN = "files, loaded hashes and stored values, each value opened with every key at hand"
_UNION = "have every server read everything first: keyctl doctor --union-config union.yaml"


def _rule(number: int, severity: Severity, title: str, why: str, fix: str) -> Rule:
    return Rule(f"KC-ROT-{number:03}", severity, title, why, fix, _SEEN)


LOST = _rule(
    1,
    Severity.CRITICAL,
    "a stored value that no key at hand opens",
    "Every key of every server's file, of the key store and of the files that were given was tried, under any name. "
    "Until the right one is found, the value is lost, lists of its resource fail on every server, and a server that "
    "restarts does not become ready.",
    "look for the key in backups of the control-plane hosts and try it: keyctl doctor --encryption-config OLD.yaml; "
    "delete no value and no key before",
)
WRITES_UNREAD = _rule(
    2,
    Severity.CRITICAL,
    "a server writes with a key that another server cannot read",
    "What one server writes, requests through the other answer with 500, and the other does not become ready after a "
    "restart. It comes of placing a new key first before every server reads it (rule R2).",
    _UNION,
)
CANNOT_READ = _rule(
    3,
    Severity.CRITICAL,
    "a server cannot read stored values",
    "The key is known, but not to this server. Requests for these values fail through it, lists of their resource "
    "fail, and controllers that read through it act on what they do not see.",
    _UNION,
)
CANNOT_START = _rule(
    4,
    Severity.CRITICAL,
    "a server reads everything now, and would not after its next start",
    "The file on its host lacks a key that it has loaded. It works until the process ends; after that it cannot read "
    "these values and does not become ready.",
    "restart nothing; " + _UNION,
)
TWO_KEYS = _rule(
    5,
    Severity.CRITICAL,
    "one key name stands for different key bytes",
    "Stored values name their key, and this name does not tell which. Whoever has the other bytes cannot read them "
    "(rule R5).",
    "have both read everywhere, then rewrite the values under a key with a new name",
)
ENCODED = _rule(
    6,
    Severity.HIGH,
    "values are under key bytes that were encoded in base64 once too often or too seldom",
    "Text that is base64 already was used as the key, or the bytes of a key were put where its base64 belongs; 32 "
    "characters that are taken for base64 become a key of 24 bytes. The values are sound under those very bytes.",
    "keep these bytes under the name that the values have, and change to a new key: keyctl rotate",
)
NOT_LOADED = _rule(
    7,
    Severity.HIGH,
    "a server has not loaded the file that is on its host",
    "It works with what it loaded earlier. Whatever was planned with its file has not happened yet.",
    "wait a minute where it reloads by itself, else restart it, one server at a time",
)
NO_FLAG = _rule(
    8,
    Severity.CRITICAL,
    "a server encrypts nothing while others do",
    "Without the flag kube-apiserver stores what it is given in plaintext and cannot read what the others encrypt.",
    "put --encryption-provider-config and its mount back into its manifest, as on the other servers",
)
UNFINISHED = _rule(
    9,
    Severity.MEDIUM,
    "a rotation of ours was begun and not ended",
    "It can be left as it is for as long as you like: every server reads everything in each of its states. Until its "
    "end no other rotation begins.",
    "go on: keyctl rotate --resume; or back: keyctl rotate --abort",
)
FOREIGN_JOURNAL = _rule(
    10,
    Severity.HIGH,
    "the journal holds a rotation of another cluster",
    "The cluster was made anew under the old name, or two clusters have one name in their cluster files. What the "
    "journal says is not about this cluster.",
    "give each cluster a name of its own in its cluster file, or move the journal away once that cluster is gone",
)
OTHER_TOOL = _rule(
    11,
    Severity.HIGH,
    "a rotation that k3s or RKE2 began is half done",
    "Its servers are at different stages. What each one reads and writes is told from the files and the values here; "
    "the tool itself compares what the servers wrote down of themselves.",
    "go on as the tool does once every server reads everything",
)
LOADED_UNKNOWN = _rule(
    12,
    Severity.HIGH,
    "what a server has loaded is not known",
    "It may read and write anything. Whether it reads what is stored is judged by its file, if at all.",
    "reach the server and its metrics; for a file that was replaced, give the old copy: keyctl doctor "
    "--encryption-config OLD.yaml",
)
NOT_ITS_FILE = _rule(
    13,
    Severity.HIGH,
    "a server's file is none of the rotation that is under way",
    "Somebody else changed it. The rotation does not go on until the file is one of its own again (rule R8).",
    "find out who manages that file, put back what the rotation had placed, then: keyctl rotate --resume",
)
UNREADABLE_JOURNAL = _rule(
    14,
    Severity.HIGH,
    "the journal cannot be read",
    "Whether a rotation is under way, and which, is not known.",
    "read it as the user that rotates, for example with sudo; move a damaged one away once nothing else is wrong here: "
    "keyctl doctor",
)
NOT_READ = _rule(
    15,
    Severity.HIGH,
    "the stored values were not read",
    "What stands under which key, and whether anything is lost, is not known.",
    "reach etcd: keyctl doctor says what is in the way",
)
NOT_READY = _rule(
    16,
    Severity.HIGH,
    "a server answers and is not ready",
    "It has not come up, or something it needs is missing. One that cannot read a single stored value never becomes "
    "ready.",
    "look at its log, and at what keyctl doctor says of stored values",
)
OVERDUE = _rule(
    17,
    Severity.MEDIUM,
    "the key that writes is older than policy.keyMaxAge",
    "The longer a key writes, the more a leak of it opens; aesgcm must not write without end.",
    "change it: keyctl rotate",
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
