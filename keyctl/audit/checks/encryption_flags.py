"""The flags that turn encryption on: on the API server, nowhere else, by today's name, and with a file behind them."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import API_SERVERS, Check, Subjects, check, check_beside
from keyctl.audit.checks.mappings import REST
from keyctl.audit.facts import About, Facts, Mount, Program, Setting
from keyctl.audit.verdicts import Verdict, failed, passed, unknown
from keyctl.findings import Rule, Severity

_FLAG = "encryption-provider-config"
_REMOVED = f"experimental-{_FLAG}"
_OTHERS = Subjects(
    About.PROGRAM, lambda facts: tuple(one for one in facts.programs if one.about is not About.API_SERVER)
)

NOT_GIVEN = Rule(
    "KC-ENC-001",
    Severity.CRITICAL,
    "kube-apiserver is not told to encrypt",
    "Without --encryption-provider-config, or with an empty value, kube-apiserver stores everything in plaintext. The "
    "flag of the automatic reload, whose name begins alike, turns nothing on.",
    "turn encryption on, server after server in a safe order: keyctl enable",
    "kube-apiserver 1.37.1, started without the flag and with an empty one",
    REST,
)
MISPLACED = Rule(
    "KC-ENC-002",
    Severity.CRITICAL,
    "the encryption flag is given to another program than kube-apiserver",
    "etcd, the controller manager and the scheduler do not know the flag and end at once; nothing is encrypted by it. "
    "Some courses teach it for etcd.",
    "move the flag to kube-apiserver: keyctl config fix FILE",
    "etcd 3.7.3 and kube-controller-manager 1.37.1, started with the flag",
    REST,
)
REMOVED = Rule(
    "KC-ENC-003",
    Severity.HIGH,
    "the encryption flag has the name that was removed in Kubernetes 1.24",
    "--experimental-encryption-provider-config became --encryption-provider-config in 1.13. Today's kube-apiserver "
    "does not start with the old name.",
    "write --encryption-provider-config: keyctl config fix FILE",
    "CHANGELOG-1.24.md of kubernetes/kubernetes",
    REST,
)
UNMOUNTED = Rule(
    "KC-ENC-004",
    Severity.HIGH,
    "the encryption configuration is not where kube-apiserver looks for it",
    "kube-apiserver reads the path inside its container. Without a mount, or without the file on the host, it does not "
    "start. A mount that can be written to lets whoever is in the container change the keys.",
    "mount the directory of the file read-only at its own path: keyctl config fix FILE",
    "kube-apiserver 1.37.1, started with a path that is not there",
    REST,
)


@check(NOT_GIVEN, API_SERVERS)
def flag_given(server: Program) -> Iterator[Verdict]:
    """The flag itself, with a value."""
    found = server.given(_FLAG)
    if found is not None and found.value.startswith("--"):
        yield failed(f"{found.written} has no value and takes the next flag for it", found)
        return
    if found is not None:
        yield passed(f"{server.name} is given {found.written}", found)
        return
    empty = server.setting(_FLAG)
    message = f"--{_FLAG} has no value" if empty else f"{server.name} has no --{_FLAG}"
    yield failed(f"{message}: everything is stored in plaintext", empty or server)


@check(MISPLACED, _OTHERS)
def flag_nowhere_else(program: Program) -> Iterator[Verdict]:
    """No other program has it."""
    found = next((one for one in program.settings if _FLAG in one.name), None)
    if found is not None:
        yield failed(f"{program.name} does not know {found.written} and does not start", found)
    elif program.hidden:
        yield unknown(f"whether {program.name} is given --{_FLAG} is not known: {program.hidden}", program)
    else:
        yield passed(f"{program.name} has no encryption flag", program)


@check(REMOVED, API_SERVERS)
def flag_by_its_name(server: Program) -> Iterator[Verdict]:
    """Not by the removed name."""
    found = server.setting(_REMOVED)
    if found is not None:
        yield failed(f"{server.name} does not know {found.written} and does not start", found)
    else:
        yield passed(f"{server.name} has no flag of a removed name", server)


@check_beside(UNMOUNTED, API_SERVERS)
def file_behind_the_flag(server: Program, facts: Facts) -> Iterator[Verdict]:
    """The file is mounted, and on the host."""
    found = server.given(_FLAG)
    if found is None:
        yield unknown(f"no file of {server.name} is known: KC-ENC-001", server)
    elif not found.known.startswith("/"):
        yield unknown("its path is not absolute", found)
    else:
        yield _file(facts, server, found)


def _file(facts: Facts, server: Program, flag: Setting) -> Verdict:
    path, mount = flag.known, None
    if server.mounts is not None:
        mount = _covering(server.mounts, path)
        if mount is None:
            return failed(f"nothing is mounted into {server.name} at {path}", flag)
        if not mount.read_only:
            return failed(f"{path} is mounted for writing too", mount, severity=Severity.LOW)
        if not mount.outside:
            return unknown(f"which file of the host {server.name} sees at {path} is not known", mount)
    outside = mount.outside + path.removeprefix(mount.inside) if mount else path
    if any(one.location.file == outside for one in facts.configurations):
        return passed(f"{server.name} sees {outside} of the host", flag)
    return unknown(f"whether {outside} is there needs the files of the host", flag)


def _covering(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    """The innermost mount that shows `path`."""
    around = (one for one in mounts if f"{path}/".startswith(f"{one.inside.rstrip('/')}/"))
    return max(around, key=lambda one: len(one.inside), default=None)


CHECKS: tuple[Check, ...] = (flag_given, flag_nowhere_else, flag_by_its_name, file_behind_the_flag)
