"""Plan, check and result as `Report`s. Values only."""

from __future__ import annotations

from collections.abc import Sequence

from keyctl.errors import ExitCode
from keyctl.etcd_access.guards import Situation, is_unproven
from keyctl.etcd_access.proof import Trial
from keyctl.etcd_access.steps import additions, narrowings
from keyctl.etcd_access.wanted import Compactor, Purpose, Wanted
from keyctl.findings import Finding, Report, Status, Table
from keyctl.stored.display import display

_OTHERS = "any other certificate will read and write nothing; it still sees etcd's members, versions and sizes"


def plan_lines(situation: Situation, wanted: Wanted) -> tuple[str, ...]:
    """What would be done, in order."""
    seen = situation.seen
    lines = [str(step) for step in (*additions(seen, wanted), *narrowings(seen, wanted))]
    if not seen.enabled:
        lines = [
            "try every certificate at every member, while users and roles are off",
            *lines,
            "read everything back",
            "prepare the way back: a user with a password that is deleted in the end",
            "turn users and roles on",
        ]
    lines.append("try every certificate at every member: what it must do, and what it must not")
    if not seen.enabled or is_unproven(seen):
        lines += ["where one is refused, turn users and roles off again", "take the way back away"]
    else:
        lines.append("where one is refused, give back what was taken")
    return tuple(lines)


def remarks(wanted: Wanted, compactor: Compactor, others: Sequence[str] = ()) -> tuple[str, ...]:
    """What whoever agrees to a plan has to know; `others` are etcds of the same cluster that it is not about."""
    notes = [_OTHERS]
    if any(user.purpose is Purpose.BACKUP for user in wanted.users):
        notes.append("etcd sends snapshots to the role root only: the backup's user may do everything")
    if compactor is Compactor.API_SERVER:
        notes.append("only the role root may compact, so the API servers get it: they may do everything")
    else:
        notes.append(
            "the API servers will not be let compact: without --auto-compaction-retention on every member etcd keeps "
            "every revision until its quota is full"
        )
    return (*notes, *map(_apart, others))


def _apart(other: str) -> str:
    return f"the etcd at {other} has users and roles of its own: run it again with --endpoints {other}"


def plan_report(
    situation: Situation, wanted: Wanted, compactor: Compactor, again: str = "", others: Sequence[str] = ()
) -> Report:
    """The plan; nothing was changed. `again` is the command that carries it out. For `others` see `remarks`."""
    lines = plan_lines(situation, wanted)
    rows = tuple((str(number), line) for number, line in enumerate(lines, 1))
    done = not (additions(situation.seen, wanted) or narrowings(situation.seen, wanted)) and situation.seen.enabled
    verdict = "everything is as wanted; nothing was changed" if done else "nothing was changed"
    data = {"enabled": situation.seen.enabled, "users": _users(wanted), "steps": list(lines)}
    tables = (_table(wanted), Table(("STEP", "WHAT"), rows, numeric=frozenset({0})))
    notes, steps = remarks(wanted, compactor, others), () if done or not again else (again,)
    return Report("EtcdAccessPlan", ExitCode.OK, verdict, (), data, tables, notes, steps)


def check_report(situation: Situation, wanted: Wanted, findings: tuple[Finding, ...]) -> Report:
    """What the check found: 20 for a finding, 21 where something was not looked at."""
    failed = sum(one.status is Status.FAIL for one in findings)
    unknown = sum(one.status is Status.UNKNOWN for one in findings)
    code = ExitCode.FINDINGS if failed else ExitCode.UNEVALUATED if unknown else ExitCode.OK
    if failed:
        verdict = f"etcd's users and roles are not as wanted: {failed} findings"
    elif unknown:
        verdict = f"what was looked at is as wanted; {unknown} were not looked at"
    else:
        verdict = "etcd's users and roles are as wanted"
    data = {"enabled": situation.seen.enabled, "users": _users(wanted)}
    steps = ("keyctl explain KC-ACC-001",) if not situation.seen.enabled else ()
    return Report("EtcdAccessCheck", code, verdict, findings, data, (_table(wanted),), (), steps)


def done_report(wanted: Wanted, trials: Sequence[Trial], notes: tuple[str, ...]) -> Report:
    """What came of the apply; `trials` all hold."""
    rows = tuple((trial.endpoint, display(trial.party.name), trial.what, _said(trial)) for trial in trials)
    data: dict[str, object] = {
        "enabled": True,
        "users": _users(wanted),
        "tried": [
            {"endpoint": one.endpoint, "user": one.party.name, "what": one.what, "let": one.refusal is None}
            for one in trials
        ],
    }
    verdict = f"users and roles are on, and {len(trials)} trials with the certificates went as they should"
    tables = (_table(wanted), Table(("MEMBER", "USER", "TRIED", "ANSWER"), rows))
    return Report("EtcdAccessApplied", ExitCode.OK, verdict, (), data, tables, notes)


def off_report(*, was_on: bool, dry_run: bool, others: Sequence[str] = ()) -> Report:
    """What came, or with `dry_run` would come, of turning it off. For `others` see `remarks`."""
    if not was_on:
        verdict = "users and roles were off already"
    else:
        verdict = "users and roles would be turned off; nothing was changed" if dry_run else "users and roles are off"
    kept = ("with them off every certificate that etcd's CA has signed may do everything", "they are kept")
    notes = (*kept, *map(_apart, others))
    return Report("EtcdAccessDisabled", ExitCode.OK, verdict, (), {"enabled": was_on and dry_run}, (), notes)


def _said(trial: Trial) -> str:
    return "done" if trial.refusal is None else "refused, as it must be"


def _table(wanted: Wanted) -> Table:
    rows = tuple((display(user.name), str(user.purpose or "administrator"), user.role) for user in wanted.users)
    return Table(("USER", "FOR", "ROLE"), rows)


def _users(wanted: Wanted) -> list[dict[str, str]]:
    return [
        {"name": user.name, "for": str(user.purpose or "administrator"), "role": user.role} for user in wanted.users
    ]
