"""What running members of etcd, and etcd as a whole, say of themselves: users and roles, alarms, versions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from keyctl.audit.checks.check import Check, Subjects, check, check_beside, check_once
from keyctl.audit.checks.mappings import AUTH, LOG, VER
from keyctl.audit.facts import About, Facts, Program, UndecidedError
from keyctl.audit.live.api_servers import RunningServer
from keyctl.audit.live.members import EtcdState, MemberState
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.encryption_config.model import EncryptionConfig, GroupResource, KmsReader
from keyctl.findings import Evidence, Location, Rule, Severity, Status

ETCD_USERS = Rule(
    "KC-AUTH-002",
    Severity.MEDIUM,
    "etcd serves others than Kubernetes without users and roles",
    "Certificates alone let every client read everything. That is enough where the API servers are the only clients.",
    "give the other programs an etcd of their own, and this one users and roles: keyctl etcd-access plan; where they "
    "must share it, make their users and roles with etcdctl",
    "",
    AUTH,
)
ALARMS = Rule(
    "KC-LOG-005",
    Severity.LOW,
    "an alarm stands in etcd, or corruption is not looked for",
    "Under NOSPACE nothing is written; under CORRUPT nothing that is read is proof.",
    "etcdctl alarm list; turn on --feature-gates=InitialCorruptCheck=true,CompactHashCheck=true (before etcd 3.6: "
    "--experimental-initial-corrupt-check and --experimental-compact-hash-check-enabled)",
    "",
    ("nist-800-53/SI-7", *LOG),
)
SKEW = Rule(
    "KC-VER-003",
    Severity.MEDIUM,
    "members or API servers run versions that do not go together",
    "Wildcards need Kubernetes 1.27, automatic reload 1.26, KMS v2 1.29.",
    "end the upgrade that was begun",
    "",
    VER,
)

ETCD: Subjects[EtcdState] = Subjects(About.MEMBER, lambda facts: facts.of(EtcdState))
_ALARM_SEVERITY = {"CORRUPT": Severity.HIGH, "NOSPACE": Severity.MEDIUM}
_GATES = frozenset({"CompactHashCheck", "InitialCorruptCheck"})
_CHECKING = ("experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled")
_EVERY = ("experimental-corrupt-check-time", "corrupt-check-time")
_NEVER = re.compile(r"0+[a-zµ]*")
_VERSION = re.compile(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)")
_RELOAD = "encryption-provider-config-automatic-reload"
_WILDCARDS, _RELOADS, _KMS_V2 = (1, 27), (1, 26), (1, 29)


@check(ETCD_USERS, ETCD)
def users_where_there_are_others(etcd: EtcdState) -> Iterator[Verdict]:
    """Users and roles, where there is more in it than Kubernetes' keys."""
    if etcd.auth:
        yield passed(f"{etcd.etcd} has users and roles, and they are on", etcd)
    elif etcd.auth is None or etcd.others is None:
        yield unknown(f"who uses {etcd.etcd} was not told: {etcd.untold}", etcd)
    elif etcd.others:
        message = f"{etcd.etcd} holds {etcd.others} keys that are not Kubernetes', and has no users and roles"
        yield failed(message, etcd)
    else:
        yield not_applicable("kubernetes-only", f"{etcd.etcd} holds nothing but what Kubernetes keeps there", etcd)


@check_beside(ALARMS, ETCD)
def sound(etcd: EtcdState, facts: Facts) -> Iterator[Verdict]:
    """The alarms that stand, and whether corruption would be found."""
    if etcd.alarms is None:
        yield unknown(f"the alarms of {etcd.etcd} were not told: {etcd.untold}", etcd)
    for one in etcd.alarms or ():
        severity = _ALARM_SEVERITY.get(one.kind, Severity.HIGH)
        yield failed(f"{etcd.etcd}: alarm {one.kind} stands against member {one.member_id}", etcd, severity=severity)
    if not facts.etcds:
        yield unknown(f"whether {etcd.etcd} looks for corruption is not known: its flags were not given", etcd)
    blind = [one for one in facts.etcds if not _looks_for_corruption(one)]
    for program in blind:
        yield failed(f"{program.name} does not look for corruption", program)
    if etcd.alarms == () and facts.etcds and not blind:
        yield passed(f"no alarm stands in {etcd.etcd}, and it looks for corruption", etcd)


