"""The files of the API servers on their hosts: can they be read and replaced, who else can read them, are they sane."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from shlex import quote

from keyctl.cli.checkup import rules
from keyctl.cli.checkup.item import Area, Checks, Item
from keyctl.cluster_file.settings import ApiServerSettings, LocalHostSettings
from keyctl.encryption_config.judge import judge
from keyctl.errors import KeyctlError
from keyctl.findings import Finding, Severity, Status
from keyctl.hosts import manifest_rules
from keyctl.hosts.interface import Host
from keyctl.hosts.manifest_rules import judge_manifest
from keyctl.rotation.diagnosis.diagnose import short
from keyctl.rotation.diagnosis.look import Look, sentence

# What preflight of a rotation asks for, too.
_ROOM = 16 * 1024 * 1024
_OTHERS = 0o077
# Certificates count in seconds; clocks that are more apart than this mislead.
SKEW = 5.0
_CHECKS = Checks(Area.HOSTS)
_TOLD = frozenset({Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM})


def look_at_hosts(looks: tuple[Look, ...], servers: tuple[ApiServerSettings, ...]) -> Iterator[Item]:
    """Each server's file and manifest. Alike files are judged once."""
    judged: dict[bytes, str] = {}
    for look, server in zip(looks, servers, strict=True):
        yield from _file(look, judged)
        yield from _manifest(look)
        if look.place.host is not None and look.file is not None:
            yield from _replaceable(look.place.host, look, server)
    if looks and all(look.seen.flag is False and look.seen.loaded_hash is None for look in looks):
        yield _CHECKS.bad(manifest_rules.NOT_GIVEN, "encryption", "no API server encrypts anything")


def _file(look: Look, judged: dict[bytes, str]) -> Iterator[Item]:
    name, file = look.place.name, look.file
    if file is None:
        yield from _no_file(look)
        return
    yield _CHECKS.ok(rules.FILE, name, f"{file.path}, SHA-256 {short(file.sha256)}")
    if file.mode is None:
        message = "who may read the file is not told by the way to this host"
        yield _CHECKS.unknown(rules.MODE, name, message, fix=f"look there: ls -l {quote(file.path)}")
    elif file.mode & _OTHERS:
        yield _CHECKS.bad(
            rules.MODE, name, f"{file.path} has mode {file.mode:04o}", fix=f"chmod 600 {quote(file.path)}"
        )
    else:
        yield _CHECKS.ok(rules.MODE, name, f"mode {file.mode:04o}")
    if file.ahead is not None and abs(file.ahead) > SKEW:
        yield _CHECKS.bad(rules.CLOCK, name, f"the clock of its host is {abs(file.ahead):.0f} s apart from ours")
    if file.content in judged:
        yield _CHECKS.ok(rules.FILE, name, f"the same file as that of {judged[file.content]}, byte for byte")
        return
    judged[file.content] = name
    yield from _judged(name, file.path, file.content)


def _no_file(look: Look) -> Iterator[Item]:
    name = look.place.name
    if look.seen.file_problem:
        make = _CHECKS.unknown if look.place.host is None else _CHECKS.out_of_reach
        yield make(rules.FILE, name, look.seen.file_problem)
    elif look.seen.flag:
        yield _CHECKS.bad(rules.MISSING_FILE, name, f"{look.seen.path} is not there, and the server is told to read it")
    elif look.seen.flag is None:
        message = f"there is no {look.seen.path}; whether the server needs one is not known"
        yield _CHECKS.unknown(rules.FILE, name, message, fix=_flags_fix(look))
    else:
        yield _CHECKS.ok(rules.FILE, name, "no file, and no flag that names one")


def _judged(name: str, path: str, content: bytes) -> Iterator[Item]:
    """The file by kube-apiserver's own rules, and by those beyond them."""
    verdict = judge(content, name=path)
    told = [finding for finding in verdict.findings if finding.severity in _TOLD]
    if verdict.accepted:
        yield _CHECKS.ok(rules.FILE, name, "accepted by kube-apiserver's rules")
    yield from (_finding(name, finding) for finding in told)


def _finding(name: str, finding: Finding) -> Item:
    """A finding of another judge, with its place in the words: line and column are of the host's file."""
    line = f" (line {finding.location.line})" if finding.location.line else ""
    return Item(Area.HOSTS, name, replace(finding, message=f"{finding.id} {finding.message}{line}"))


def _flags_fix(look: Look) -> str:
    """What makes the flags of the server known."""
    if look.place.manifest is None:
        return f"say where its static pod's manifest is: apiServers[].manifest of {look.place.name} in the cluster file"
    return "run keyctl where the manifest can be read, or list its host in the cluster file"


def _manifest(look: Look) -> Iterator[Item]:
    name, file = look.place.name, look.manifest
    if file is None or look.flags is None:
        message = f"its flags are not known: {look.manifest_problem}"
        yield _CHECKS.unknown(rules.FLAGS, name, message, fix=_flags_fix(look))
        return
    try:
        findings = judge_manifest(file.content, file.path)
    except KeyctlError as error:
        yield _CHECKS.of_error(rules.FLAGS, name, error)
        return
    # NOTE: a server without the flag is diagnosed beside the others; where none has it, that is said once, there.
    telling = [finding for finding in findings if finding.id != manifest_rules.NOT_GIVEN.id]
    yield from (_finding(name, finding) for finding in telling)
    if not telling:
        path = PurePosixPath(look.seen.path)
        how = f"{path.parent} mounted" if look.seen.flag else "no encryption flag"
        reload = ", automatic reload on" if look.seen.reloads else ", no automatic reload" if look.seen.flag else ""
        yield _CHECKS.ok(rules.FLAGS, name, f"{file.path}: {how}{reload}")


def _replaceable(host: Host, look: Look, server: ApiServerSettings) -> Iterator[Item]:
    """Whether a new file could be put beside it and renamed, and whether there is room."""
    name, path = look.place.name, look.seen.path
    try:
        free = host.free_bytes(path)
    except KeyctlError as error:
        yield _CHECKS.unknown(rules.ROOM, name, f"free space was not told: {sentence(error)}")
        return
    parent = quote(str(PurePosixPath(path).parent))
    if free is None:
        yield _unsure(name, "free space is not told by the way to this host", f"look there: df -h {parent}")
    elif free < _ROOM:
        yield _CHECKS.bad(rules.ROOM, name, f"only {free // 1024} KiB free beside {path}", fix="make room")
    if not isinstance(server.host, LocalHostSettings):
        message = f"whether {path} can be replaced is found out by doing it, not here"
        yield _unsure(name, message, f"look there: ls -ld {parent}")
    elif not os.access(PurePosixPath(path).parent, os.W_OK | os.X_OK):
        told = f"this user cannot write in {PurePosixPath(path).parent}"
        yield _CHECKS.bad(rules.ROOM, name, told, fix="run keyctl as the owner of the directory, for example with sudo")
    else:
        yield _CHECKS.ok(rules.ROOM, name, "can be replaced, and there is room")


def _unsure(name: str, message: str, fix: str) -> Item:
    item = _CHECKS.unknown(rules.ROOM, name, message, fix=fix)
    return replace(item, finding=replace(item.finding, status=Status.UNKNOWN, severity=Severity.INFO))
