"""The audit log of the API server: that there is one, and that it holds no Secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from keyctl.audit.checks.alerts import somebody_is_told
from keyctl.audit.checks.check import API_SERVERS, AUDIT_POLICIES, Check, check, check_once
from keyctl.audit.checks.files import AUDIT_LOG
from keyctl.audit.checks.mappings import LOG
from keyctl.audit.facts import TEMPLATE, About, AuditPolicy, Facts, FileFact, Git, PolicyRule, Program, UndecidedError
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed
from keyctl.findings import Rule, Severity, Status

NO_LOG = Rule(
    "KC-LOG-001",
    Severity.HIGH,
    "kube-apiserver keeps no audit log, or not long enough",
    "Without it nobody can say who has read a Secret.",
    "give --audit-policy-file, --audit-log-path, --audit-log-maxage=30, --audit-log-maxbackup=10 and "
    "--audit-log-maxsize=100",
    "CIS Kubernetes Benchmark 1.12, 1.2.16 to 1.2.19",
    ("stig/V-242402", *(f"stig/V-24246{number}" for number in (1, 2, 3, 4, 5)), *LOG),
)
SECRETS_LOGGED = Rule(
    "KC-LOG-002",
    Severity.HIGH,
    "the audit policy writes Secrets into the log, or leaves them out of it",
    "At the levels Request and RequestResponse the log holds the values in plaintext, past all encryption. The first "
    "rule that matches a request decides.",
    "begin the rules with level Metadata for secrets, and let none be without a level",
    "kube-apiserver 1.37, audit.k8s.io/v1",
    ("stig/V-242403", *LOG),
)
LOG_FILES = Rule(
    "KC-LOG-003",
    Severity.MEDIUM,
    "others can read the audit log, or it does not leave the host",
    "Who has the host can change what it says of him.",
    "chmod 600, and ship it elsewhere",
    "",
    ("nist-800-53/AU-9", *LOG),
)

_PRIVATE = 0o600
_LEAST = {"audit-log-maxage": 30, "audit-log-maxbackup": 10, "audit-log-maxsize": 100}
_WHOLE = re.compile(r"[0-9]{1,9}")
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
_LEVELS = frozenset({"None", "Metadata", "Request", "RequestResponse"})
_BODIES = frozenset({"Request", "RequestResponse"})
# What else must not be left out: (group, resource, verb).
_WATCHED = (
    ("", "pods/exec", "create"),
    ("", "pods/portforward", "create"),
    ("rbac.authorization.k8s.io", "rolebindings", "create"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
)


@check(NO_LOG, API_SERVERS)
def log_kept(server: Program) -> Iterator[Verdict]:
    """Where the log goes, and for how long."""
    path = server.given("audit-log-path")
    webhook = None if path else server.given("audit-webhook-config-file")
    if path is None and webhook is None:
        yield failed(f"{server.name} has neither --audit-log-path nor --audit-webhook-config-file", server)
        return
    if not server.given("audit-policy-file"):
        yield failed(f"{server.name} has no --audit-policy-file and logs no request", path or webhook or server)
        return
    # Standard output and webhooks are kept by others.
    short = [] if path is None or path.value == "-" else [name for name in _LEAST if not _is_enough(server, name)]
    if short:
        wanted = ", ".join(f"--{name}={_LEAST[name]}" for name in short)
        yield failed(f"{server.name} keeps less than {wanted}", server.setting(short[0]) or path or server)
    else:
        yield passed(f"{server.name} keeps an audit log", path or webhook or server)


@check(SECRETS_LOGGED, AUDIT_POLICIES)
def policy_tells_and_hides(policy: AuditPolicy) -> Iterator[Verdict]:
    """For each verb, the first rule that matches."""
    problems = 0
    for rule in policy.rules:
        if TEMPLATE.search(rule.level):
            raise UndecidedError("the level of a rule is put in later", rule)
        if rule.level not in _LEVELS:
            problems += 1
            yield failed("a rule has no level that kube-apiserver knows, and it does not start", rule)
    told: set[int] = set()
    for verb in _VERBS:
        for rule in _deciding(policy, "", "secrets", verb):
            if rule.level in _BODIES and id(rule) not in told:
                told.add(id(rule))
                problems += 1
                yield failed(f"{verb} of secrets is logged at {rule.level}: values in plaintext in the log", rule)
    for group, resource, verb in (*(("", "secrets", verb) for verb in _VERBS), *_WATCHED):
        decides = next((one for one in _deciding(policy, group, resource, verb) if not one.narrowed), None)
        if decides is None or decides.level == "None":
            problems += 1
            yield failed(f"{verb} of {resource} is not logged", decides if decides is not None else policy)
            break
    if not problems:
        yield passed("secrets are logged without their values", policy)


@check_once(LOG_FILES, About.AUDIT_LOG)
def logs_private(facts: Facts) -> Iterator[Verdict]:
    """Each log file that was given; that it is shipped elsewhere is seen only of a webhook."""
    logs = [one for one in facts.files if one.role == AUDIT_LOG]
    for file in logs:
        yield _private(file)
    servers = facts.api_servers
    if logs and not (servers and all(_gives(one, "audit-webhook-config-file") for one in servers)):
        asks = "find out whether the audit log leaves the host"
        yield Verdict(Status.MANUAL, asks, logs[0].location, logs[0].evidence)
    elif not logs and servers and all(_gives(one, "audit-log-path") is False for one in servers):
        yield not_applicable("no-log-file", "the API servers write no log file on their hosts", servers[0])


def _private(file: FileFact) -> Verdict:
    if file.git is not Git.OUTSIDE:
        return not_applicable("git-work-tree", "modes of a checkout say nothing about the host: audit log", file)
    if file.mode & ~_PRIVATE:
        return failed(f"the audit log has mode {file.mode:04o}, more than {_PRIVATE:04o}", file)
    return passed(f"the audit log has mode {file.mode:04o}", file)


def _gives(server: Program, name: str) -> bool | None:
    """Whether the setting has a value; None where that is not known."""
    try:
        return server.given(name) is not None
    except UndecidedError:
        return None


def _deciding(policy: AuditPolicy, group: str, resource: str, verb: str) -> Iterator[PolicyRule]:
    """The rules that decide about such a request: those for some users only, up to the first one for all."""
    for rule in policy.rules:
        if _matches(rule, group, resource, verb):
            yield rule
            if not rule.narrowed:
                return


def _matches(rule: PolicyRule, group: str, resource: str, verb: str) -> bool:
    if rule.verbs and verb not in rule.verbs and "*" not in rule.verbs:
        return False
    if not rule.groups:
        return not rule.non_resource
    main, _, below = resource.partition("/")
    # main/* is main itself too.
    names = {resource, "*", f"{main}/*"} | ({f"*/{below}"} if below else set())
    return any(own in (group, "*") and (not resources or names & set(resources)) for own, resources in rule.groups)


def _is_enough(server: Program, name: str) -> bool:
    value = server.text(name)
    # Nought of age and of number means that nothing is ever deleted.
    return bool(_WHOLE.fullmatch(value)) and (
        int(value) >= _LEAST[name] or (int(value) == 0 and name != "audit-log-maxsize")
    )


CHECKS: tuple[Check, ...] = (
    log_kept,
    policy_tells_and_hides,
    logs_private,
    somebody_is_told,
)
