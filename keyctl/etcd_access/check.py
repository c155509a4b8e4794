"""Compare the users and roles of an etcd with those there must be: findings, pure values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keyctl.etcd_access import rules
from keyctl.etcd_access.guards import Situation
from keyctl.etcd_access.proof import Trial
from keyctl.etcd_access.steps import Addition, AddRole, AddUser, Allow, GiveRole, additions, narrowings
from keyctl.etcd_access.wanted import ROOT, Party, Wanted
from keyctl.findings import Evidence, Finding, Location, Rule, Status
from keyctl.kube.interface import Grant
from keyctl.stored.display import display


def judge(
    situation: Situation,
    wanted: Wanted,
    trials: Sequence[Trial],
    *,
    endpoint: str,
    others: Sequence[str],
    untried: Sequence[Party] = (),
) -> tuple[Finding, ...]:
    """Everything there is to say. `endpoint` stands for the etcd; `others` are etcds that were not looked at.

    `untried` are those whose private key is not at hand.
    """
    here = Location(endpoint=endpoint)
    found = (
        *_state(situation, here),
        *_users(situation, wanted, here),
        *_strangers(situation, wanted, here),
        *_tenants(situation, wanted, here),
        *_trials(trials),
        *_untried(untried, here),
        *_not_seen(situation, others),
    )
    return tuple(found)


def _state(situation: Situation, here: Location) -> Iterator[Finding]:
    if situation.seen.enabled:
        yield _said(rules.OFF, Status.PASS, "users and roles are on", here)
    else:
        yield _said(rules.OFF, Status.FAIL, "users and roles are off: every certificate may do everything", here)


def _users(situation: Situation, wanted: Wanted, here: Location) -> Iterator[Finding]:
    missing = additions(situation.seen, wanted)
    extra = narrowings(situation.seen, wanted)
    for step in missing:
        yield _said(rules.MISSING, Status.FAIL, _lacks(step), here)
    for narrowing in extra:
        yield _said(rules.EXCESS, Status.FAIL, f"too much is allowed; to do: {narrowing}", here)
    if not missing:
        names = ", ".join(display(user.name) for user in wanted.users)
        yield _said(rules.MISSING, Status.PASS, f"every user has the role it needs: {names}", here)
    if not extra:
        yield _said(rules.EXCESS, Status.PASS, "no user that was named has more than the role it needs", here)


def _lacks(step: Addition) -> str:
    match step:
        case AddRole(role):
            return f"there is no role {role}"
        case Allow(role, _):
            return f"the role {role} lacks a permission; to do: {step}"
        case AddUser(user):
            return f"there is no user {display(user)}"
        case GiveRole(user, role):
            return f"the user {display(user)} has not the role {role}"


def _strangers(situation: Situation, wanted: Wanted, here: Location) -> Iterator[Finding]:
    known = {user.name for user in wanted.users}
    strangers = [user for user in situation.seen.users if user.name not in known and user.roles]
    for user in strangers:
        roles = ", ".join(map(display, user.roles))
        everything = " and may do everything" if ROOT in user.roles else ""
        yield _said(
            rules.STRANGER, Status.FAIL, f"the user {display(user.name)} has the roles {roles}{everything}", here
        )
    if not strangers:
        yield _said(rules.STRANGER, Status.PASS, "nobody but the users that were named has a role", here)


def _tenants(situation: Situation, wanted: Wanted, here: Location) -> Iterator[Finding]:
    prefix = display(wanted.prefix)
    if situation.outside:
        message = f"{situation.outside} keys are not below {prefix}"
        yield _said(rules.SHARED, Status.FAIL, message, here)
    else:
        yield _said(rules.SHARED, Status.PASS, f"every key is below {prefix} or the API servers' own", here)


def _trials(trials: Sequence[Trial]) -> Iterator[Finding]:
    for trial in trials:
        status = Status.PASS if trial.holds else Status.FAIL
        yield _said(rules.REFUSED, status, str(trial), Location(endpoint=trial.endpoint))


def _untried(parties: Sequence[Party], here: Location) -> Iterator[Finding]:
    for party in parties:
        message = f"what etcd lets {display(party.name)} do was not tried: no private key for {party.file} is at hand"
        yield _said(rules.REFUSED, Status.UNKNOWN, message, here, "name its key with the option that ends in -key")


def judge_readers(grants: Sequence[Grant]) -> Iterator[Finding]:
    """Who may get at every Secret by way of the API: for a human to judge, but for Kubernetes' own parts."""
    found: dict[str, list[Grant]] = {}
    for grant in grants:
        if not grant.default:
            found.setdefault(grant.subject, []).append(grant)
    for subject, theirs in found.items():
        may = ", ".join(dict.fromkeys(str(grant.power) for grant in theirs))
        by = ", ".join(dict.fromkeys(grant.binding for grant in theirs))
        yield _said(rules.READERS, Status.MANUAL, f"{display(subject)} may {may} (by {display(by)})", Location())
    if not found:
        said = "RBAC lets nobody but Kubernetes' own parts get at every Secret"
        yield _said(rules.READERS, Status.PASS, said, Location())


def unread_readers(reason: str) -> Finding:
    """Why nobody knows who may get at every Secret by way of the API."""
    message = f"who may read Secrets by way of the API was not looked at: {display(reason)}"
    return _said(rules.READERS, Status.UNKNOWN, message, Location())


def _not_seen(situation: Situation, others: Sequence[str]) -> Iterator[Finding]:
    for member in situation.unlisted:
        message = f"no endpoint is the member {display(member)}: nothing was tried there"
        yield _said(rules.NOT_SEEN, Status.UNKNOWN, message, Location())
    for other in others:
        yield _said(rules.NOT_SEEN, Status.UNKNOWN, f"the etcd at {other} was not looked at", Location(endpoint=other))


def _said(rule: Rule, status: Status, message: str, location: Location, fix: str | None = None) -> Finding:
    return rule.finding(message, location=location, status=status, evidence=Evidence.E3, fix=fix)
