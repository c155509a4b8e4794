"""What can be wrong with snapshots: the texts. The modules beside apply them."""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_FILE = "the file, page by page"

DAMAGED = Rule(
    "KC-SNAP-001",
    Severity.CRITICAL,
    "a snapshot that is damaged or not whole",
    "Its SHA-256, one of its pages or one of its records is not what it should be. etcdutl looks at the SHA-256 when "
    "it restores, and at nothing when it saves or reports.",
    "use another copy, and save a new one: keyctl snapshot save FILE",
    _FILE,
)
NOT_ITS_MANIFEST = Rule(
    "KC-SNAP-002",
    Severity.CRITICAL,
    "a snapshot that is not the one its manifest describes",
    "The manifest was written when the snapshot was saved. Its size, SHA-256, revision or counts differ from the "
    "file beside it: one of the two was replaced.",
    "find out which one was replaced; the sha256 in the register of the key store is a third witness",
    _FILE,
)
MANIFEST_UNUSABLE = Rule(
    "KC-SNAP-003",
    Severity.HIGH,
    "a manifest that cannot be read",
    "Without it nothing says which cluster, which time and which keys the snapshot belongs to.",
    "restore the manifest from where the snapshot was copied from; keyctl snapshot inspect FILE reads the file itself",
    "the manifest beside the snapshot",
)
NO_DIGEST = Rule(
    "KC-SNAP-004",
    Severity.MEDIUM,
    "a database without the SHA-256 that ends a snapshot",
    "It was copied from a data directory, or by a tool that leaves the SHA-256 out. Its pages and records were "
    "checked; a changed byte inside of a value cannot be seen.",
    "save with a client of etcd: keyctl snapshot save FILE",
    _FILE,
)
VALUES_UNREAD = Rule(
    "KC-SNAP-005",
    Severity.CRITICAL,
    "a snapshot with values that the configuration in force does not open",
    "The file is a true copy of etcd. Restored, no API server with this configuration reads these values, and none "
    "that is started with it becomes ready.",
    "keyctl verify-secrets names the values; bring back the keys that they name",
    "every value of the snapshot, opened with the keys of the encryption configuration",
)
KEYS_UNKNOWN = Rule(
    "KC-SNAP-006",
    Severity.HIGH,
    "a snapshot whose manifest does not know every key",
    "A configuration of an API server could not be read when the snapshot was saved. The values that no other "
    "configuration opened were not opened: by which bytes they open, and whether they do, nobody looked at.",
    "put the configuration back, or name a copy of it: keyctl snapshot inspect FILE --encryption-config CONFIG",
    "every value of the snapshot, and the configurations that could be read",
)
NOT_SAVED = Rule(
    "KC-SNAP-007",
    Severity.CRITICAL,
    "an etcd of the cluster that was not saved",
    "The API servers keep some resources in an etcd of their own. A restore without its snapshot loses them.",
    "save it alone: keyctl snapshot save FILE --etcd NAME",
    "the etcds that the cluster file or the API server's manifest names",
)
PLAINTEXT = Rule(
    "KC-SNAP-008",
    Severity.HIGH,
    "a snapshot with values in plaintext that must be encrypted",
    "Secrets, or what the configuration in force encrypts, stand in it as they were written before encryption was "
    "turned on. The file is whole; whoever can read it can read them.",
    "keyctl verify-secrets names the values; encrypt them (keyctl enable --dry-run), save anew, remove this one",
    "every value of the snapshot",
)
KEYS_LOST = Rule(
    "KC-SNAP-009",
    Severity.CRITICAL,
    "a backup with values that no key at hand opens",
    "An API server that is started on it without their key never becomes ready, and no key of the key store or of the "
    "configuration that was named opens them.",
    "bring the key back: keyctl keys import --escrow FILE --identity IDENTITY; or name an older configuration file",
    "every value of the backup, opened with every key of the key store",
)
NOT_SERVED = Rule(
    "KC-SNAP-010",
    Severity.CRITICAL,
    "a backup of which an API server does not give everything back",
    "The backup was restored into an etcd of its own, and a real API server with the keys that it needs was asked for "
    "every encrypted resource. It refused one, or listed fewer objects than there are values.",
    "look at the resource: a custom one needs its definition, and the webhook that converts it, on the server",
    "a throw-away control plane, restored from the backup",
)
NOT_TRIED = Rule(
    "KC-SNAP-011",
    Severity.MEDIUM,
    "a backup with values that only a KMS plugin opens",
    "Whether they come back depends on the plugin and on the key behind it, which nobody here has asked.",
    "restore it where the plugin runs, and see that the key it names is still there",
    "every value of the backup",
)
NOT_LOOKED_INTO = Rule(
    "KC-SNAP-012",
    Severity.HIGH,
    "an encrypted snapshot of which nothing is known",
    "It is encrypted to others than the identity that was given, or no identity was given and no manifest of it tells "
    "which bytes it should have. Whether it can be restored, nobody here knows.",
    "give the identity of one of its recipients: keyctl snapshot verify FILE --identity IDENTITY",
    _FILE,
)
NOT_DELETED = Rule(
    "KC-SNAP-013",
    Severity.MEDIUM,
    "a backup that the policy ends, and that is still there",
    "The disk did not let it go, or somebody changed it meanwhile. It stays registered, with the keys that it needs.",
    "see to the directory; the next keyctl snapshot save tries again",
    "the directory of the backups",
)
RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
