"""Modes and owners of files on a host. A checkout of a Git repository has none that mean anything."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import Check, check, files_of, manual
from keyctl.audit.checks.mappings import FS, KEY
from keyctl.audit.facts import About, FileFact, Git
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed
from keyctl.findings import Rule, Severity

# What a file is, as the collection calls it.
ENCRYPTION_CONFIG = "encryption configuration"
DATA_DIRECTORY = "etcd data directory"
MANIFEST = "manifest"
PRIVATE_KEY = "private key"
CERTIFICATE = "certificate"
SNAPSHOT = "snapshot"
AUDIT_LOG = "audit log"

CONFIG_MODE = Rule(
    "KC-FS-001",
    Severity.HIGH,
    "others than its owner can use the encryption configuration",
    "It holds the keys. No benchmark has a control for it. Whoever may write to a directory above it can put another "
    "one in its place.",
    "chmod 600, chown root:root, and let nobody else write to the directories above it",
    "kubernetes.io, Encrypting Confidential Data at Rest",
    (*FS, "pci-4.0.1/3.6.1.3"),
)
DATA_MODE = Rule(
    "KC-FS-002",
    Severity.HIGH,
    "others than its owner can look into etcd's data directory",
    "The database holds every value, history and freed pages too.",
    "chmod 700; its owner is the user that etcd runs as",
    "CIS Kubernetes Benchmark 1.12, 1.1.11 and 1.1.12",
    ("stig/V-242445", "stig/V-242459", *FS),
)
MANIFEST_MODE = Rule(
    "KC-FS-003",
    Severity.MEDIUM,
    "others than root can use a manifest of the control plane",
    "Whoever writes it starts any program as root.",
    "chmod 600, chown root:root",
    "CIS Kubernetes Benchmark 1.12, 1.1.1 to 1.1.8",
    ("stig/V-242405", "stig/V-242408", *FS),
)
PKI_MODE = Rule(
    "KC-FS-004",
    Severity.HIGH,
    "others than root can read a private key, or write a certificate",
    "With the API server's key for etcd one reads everything.",
    "chmod 600 for keys, 644 for certificates, chown root:root",
    "CIS Kubernetes Benchmark 1.12, 1.1.19 to 1.1.21",
    ("stig/V-242451", "stig/V-242466", "stig/V-242467", *FS),
)
SNAPSHOT_MODE = Rule(
    "KC-FS-005",
    Severity.HIGH,
    "others than its owner can read a snapshot, or it is in a Git repository",
    "A snapshot is the whole database, with what was plaintext when it was taken.",
    "chmod 600, and keep it where only the backup can read",
    "",
    (*FS, "nist-800-53/CP-9(8)"),
)
DISK = Rule(
    "KC-FS-006",
    Severity.LOW,
    "the disk under etcd is not encrypted",
    "A help against stolen disks, in no place of encryption by the API server: PCI DSS 3.5.1.2 does not accept it "
    "alone.",
    "encrypt the disk, for example with LUKS",
    "",
    ("nist-800-53/SC-28", *KEY),
)

_PRIVATE, _DIRECTORY, _READABLE = 0o600, 0o700, 0o644
# In a directory with this bit only its owner can put a file away.
_STICKY = 0o1000
_GROUP, _OTHERS = 0o020, 0o002


@check(CONFIG_MODE, files_of(ENCRYPTION_CONFIG))
def configuration_private(file: FileFact) -> Iterator[Verdict]:
    """0600, of root."""
    yield _mode(file, _PRIVATE, root=True)


@check(DATA_MODE, files_of(DATA_DIRECTORY))
def data_private(file: FileFact) -> Iterator[Verdict]:
    """0700, of whoever etcd is."""
    yield _mode(file, _DIRECTORY, root=False)


@check(MANIFEST_MODE, files_of(MANIFEST))
def manifest_private(file: FileFact) -> Iterator[Verdict]:
    """0600, of root."""
    yield _mode(file, _PRIVATE, root=True)


@check(PKI_MODE, files_of(PRIVATE_KEY, CERTIFICATE))
def pki_private(file: FileFact) -> Iterator[Verdict]:
    """0600 for keys, 0644 for certificates, of root."""
    if file.role == PRIVATE_KEY and file.git is Git.TRACKED:
        yield failed("a private key is committed to a Git repository", file)
    else:
        yield _mode(file, _PRIVATE if file.role == PRIVATE_KEY else _READABLE, root=True)


@check(SNAPSHOT_MODE, files_of(SNAPSHOT))
def snapshot_private(file: FileFact) -> Iterator[Verdict]:
    """0600, not committed, and not where everybody puts files."""
    path, mode, _ = file.above[0] if file.above else ("", 0, 0)
    if file.git is Git.TRACKED:
        yield failed("a snapshot of etcd is committed to a Git repository", file)
    elif not file.checkout and mode & _STICKY and mode & _OTHERS:
        yield failed(f"the snapshot lies in {path}, where everybody puts files", file)
    else:
        yield _mode(file, _PRIVATE, root=False)


def _mode(file: FileFact, most: int, *, root: bool) -> Verdict:
    if file.checkout:
        return not_applicable("git-work-tree", f"modes of a checkout say nothing about the host: {file.role}", file)
    # By bits: 0577 is more than 0700 allows, though the number is smaller.
    if file.mode & ~most:
        return failed(f"the {file.role} has mode {file.mode:04o}, more than {most:04o}", file)
    if root and (file.uid, file.gid) != (0, 0):
        return failed(f"the {file.role} belongs to {file.uid}:{file.gid}, not to root", file)
    for path, mode, group in file.above:
        if not mode & _STICKY and (mode & _OTHERS or (mode & _GROUP and group != 0)):
            return failed(f"whoever may write to {path}, of mode {mode:04o}, can replace the {file.role}", file)
    return passed(f"the {file.role} has mode {file.mode:04o}", file)


CHECKS: tuple[Check, ...] = (
    configuration_private,
    data_private,
    manifest_private,
    pki_private,
    snapshot_private,
    manual(DISK, About.CLUSTER, "whether the disk under etcd is encrypted"),
)
