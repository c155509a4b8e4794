"""What is wanted, in which order it comes, what forbids it, and what a check says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyctl.errors import ExitCode, RefusedError
from keyctl.etcd.interface import EtcdUser
from keyctl.etcd_access import rules
from keyctl.etcd_access.check import judge, judge_readers, unread_readers
from keyctl.etcd_access.guards import Situation, require_safe
from keyctl.etcd_access.proof import Trial
from keyctl.etcd_access.report import check_report, plan_lines, plan_report
from keyctl.etcd_access.steps import Forbid, Seen, TakeRole, additions, narrowings, told
from keyctl.etcd_access.wanted import ROOT, WAY_BACK, Compactor, Party, Wanted, wanted
from keyctl.findings import Finding, Status
from keyctl.kube.interface import Grant, Power
from keyctl.stored.rights import Permission, Role
from tests.support.hints import wrong_commands
from tests.unit.etcd_access.scene import AUDITOR, BACKUP, PARTIES, PREFIX, SERVER

EMPTY = Seen(False, (), ())


def as_wanted(found: Wanted, *, enabled: bool = True) -> Seen:
    users = tuple(EtcdUser(user.name, (user.role,)) for user in found.users)
    return Seen(enabled, users, found.roles)


def situation(seen: Seen = EMPTY, connection: str = ROOT) -> Situation:
    return Situation(seen, connection, password=False, outside=0, unlisted=())


def test_each_party_gets_the_least_role_that_does() -> None:
    found = wanted(PARTIES, PREFIX, Compactor.ETCD)
    roles = {user.name: user.role for user in found.users}
    assert roles == {ROOT: ROOT, SERVER.name: "kube-apiserver", AUDITOR.name: "keyctl-auditor", BACKUP.name: ROOT}
    assert found.roles == (
        Role(
            "kube-apiserver",
            (Permission("readwrite", PREFIX, b"/registry0"), Permission("readwrite", b"compact_rev_key", b"")),
        ),
        Role("keyctl-auditor", (Permission("read", PREFIX, b"/registry0"),)),
    )


def test_api_servers_that_compact_are_root_for_nobody_else_may() -> None:
    found = wanted((SERVER,), PREFIX, Compactor.API_SERVER)
    assert found.administrators == {ROOT, SERVER.name}
    assert found.roles == ()


@pytest.mark.parametrize(
    ("parties", "said"),
    [
        pytest.param((replace(SERVER, name=""),), "has no common name", id="no common name"),
        pytest.param((SERVER, replace(AUDITOR, name=SERVER.name)), "two users of etcd in one", id="shared"),
        pytest.param((replace(SERVER, name=ROOT),), "is the administrator", id="root"),
        pytest.param((replace(SERVER, name=WAY_BACK),), "made and deleted here", id="the way back"),
    ],
)
def test_a_certificate_that_no_user_of_its_own_can_be_made_for_is_refused(
    parties: tuple[Party, ...], said: str
) -> None:
    with pytest.raises(RefusedError, match=said) as refused:
        wanted(parties, PREFIX, Compactor.ETCD)
    assert [problem for hint in refused.value.hints for problem in wrong_commands(hint)] == []


def test_servers_with_one_certificate_are_one_user() -> None:
    found = wanted((SERVER, replace(SERVER, file="other.crt")), PREFIX, Compactor.ETCD)
    assert [user.name for user in found.users] == [ROOT, SERVER.name]


def test_rights_come_before_who_has_them() -> None:
    steps = [type(step).__name__ for step in additions(EMPTY, wanted((SERVER,), PREFIX, Compactor.ETCD))]
    assert steps == ["AddRole", "Allow", "Allow", "AddUser", "GiveRole", "AddUser", "GiveRole"]


def test_what_is_there_is_no_step() -> None:
    found = wanted(PARTIES, PREFIX, Compactor.ETCD)
    assert (additions(as_wanted(found), found), narrowings(as_wanted(found), found)) == ((), ())


def test_only_what_the_named_have_too_much_is_taken() -> None:
    found = wanted(PARTIES, PREFIX, Compactor.ETCD)
    seen = as_wanted(found)
    wide = Permission("read", b"\0", b"\0")
    other_kind = Permission("readwrite", PREFIX, b"/registry0")
    seen = replace(
        seen,
        users=(*seen.users[:2], EtcdUser(AUDITOR.name, ("keyctl-auditor", ROOT)), EtcdUser("calico", (ROOT,))),
        roles=(seen.roles[0], Role("keyctl-auditor", (other_kind, wide)), Role("calico", (wide,))),
    )
    assert narrowings(seen, found) == (TakeRole(AUDITOR.name, ROOT), Forbid("keyctl-auditor", wide))
    assert "Allow" in [type(step).__name__ for step in additions(seen, found)]


@pytest.mark.parametrize(
    ("permission", "text"),
    [
        (Permission("readwrite", PREFIX, b"/registry0"), "read and write everything below /registry/"),
        (Permission("read", b"a\x1b", b""), r"read a\x1b"),
        (Permission("write", b"a", b"c"), "write from a up to c"),
        (Permission("read", b"\0", b"\0"), r"read everything from \x00 on"),
        (Permission("read", b"", b""), "read "),
    ],
)
def test_a_permission_is_told_in_words_that_cannot_act(permission: Permission, text: str) -> None:
    assert told(permission) == text


UNSAFE = (
    pytest.param(situation(connection="somebody"), "could not", id="a connection that would be nobody"),
    pytest.param(situation(connection=AUDITOR.name), "could not", id="a connection that would be the auditor"),
    pytest.param(situation(connection=""), "could not", id="a connection without a common name"),
    pytest.param(replace(situation(), password=True), "with a password", id="a login with a password"),
    pytest.param(replace(situation(), outside=3), "3 keys are not below /registry/", id="somebody else's keys"),
    pytest.param(replace(situation(), unlisted=("m3",)), "not every member", id="a member that is not tried"),
)


@pytest.mark.parametrize(("unsafe", "said"), UNSAFE)
def test_what_could_lock_somebody_out_is_refused(unsafe: Situation, said: str) -> None:
    with pytest.raises(RefusedError, match=said) as refused:
        require_safe(unsafe, wanted(PARTIES, PREFIX, Compactor.ETCD))
    assert [problem for hint in refused.value.hints for problem in wrong_commands(hint)] == []


@pytest.mark.parametrize(
    ("connection", "compactor", "seen"),
    [
        pytest.param(ROOT, Compactor.ETCD, EMPTY, id="root"),
        pytest.param(SERVER.name, Compactor.API_SERVER, EMPTY, id="an API server that becomes root"),
        pytest.param(BACKUP.name, Compactor.ETCD, EMPTY, id="a backup that becomes root"),
        pytest.param("admin", Compactor.ETCD, Seen(False, (EtcdUser("admin", (ROOT,)),), ()), id="one that is root"),
    ],
)
def test_a_connection_that_will_be_root_is_let_work(connection: str, compactor: Compactor, seen: Seen) -> None:
    require_safe(situation(seen, connection), wanted(PARTIES, PREFIX, compactor))


def test_an_api_server_that_is_root_now_and_would_not_be_is_no_administrator() -> None:
    seen = Seen(False, (EtcdUser(SERVER.name, (ROOT,)),), ())
    with pytest.raises(RefusedError):
        require_safe(situation(seen, SERVER.name), wanted(PARTIES, PREFIX, Compactor.ETCD))


def judged(
    seen: Situation, *trials: Trial, others: tuple[str, ...] = (), untried: tuple[Party, ...] = ()
) -> tuple[ExitCode, dict[str, set[Status]]]:
    found = wanted(PARTIES, PREFIX, Compactor.ETCD)
    findings = judge(seen, found, trials, endpoint="https://m1", others=others, untried=untried)
    return check_report(seen, found, findings).exit_code, _by_rule(findings)


def _by_rule(findings: tuple[Finding, ...]) -> dict[str, set[Status]]:
    return {one.id: {other.status for other in findings if other.id == one.id} for one in findings}


def test_all_as_wanted_passes() -> None:
    trial = Trial(SERVER, "https://m1", "read", None, may=True)
    code, found = judged(situation(as_wanted(wanted(PARTIES, PREFIX, Compactor.ETCD))), trial)
    assert code == ExitCode.OK
    passed = {rules.OFF, rules.MISSING, rules.EXCESS, rules.STRANGER, rules.SHARED, rules.REFUSED}
    assert found == {rule.id: {Status.PASS} for rule in passed}


def test_each_thing_wrong_has_its_own_finding() -> None:
    right = as_wanted(wanted(PARTIES, PREFIX, Compactor.ETCD))
    stranger = EtcdUser("calico", ("calico",))
    cases = {
        rules.OFF: situation(replace(right, enabled=False)),
        rules.MISSING: situation(replace(right, users=right.users[1:])),
        rules.EXCESS: situation(
            replace(right, users=(*right.users[:2], EtcdUser(AUDITOR.name, ("keyctl-auditor", ROOT)), *right.users[3:]))
        ),
        rules.STRANGER: situation(replace(right, users=(*right.users, stranger))),
        rules.SHARED: replace(situation(right), outside=1),
    }
    for rule, seen in cases.items():
        code, found = judged(seen)
        assert code == ExitCode.FINDINGS
        assert [one for one, statuses in found.items() if Status.FAIL in statuses] == [rule.id]


@pytest.mark.parametrize("may", [True, False])
def test_a_certificate_that_is_let_do_what_it_must_not_or_not_what_it_must_is_a_finding(may: bool) -> None:
    refusal = "etcdserver: permission denied" if may else None
    seen = situation(as_wanted(wanted(PARTIES, PREFIX, Compactor.ETCD)))
    code, found = judged(seen, Trial(AUDITOR, "https://m1", "write", refusal, may=may))
    assert (code, found[rules.REFUSED.id]) == (ExitCode.FINDINGS, {Status.FAIL})


def test_what_was_not_looked_at_is_no_pass() -> None:
    seen = situation(as_wanted(wanted(PARTIES, PREFIX, Compactor.ETCD)))
    assert judged(replace(seen, unlisted=("m3",)))[0] == ExitCode.UNEVALUATED
    code, found = judged(seen, others=("https://events",))
    assert (code, found[rules.NOT_SEEN.id]) == (ExitCode.UNEVALUATED, {Status.UNKNOWN})


def test_the_plan_says_in_order_what_is_done_and_how_it_goes_back() -> None:
    found = wanted(PARTIES, PREFIX, Compactor.ETCD)
    lines = plan_lines(situation(), found)
    on = lines.index("turn users and roles on")
    assert lines.index("add the role kube-apiserver") < lines.index("read everything back") < on
    assert "turn users and roles off again" in lines[-2]
    report = plan_report(situation(), found, Compactor.ETCD)
    assert any("--auto-compaction-retention" in note for note in report.notes)
    assert any("snapshots to the role root only" in note for note in report.notes)
    done = plan_report(situation(as_wanted(found)), found, Compactor.ETCD)
    assert (done.verdict, done.next_steps) == ("everything is as wanted; nothing was changed", ())


def test_who_gets_at_secrets_by_way_of_the_api_is_for_a_human_to_judge() -> None:
    own = Grant(Power.SECRETS, "Group system:masters", "ClusterRoleBinding cluster-admin", default=True)
    ci = Grant(Power.SECRETS, "ServiceAccount ci/deploy\x1b", "ClusterRoleBinding ci", default=False)
    also = replace(ci, power=Power.EXEC)
    assert [one.status for one in judge_readers((own,))] == [Status.PASS]
    (one,) = judge_readers((own, ci, also))
    assert one.status is Status.MANUAL
    assert (r"ci/deploy\x1b" in one.message, str(Power.EXEC) in one.message) == (True, True)
    assert unread_readers("403").status is Status.UNKNOWN


def test_what_a_human_has_to_judge_makes_no_exit_code_and_what_was_not_seen_does() -> None:
    found = wanted(PARTIES, PREFIX, Compactor.ETCD)
    seen = situation(as_wanted(found))
    (manual,) = judge_readers((Grant(Power.SECRETS, "User x", "ClusterRoleBinding b", default=False),))
    assert check_report(seen, found, (manual,)).exit_code == ExitCode.OK
    assert check_report(seen, found, (unread_readers("403"),)).exit_code == ExitCode.UNEVALUATED


def test_a_certificate_that_could_not_be_tried_is_no_pass() -> None:
    seen = situation(as_wanted(wanted(PARTIES, PREFIX, Compactor.ETCD)))
    code, found = judged(seen, untried=(SERVER,))
    assert (code, found["KC-ACC-006"]) == (ExitCode.UNEVALUATED, {Status.UNKNOWN})
