"""What is wrong with the encryption flags of a static pod manifest, each mistake told as a rule.

Judges one manifest by itself and changes nothing: `manifest_repair` does. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from keyctl.documents import Mapping, Node, parse, refuse
from keyctl.errors import UnusableInputError
from keyctl.findings import Finding, Location, Rule, Severity, Status
from keyctl.hosts.encryption_flags import CONFIG_FLAG, RELOAD_FLAG, REMOVED_FLAG, TRUE, EncryptionFlags, file_path
from keyctl.hosts.pod import CONTROL_PLANE, PROGRAM, GivenFlag, Pod, field_of, pods, text_of

MISPLACED = Rule(
    "KC-FLAG-001",
    Severity.CRITICAL,
    "an encryption flag stands in the manifest of another program than kube-apiserver",
    "Only kube-apiserver encrypts; etcd stores what it is given. etcd ends at once with "
    '"flag provided but not defined: -encryption-provider-config", kube-controller-manager with '
    '"unknown flag: --encryption-provider-config". A control plane whose etcd does not start is down, '
    "and nothing is encrypted.",
    "move the flag to the manifest of kube-apiserver, and mount the directory of its file there",
    "etcd 3.7.3 and kube-controller-manager 1.37.1, started with the flag",
)
REMOVED = Rule(
    "KC-FLAG-002",
    Severity.CRITICAL,
    "--experimental-encryption-provider-config is gone since Kubernetes 1.24",
    "The flag was renamed to --encryption-provider-config in 1.13 and removed in 1.24. kube-apiserver ends at once "
    'with "unknown flag: --experimental-encryption-provider-config".',
    "write --encryption-provider-config",
    "CHANGELOG-1.24.md and pull request 108423 of kubernetes/kubernetes; kube-apiserver 1.37.1, started with the flag",
)
UNMOUNTED = Rule(
    "KC-FLAG-003",
    Severity.HIGH,
    "the encryption configuration is not mounted into the container of kube-apiserver",
    "kube-apiserver reads the file inside its container, where only mounted directories of the host are seen. "
    'Without the mount it ends with "error reading encryption provider configuration file: no such file or '
    'directory", though the file is there on the host.',
    "mount the directory of the file at its own path: a volume with hostPath, and a volumeMount",
    "kube-apiserver 1.37.1, started with a path that is not there; issues 53867 and 68407 of kubernetes/kubernetes",
)
TWICE = Rule(
    "KC-FLAG-004",
    Severity.HIGH,
    "a flag for encryption is given twice with different values",
    "Of a flag given twice kube-apiserver takes the last and says nothing about the first. Whoever changes the "
    "file that the first one names changes nothing.",
    "delete the one whose value is not meant",
    "kube-apiserver 1.37.1, started with two files: it read the second",
)
RELOAD_ALONE = Rule(
    "KC-FLAG-005",
    Severity.CRITICAL,
    "automatic reload is switched on without an encryption configuration",
    'kube-apiserver ends at once with "--encryption-provider-config-automatic-reload must be set with '
    '--encryption-provider-config". A search for the text of the flag takes this one for the other.',
    "add --encryption-provider-config with the path of the file, or delete the reload flag",
    "kube-apiserver 1.37.1, started with the one flag",
)
SINGLE_FILE = Rule(
    "KC-FLAG-006",
    Severity.MEDIUM,
    "the encryption configuration is mounted as a single file, so a replaced file is never reloaded",
    "A mount of one file stays with that very file. When it is replaced by a rename, as editors and keyctl do, the "
    "container goes on seeing the old one, and the automatic reload never happens.",
    "mount the directory of the file instead",
    "measured with bind mounts; issue 5604 of rancher/rke2",
)
NO_FILE = Rule(
    "KC-FLAG-007",
    Severity.CRITICAL,
    "--encryption-provider-config is given without a file",
    "With an empty value kube-apiserver starts as if the flag were not there, and stores everything in plaintext.",
    "name the file behind the equals sign",
    "kube-apiserver 1.37.1, started with the empty value",
)
NOT_GIVEN = Rule(
    "KC-FLAG-008",
    Severity.CRITICAL,
    "kube-apiserver is started without an encryption configuration",
    "Without --encryption-provider-config kube-apiserver stores everything in plaintext, and cannot read what another "
    "API server of the cluster encrypts.",
    "turn encryption on, server after server in a safe order: keyctl enable",
    "kube-apiserver 1.37.1, started without the flag",
)
RULES: tuple[Rule, ...] = (MISPLACED, REMOVED, UNMOUNTED, TWICE, RELOAD_ALONE, SINGLE_FILE, NO_FILE, NOT_GIVEN)

# Those by which a program ends at once, whatever else there is.
_NO_START = frozenset(rule.id for rule in (MISPLACED, REMOVED, RELOAD_ALONE))

_POD = re.compile(rb"\bkind[\"']?[ \t]*:\s*[\"']?Pod\b")
_POD_LINE = re.compile(rb"^kind[ \t]*:[ \t]*[\"']?Pod[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_IN_A_SCRIPT = re.compile("encryption[-_]provider[-_]config")


def is_pod_manifest(content: bytes) -> bool:
    """Whether the file says that it is a pod, also when it is broken; never raises."""
    if not _POD.search(content):
        return False
    try:
        return text_of(field_of(parse(content, name="the file").root, "kind")) == "Pod"
    except UnusableInputError:
        return _POD_LINE.search(content) is not None


def judge_manifest(content: bytes, name: str) -> tuple[Finding, ...]:
    """What is wrong with the encryption flags of the manifest `name`, in file order.

    `UNKNOWN` is a finding's status where keyctl cannot tell. Raises `UnusableInputError` when the file is no pod
    manifest or none of a control plane, or its kube-apiserver is started in a way that hides the flags.
    """
    document = parse(content, name=name)
    found_pods = pods(document)
    if not any(pod.is_control_plane for pod in found_pods):
        refuse(
            name,
            document.root.span,
            "not the manifest of a control-plane program",
            cause=f"no container of it is {', '.join(CONTROL_PLANE[:-1])} or {CONTROL_PLANE[-1]}",
            hint=f"name the manifest of {PROGRAM}, from /etc/kubernetes/manifests",
        )
    found: list[Finding] = []
    for pod in found_pods:
        found += _api_server(pod) if pod.is_api_server else _other(pod)
    return tuple(sorted(found, key=lambda finding: (finding.location.line or 0, finding.location.column or 0)))


def starts(findings: Iterable[Finding]) -> bool | None:
    """Whether a program with these `findings` of `judge_manifest` starts; None where that cannot be told.

    A file that is not mounted may still be in the image.
    """
    found = tuple(findings)
    if any(one.id in _NO_START and one.status is Status.FAIL for one in found):
        return False
    return None if any(one.id == UNMOUNTED.id or one.status is Status.UNKNOWN for one in found) else True


def _other(pod: Pod) -> Iterator[Finding]:
    flags = EncryptionFlags.of(pod).all
    for flag in flags:
        yield MISPLACED.finding(f"{pod.name} does not know --{flag.name} and does not start", location=_at(pod, flag))
    known = [word for flag in flags for word in flag.words]
    for word in pod.words():
        if word not in known and _IN_A_SCRIPT.search(word.text):
            yield MISPLACED.finding(
                f"an encryption flag is named inside other text of the command of {pod.name}",
                location=_place(pod, word.node),
                fix="look whether the flag is given to kube-apiserver there, and start it without a script",
                status=Status.UNKNOWN,
            )


def _api_server(pod: Pod) -> Iterator[Finding]:
    flags = EncryptionFlags.of(pod)
    for flag in flags.removed:
        yield REMOVED.finding(f"kube-apiserver does not know --{REMOVED_FLAG}", location=_at(pod, flag))
    yield from _contradictions(pod, flags)
    effective = flags.files[-1] if flags.files else None
    if effective is not None:
        yield from _file(pod, effective, reload=_reloads(flags))
    elif not _reloads(flags):
        message = f"{pod.name} has no --{CONFIG_FLAG}: everything is stored in plaintext"
        yield NOT_GIVEN.finding(message, location=_place(pod, pod.container))
    if _reloads(flags) and (effective is None or not effective.value):
        yield RELOAD_ALONE.finding(
            f"--{RELOAD_FLAG} is set and --{CONFIG_FLAG} is not", location=_at(pod, flags.reload[-1])
        )


def _contradictions(pod: Pod, flags: EncryptionFlags) -> Iterator[Finding]:
    if len(flags.values) > 1:
        yield _twice(pod, flags.files)
    if len(flags.reloads) > 1:
        yield _twice(pod, flags.reload)


def _twice(pod: Pod, given: tuple[GivenFlag, ...]) -> Finding:
    lines = sorted({flag.words[0].node.span.line for flag in given})
    where = " and ".join(map(str, lines))
    message = f"--{given[-1].name} has different values in line{'s' * (len(lines) > 1)} {where}"
    return TWICE.finding(message, location=_at(pod, given[-1]))


def _file(pod: Pod, flag: GivenFlag, *, reload: bool) -> Iterator[Finding]:
    if not flag.value:
        yield NO_FILE.finding(f"--{flag.name} names no file", location=_at(pod, flag))
        return
    path = file_path(flag.value)
    if path is None:
        yield UNMOUNTED.finding(
            f"whether the file of --{flag.name} is mounted cannot be told: its value is no plain absolute path",
            location=_at(pod, flag),
            fix="give the absolute path of the file, without variables and without ..",
            status=Status.UNKNOWN,
        )
        return
    mount = pod.covering(path)
    if mount is None:
        yield UNMOUNTED.finding(f"nothing is mounted into {pod.name} at {path.parent}", location=_at(pod, flag))
    elif mount.inside == path and reload:
        yield SINGLE_FILE.finding(f"{path} is mounted as a single file", location=_place(pod, mount.node))


def _reloads(flags: EncryptionFlags) -> bool:
    return bool(flags.reload) and flags.reload[-1].value in TRUE


def _at(pod: Pod, flag: GivenFlag) -> Location:
    return _place(pod, flag.words[0].node)


def _place(pod: Pod, node: Node) -> Location:
    # A block mapping in a list is best shown by its first field.
    span = node.items[0][0].span if isinstance(node, Mapping) and node.items else node.span
    return Location(pod.document.name, span.line, span.column)
