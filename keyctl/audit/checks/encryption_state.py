"""Whether servers run, and etcd holds, what the configurations say: nothing of this is told by files alone."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import API_SERVERS, Check, check, pending
from keyctl.audit.checks.mappings import REST
from keyctl.audit.facts import About, Program
from keyctl.audit.verdicts import Verdict, not_applicable
from keyctl.findings import Rule, Severity

_VALUES = "the stored values of etcd: a live one, a snapshot or a data directory"
_SERVERS = "the metrics and files of every API server"

DIFFERENT = Rule(
    "KC-ENC-012",
    Severity.HIGH,
    "the API servers have different encryption configurations",
    "A value that one server writes and another cannot read is lost to half of all requests.",
    "keyctl status shows what each has loaded",
    "",
    (*REST, "nist-800-53/CM-6"),
)
NOT_LOADED = Rule(
    "KC-ENC-013",
    Severity.HIGH,
    "a running API server has not loaded the file that is there",
    "A file is read when the server starts, or by the automatic reload; a reload that fails leaves the old keys in "
    "use.",
    "keyctl status shows what each has loaded",
    "",
    REST,
)
CONTRADICTION = Rule(
    "KC-ENC-014",
    Severity.CRITICAL,
    "what is declared and what is stored contradict each other",
    "A file that says aescbc proves nothing about values that were written before it, or by a server that never read "
    "it.",
    "keyctl verify-secrets reads every value",
    "",
    REST,
)
MANAGED = Rule(
    "KC-ENC-015",
    Severity.MEDIUM,
    "a managed control plane encrypts without a key of yours",
    "On EKS, GKE and AKS the provider runs the API servers; its own interface says whether Secrets are under a key "
    "that you can take away.",
    "enable encryption of Secrets with a customer's key there",
    "CIS benchmarks of EKS, GKE and AKS, 5.3.1",
    REST,
)
OPENSHIFT = Rule(
    "KC-ENC-016",
    Severity.INFO,
    "OpenShift is not told to encrypt",
    "The operator encrypts when APIServer/cluster has spec.encryption.type; its conditions say what it believes, not "
    "what is stored.",
    "set spec.encryption.type, and read the stored values",
    "CIS OpenShift benchmark, 1.2.29",
    REST,
)
PLAINTEXT_VALUES = Rule(
    "KC-DAT-101",
    Severity.CRITICAL,
    "plaintext is stored where encryption is required",
    "Only a reading of every stored value tells. Turning encryption on does not touch what was there before.",
    "keyctl verify-secrets, then keyctl rotate",
    "",
    REST,
)
STALE_VALUES = Rule(
    "KC-DAT-102",
    Severity.HIGH,
    "values are under another key than the one that writes",
    "A rotation that never rewrote leaves the old key in use for ever.",
    "keyctl rotate",
    "",
    REST,
)
ORPHANS = Rule(
    "KC-DAT-103",
    Severity.CRITICAL,
    "values need a key that no configuration has",
    "They cannot be read, and lists of their resource fail.",
    "bring the key back from escrow or a backup: keyctl doctor",
    "",
    REST,
)
UNREADABLE = Rule(
    "KC-DAT-104",
    Severity.HIGH,
    "values do not open with the key they name",
    "They are damaged, or were written with other bytes under the same name.",
    "keyctl verify-secrets names them",
    "",
    REST,
)
CANARY = Rule(
    "KC-DAT-105",
    Severity.HIGH,
    "a Secret written now does not arrive encrypted",
    "The shortest proof: write one through the API, read its raw value, delete it.",
    "look at the file that the server has loaded: keyctl status",
    "kubernetes.io, Verify that newly written data is encrypted",
    REST,
)
RESIDUE = Rule(
    "KC-DAT-106",
    Severity.MEDIUM,
    "plaintext is left in old revisions and free pages",
    "Whoever copies the database file or a snapshot reads what was overwritten, until it is compacted and "
    "defragmented.",
    "keyctl sanitize",
    "",
    REST,
)
METRICS = Rule(
    "KC-DAT-107",
    Severity.MEDIUM,
    "the API server's own counters show writes without encryption",
    "apiserver_storage_transformation_operations_total counts by prefix and status: evidence without access to etcd.",
    "look at the file that the server has loaded: keyctl status",
    "",
    REST,
)


@check(MANAGED, API_SERVERS)
def managed(server: Program) -> Iterator[Verdict]:
    """Does not apply where the API server is one's own; else the provider must be asked."""
    yield not_applicable("self-managed", f"{server.name} is run by its owner", server)


@check(OPENSHIFT, API_SERVERS)
def openshift(server: Program) -> Iterator[Verdict]:
    """Does not apply where the API server is started by something else than OpenShift's operator."""
    yield not_applicable("not-openshift", f"{server.name} is not started by an operator", server)


CHECKS: tuple[Check, ...] = (
    pending(DIFFERENT, About.CLUSTER, _SERVERS),
    pending(NOT_LOADED, About.CLUSTER, _SERVERS),
    pending(CONTRADICTION, About.CLUSTER, f"{_VALUES}, beside the files"),
    managed,
    openshift,
    pending(PLAINTEXT_VALUES, About.CLUSTER, _VALUES),
    pending(STALE_VALUES, About.CLUSTER, _VALUES),
    pending(ORPHANS, About.CLUSTER, _VALUES),
    pending(UNREADABLE, About.CLUSTER, f"{_VALUES}, and the keys"),
    pending(CANARY, About.CLUSTER, "a live API server and etcd"),
    pending(RESIDUE, About.CLUSTER, "a snapshot or a data directory"),
    pending(METRICS, About.CLUSTER, "the metrics of every API server"),
)
