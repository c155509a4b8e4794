"""What can be wrong with etcd's own users and roles. Values only."""

from __future__ import annotations

from keyctl.findings import Rule, Severity

OFF = Rule(
    "KC-ACC-001",
    Severity.HIGH,
    "etcd's users and roles are off",
    "Every certificate that etcd's CA has signed reads and writes everything: that of a backup job, of a monitoring "
    "system, of an auditor. So does one that was stolen.",
    "keyctl etcd-access plan, then apply",
    "etcd docs, operating/authentication",
)
MISSING = Rule(
    "KC-ACC-002",
    Severity.HIGH,
    "a user or role that is needed is missing, or lacks a right",
    "With users and roles on, etcd refuses whoever has no user of its name. An API server that is refused answers "
    "nobody.",
    "keyctl etcd-access plan, then apply",
)
EXCESS = Rule(
    "KC-ACC-003",
    Severity.HIGH,
    "a user may do more than what it is there for",
    "The roles are all that stands between a certificate and every Secret. The role root may do everything: read and "
    "write all values, take snapshots, turn users and roles off.",
    "keyctl etcd-access plan, then apply; it takes what is too much from the users it was told of",
)
STRANGER = Rule(
    "KC-ACC-004",
    Severity.MEDIUM,
    "a user that nobody named has rights",
    "Who has a certificate of that common name, or the user's password, has them; etcd does not tell whether there is "
    "a password.",
    "name its certificate with the option that fits, or delete it: etcdctl user delete",
)
SHARED = Rule(
    "KC-ACC-005",
    Severity.MEDIUM,
    "etcd holds keys that are not the API servers'",
    "Whoever uses them has a certificate for this etcd, and without users and roles that certificate reads every "
    "Secret. With them on, it is locked out unless it has a user.",
    "give others an etcd of their own, or make their users and roles with etcdctl",
)
REFUSED = Rule(
    "KC-ACC-006",
    Severity.HIGH,
    "etcd does not do with a certificate what it should",
    "Roles say what a name may do. Whether a certificate is taken for that name depends on the flags of each member, "
    "and was tried.",
    "set --client-cert-auth=true on every member, and compare the certificate's common name with the user",
)
NOT_SEEN = Rule(
    "KC-ACC-007",
    Severity.MEDIUM,
    "a part of etcd was not looked at",
    "Another etcd has users of its own, and a member whose endpoint is not given may let in whom the others refuse.",
    "run it again with the --endpoints of the rest",
)
READERS = Rule(
    "KC-ACC-008",
    Severity.MEDIUM,
    "somebody may get at every Secret by way of the API",
    "Encryption at rest and etcd's roles are no help against those whom the API server lets read Secrets, run commands "
    "in the Pods of kube-system, where etcd and its certificates may be, or speak to every kubelet.",
    "look whether each needs it: kubectl get clusterrolebindings,rolebindings --all-namespaces -o wide",
    "Kubernetes docs, concepts/security/rbac-good-practices",
)

RULES: tuple[Rule, ...] = (OFF, MISSING, EXCESS, STRANGER, SHARED, REFUSED, NOT_SEEN, READERS)
