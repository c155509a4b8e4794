"""What can be wrong with what keyctl depends on: the texts. The modules beside this one apply them."""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_SEEN = "the dependency itself, asked by keyctl doctor"


def _rule(number: int, severity: Severity, title: str, why: str, fix: str) -> Rule:
    return Rule(f"KC-DOC-{number:03}", severity, title, why, fix, _SEEN)


CLUSTER_FILE = _rule(
    1,
    Severity.HIGH,
    "the cluster file does not describe the cluster",
    "What stands there is all that is known of the cluster. Without it only this machine's API server is looked at.",
    "write keyctl.yaml: docs/cluster-file.md",
)
ETCD_REACH = _rule(
    10,
    Severity.HIGH,
    "an etcd endpoint is out of reach, or refuses us",
    "Scans and snapshots need one endpoint, proofs about members need all. The stage that failed is named: name, TCP, "
    "TLS of the server, TLS of the client, authorisation.",
    "correct etcd.endpoints, cacert, cert and key in the cluster file",
)
ETCD_HEALTH = _rule(
    11,
    Severity.HIGH,
    "an etcd member is not healthy",
    "It has no leader, reports errors, an alarm stands against it, or it belongs to another cluster. Under NOSPACE "
    "nothing can be written; under CORRUPT nothing it says is proof.",
    "look at the member first: etcdctl endpoint status, etcdctl alarm list",
)
ETCD_SPACE = _rule(
    12,
    Severity.MEDIUM,
    "etcd's database is nearly as large as its quota",
    "Rewriting stores every value once more before the old revisions go. A full database stops all writing.",
    "compact and defragment: keyctl sanitize --dry-run shows the plan",
)
ETCD_VERSION = _rule(
    13,
    Severity.MEDIUM,
    "an etcd that is older than what keyctl is tried with",
    "Before 3.5 members do not tell what keyctl asks of them, and the versions are out of support.",
    "upgrade etcd",
)
ETCD_MEMBERS = _rule(
    14,
    Severity.MEDIUM,
    "a member of etcd is not among the endpoints of the cluster file",
    "Its health, its space and what its files keep are not looked at.",
    "list every member under etcd.endpoints",
)
CERTIFICATE = _rule(
    15,
    Severity.MEDIUM,
    "a certificate for etcd expires soon",
    "When it has expired nobody gets through with it.",
    "renew it; on kubeadm: kubeadm certs renew",
)
SERVER_REACH = _rule(
    20,
    Severity.HIGH,
    "an API server is out of reach, not ready, or refuses us",
    "Nothing about this server is proven, and no key is changed while one of them is like this (rule R11).",
    "bring it back, or correct its url and credentials in the cluster file",
)
METRICS = _rule(
    21,
    Severity.MEDIUM,
    "an API server does not say which configuration it has loaded",
    "The hash comes from its metrics, since Kubernetes 1.34. Without it what it has loaded has to be told otherwise.",
    "allow reading /metrics: kubectl auth can-i get /metrics",
)
RIGHTS = _rule(
    22,
    Severity.MEDIUM,
    "a right is missing that changing the key needs",
    "keyctl rotate asks for the same rights before it touches anything, and refuses without them.",
    "allow it to the user of the kubeconfig: docs/doctor.md has the list",
)
CLOCK = _rule(
    23,
    Severity.MEDIUM,
    "the clock of an API server is not ours",
    "What is older than what is judged by clocks where no hash tells; certificates are, too.",
    "synchronise the clocks of all control-plane hosts and of this machine",
)
CENSUS = _rule(
    24,
    Severity.HIGH,
    "the cluster does not name the API servers that the cluster file lists",
    "Leases, endpoints and control-plane Nodes must name the same servers (rule R11). One that is not looked at may "
    "read and write anything.",
    "list every API server once, by its own address, in the cluster file",
)
BINDING = _rule(
    25,
    Severity.CRITICAL,
    "this etcd is not the one behind the API servers",
    "What is read of etcd says nothing about this cluster.",
    "point etcd.endpoints at kube-apiserver's --etcd-servers, and etcd.prefix at its --etcd-prefix",
)
FLAGS = _rule(
    26,
    Severity.MEDIUM,
    "the flags of an API server do not fit the cluster file",
    "keyctl rotate makes the same check before it touches anything, and refuses.",
    "correct the cluster file, or the flag",
)
OWNER = _rule(
    27,
    Severity.LOW,
    "another tool manages the configuration file",
    "Its next run writes the file anew, or it rotates its own way (rule R12).",
    "change the key its own way, or update its template too",
)
FILE = _rule(
    30,
    Severity.HIGH,
    "the encryption configuration of a server could not be read",
    "What this server reads and writes is not known, so nothing said here holds for it.",
    "run keyctl where the file can be read, or list its host in the cluster file",
)
MISSING_FILE = _rule(
    31,
    Severity.CRITICAL,
    "the file that a server is told to read is not there",
    "The server works with what it has loaded. It does not start again without the file.",
    "put the file back from another server",
)
MODE = _rule(
    32,
    Severity.HIGH,
    "others than its owner can read the encryption configuration",
    "The file holds the keys: whoever reads it reads every Secret in every backup of etcd.",
    "chmod 600 FILE",
)
ROOM = _rule(
    33,
    Severity.MEDIUM,
    "the encryption configuration could not be replaced",
    "The directory takes no new file, or its disk is nearly full. A new file is written beside the old one and takes "
    "its name.",
    "run keyctl as the owner of the directory; make room",
)
STORE = _rule(
    40,
    Severity.HIGH,
    "the key store cannot be used",
    "Without it no key is changed: every key is kept there, and read back, before any server gets it.",
    "check keys.directory in the cluster file, its mode 0700 and that of its files 0600",
)
KEPT = _rule(
    41,
    Severity.LOW,
    "a key that servers use is not in the key store",
    "It stands in the servers' files only. keyctl rotate imports it before it changes anything.",
    "keyctl rotate keeps it; until then keep a copy of the file in a safe place",
)
SNAPSHOTS = _rule(
    42,
    Severity.LOW,
    "the directory for snapshots is not ready, or a registered snapshot is not there",
    "keyctl rotate saves a snapshot before it touches anything. A registered snapshot that is gone still keeps its "
    "keys from being destroyed.",
    "create the directory at mode 0700; what is gone for good is forgotten when its key is destroyed: keyctl keys list",
)
UNION = _rule(
    50,
    Severity.HIGH,
    "the union configuration does not open every stored value",
    "Every value was opened with it, exactly as a server would. What did not open has no key at hand, or two keys have "
    "one name and the first of them is taken for the right one.",
    "find the missing key first: keyctl doctor --encryption-config OLD.yaml",
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