@check_once(SKEW, About.CLUSTER)
def versions_that_go_together(facts: Facts) -> Iterator[Verdict]:
    """The members among each other, the API servers among each other, and what each API server is asked to do."""
    yield from _one_release("members of etcd", About.MEMBER, facts.of(MemberState), facts)
    yield from _one_release("API servers", About.RUNNING_SERVER, facts.of(RunningServer), facts)
    servers = facts.of(RunningServer)
    for server in servers:
        yield from _too_old(server, _needed(server.disk.config))
    # A process does not tell its version; where all that run are known it is one of those.
    running = [_release(one.version) for one in servers]
    oldest = min((one for one in running if one is not None), default=None) if None not in running else None
    for program in facts.api_servers:
        if program.version or oldest is None or oldest[:2] < _RELOADS:
            yield from _too_old(program, _reload(program))


def _one_release(
    called: str, about: About, found: Sequence[MemberState | RunningServer], facts: Facts
) -> Iterator[Verdict]:
    unread = [one for one in facts.unread if about in one.about]
    # Several may have one name: etcd calls each member "default" that is not told another one.
    versions = [(_release(one.version), one) for one in found]
    silent = [one for version, one in versions if version is None]
    yield from (unknown(f"not read: {one.reason}", one) for one in unread)
    yield from (unknown(f"{one.name} does not tell its version", one) for one in silent)
    known = {version for version, _ in versions if version is not None}
    told = ", ".join(f"{one.name} {one.version}" for one in found)
    if not found and not unread:
        yield Verdict(Status.UNKNOWN, f"the {called} were not asked", Location(), Evidence.E0)
    elif len({version[:2] for version in known}) > 1:
        yield failed(f"{called} of several minor versions: {told}", found[0])
    elif len(known) > 1 and about is About.MEMBER:
        yield failed(f"{called} of several patch versions: {told}", found[0], severity=Severity.LOW)
    elif known and not (unread or silent):
        yield passed(f"all {called} go together: {told}", found[0])


def _too_old(server: RunningServer | Program, needs: Iterator[tuple[str, tuple[int, int]]]) -> Iterator[Verdict]:
    version = _release(server.version)
    for what, least in needs:
        if version is None:
            yield unknown(f"whether {server.name} knows {what} is not known: its version is not", server)
        elif version[:2] < least:
            wanted = f"{least[0]}.{least[1]}"
            yield failed(f"{server.name} {server.version} is too old for {what}, which needs {wanted}", server)


def _needed(config: EncryptionConfig | None) -> Iterator[tuple[str, tuple[int, int]]]:
    entries = config.entries if config else ()
    if any(GroupResource.parse(text).is_wildcard for entry in entries for text in entry.resources):
        yield "wildcards", _WILDCARDS
    readers = (one for entry in entries for element in entry.providers for one in element.readers)
    if any(isinstance(one, KmsReader) and one.version == "v2" for one in readers):
        yield "KMS v2", _KMS_V2


def _reload(program: Program) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        switched = program.switched(_RELOAD)
    except UndecidedError:
        # Whether it is given is not known; that it is asked for what it cannot do is not either.
        return
    if switched is not None:
        yield "automatic reload", _RELOADS


def _looks_for_corruption(etcd: Program) -> bool:
    """Raises `UndecidedError` where its flags do not tell."""
    gates = dict(one.strip().partition("=")[::2] for one in etcd.text("feature-gates").split(","))
    if any(gates.get(gate, "").lower() in ("true", "1", "t") for gate in _GATES):
        return True
    if any(etcd.switched(name) for name in _CHECKING):
        return True
    return any((every := etcd.text(name)) and not _NEVER.fullmatch(every) for name in _EVERY)


def _release(version: str) -> tuple[int, int, int] | None:
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


CHECKS: tuple[Check, ...] = (users_where_there_are_others, sound, versions_that_go_together)
