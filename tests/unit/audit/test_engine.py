"""The engine: nothing unknown becomes right, nothing found is not clean, and each outcome has its code."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from keyctl.audit.baseline import mark_of
from keyctl.audit.checks.catalogue import CHECKS, RULES
from keyctl.audit.engine import Audit, audit, finding
from keyctl.audit.facts import About, Absent, Facts, Unread
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.audit.profiles.profile import Profile
from keyctl.audit.report import exit_code, report
from keyctl.audit.waivers import Waiver
from keyctl.errors import ExitCode
from keyctl.findings import Location, Severity, Status
from tests.unit.audit.given import GOOD_CONFIG, GOOD_POLICY, TODAY, config, etcd, facts, facts_of, server

ONE = Profile("one", "one check", "a test", {"KC-TLS-001": ("2.1",)})
# What files tell of. The rest is told by a running cluster, by backups, or by a person.
OF_FILES = {
    *(About.API_SERVER, About.ETCD, About.PROGRAM, About.CONFIGURATION),
    *(About.AUDIT_POLICY, About.CERTIFICATE, About.FILE, About.ALERT_RULE, About.AUDIT_LOG),
}
WRONG = etcd(without=["cert-file"])
UNKNOWN = etcd(without=["cert-file"], hidden="it is a test")


def run(
    *found: Any, profile: Profile = ONE, waivers: tuple[Waiver, ...] = (), bar: Severity | None = Severity.HIGH
) -> Audit:
    return audit(facts(*found), profile, waivers, bar=bar)


def waiver(id: str = "KC-TLS-001", expires: date = TODAY, files: tuple[str, ...] = ()) -> Waiver:
    return Waiver(id, "ann", "the hosts are replaced in March", expires, files, Location("waivers.yaml", 2))


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [
        pytest.param((etcd(),), Status.PASS, ExitCode.OK, id="right"),
        pytest.param((WRONG,), Status.FAIL, ExitCode.FINDINGS, id="wrong"),
        pytest.param((UNKNOWN,), Status.UNKNOWN, ExitCode.UNEVALUATED, id="not known"),
        pytest.param((), Status.UNKNOWN, ExitCode.UNEVALUATED, id="nothing there"),
        pytest.param((etcd(), WRONG), Status.FAIL, ExitCode.FINDINGS, id="one of two wrong"),
        pytest.param((etcd(), UNKNOWN), Status.UNKNOWN, ExitCode.UNEVALUATED, id="one of two not known"),
        pytest.param((UNKNOWN, WRONG), Status.FAIL, ExitCode.FINDINGS, id="wrong before not known"),
        pytest.param(
            (etcd(), Unread("a template", frozenset({About.ETCD}), Location("x"))),
            Status.UNKNOWN,
            ExitCode.UNEVALUATED,
            id="another one that could not be read",
        ),
        pytest.param(
            (Absent(About.ETCD, "external-etcd", "it is external", Location("x")),),
            Status.NOT_APPLICABLE,
            ExitCode.UNEVALUATED,
            id="nothing that applies is not clean",
        ),
    ],
)
def test_the_status_of_a_check_and_the_code_of_the_run(found: tuple[Any, ...], status: Status, code: ExitCode) -> None:
    done = run(*found)
    assert (done.checks[0].status, exit_code(done)) == (status, code)


def test_a_profile_has_its_own_checks_and_no_others() -> None:
    assert [one.rule.id for one in run(etcd(), server(), config()).checks] == ["KC-TLS-001"]


def test_a_file_about_something_else_that_could_not_be_read_does_not_matter() -> None:
    other = Unread("a template", frozenset({About.CONFIGURATION}), Location("x"))
    assert exit_code(run(etcd(), other)) is ExitCode.OK
    for about in (About.ETCD, About.API_SERVER):
        unread = Unread("a template", frozenset({about}), Location("x"))
        done = run(etcd(), unread, profile=Profile("one", "", "", {"KC-ENC-002": ()}))
        assert done.checks[0].status is Status.UNKNOWN


def test_a_waiver_that_is_used_is_no_judgement_of_the_cluster() -> None:
    profile = Profile("x", "", "", {"KC-TLS-001": (), "KC-META-001": (), "KC-META-002": ()})
    done = run(UNKNOWN, profile=profile, waivers=(waiver(),))
    assert done.checks[-1].status is Status.UNKNOWN
    assert exit_code(done) is ExitCode.UNEVALUATED


def test_what_is_waived_is_named_where_everything_else_was_judged() -> None:
    profile = Profile("x", "", "", {"KC-TLS-001": (), "KC-TLS-002": (), "KC-META-002": ()})
    done = run(WRONG, profile=profile, waivers=(waiver(),))
    assert "but for what is waived: KC-TLS-001" in done.checks[-1].results[0].verdict.message
    assert "waived" not in run(etcd(), profile=profile).checks[-1].results[0].verdict.message


def test_judging_waivers_alone_is_judging_nothing() -> None:
    profile = Profile("x", "", "", {"KC-TLS-001": (), "KC-META-001": ()}, absent_is_fine=True)
    assert exit_code(run(profile=profile, waivers=(waiver(),))) is ExitCode.UNEVALUATED


def test_what_stood_in_the_baseline_does_not_count() -> None:
    known = Counter(mark_of(finding(one, ONE), {}) for one in run(WRONG).checks[0].results)
    done = audit(facts(WRONG), ONE, bar=Severity.HIGH, baseline=known)
    assert (exit_code(done), done.known, done.checks[0].status) == (ExitCode.OK, 1, Status.FAIL)
    assert exit_code(audit(facts(WRONG, WRONG), ONE, bar=Severity.HIGH, baseline=known)) is ExitCode.FINDINGS
    other = etcd(without=["key-file"])
    assert exit_code(audit(facts(other), ONE, bar=Severity.HIGH, baseline=known)) is ExitCode.FINDINGS


def test_the_bar_decides_which_failures_count() -> None:
    low = etcd("--auto-tls")
    profile = Profile("one", "", "", {"KC-TLS-004": ()})
    assert exit_code(run(low, profile=profile)) is ExitCode.OK
    assert exit_code(run(low, profile=profile, bar=Severity.LOW)) is ExitCode.FINDINGS
    assert exit_code(run(WRONG, bar=None)) is ExitCode.OK


def test_what_is_optional_may_stay_unknown() -> None:
    both = {"KC-TLS-001": (), "KC-NET-001": ()}
    given = etcd("--listen-client-urls=https://$(IP):2379")
    assert exit_code(run(given, profile=Profile("two", "", "", both))) is ExitCode.UNEVALUATED
    optional = Profile("two", "", "", both, optional=frozenset({"KC-NET-001"}))
    done = run(given, profile=optional)
    assert exit_code(done) is ExitCode.OK
    assert (done.applicable, done.evaluated) == (2, 1)


def test_what_is_absent_does_not_apply_only_where_the_profile_says_so() -> None:
    both = {"KC-ENC-007": (), "KC-TLS-001": ()}
    assert exit_code(run(config(), profile=Profile("two", "", "", both))) is ExitCode.UNEVALUATED
    fine = Profile("two", "", "", both, absent_is_fine=True)
    done = run(config(), profile=fine)
    assert exit_code(done) is ExitCode.OK
    assert [one.verdict.reason for one in done.checks[1].results] == ["not-given"]
    other = Absent(About.API_SERVER, "managed-control-plane", "it is not ours", Location("x"))
    assert [one.verdict.reason for one in run(config(), other, profile=fine).checks[1].results] == ["not-given"]
    etcds = Absent(About.ETCD, "kine", "no etcd", Location("x"))
    assert [one.verdict.reason for one in run(config(), etcds, profile=fine).checks[1].results] == ["kine"]
    assert exit_code(run(profile=fine)) is ExitCode.UNEVALUATED
    unread = Unread("a template", frozenset({About.ETCD}), Location("x"))
    assert exit_code(run(config(), unread, profile=fine)) is ExitCode.UNEVALUATED


def test_a_waiver_excuses_what_it_is_for_until_it_expires() -> None:
    done = run(WRONG, waivers=(waiver(),))
    (result,) = done.checks[0].results
    assert (result.status, exit_code(done)) == (Status.WAIVED, ExitCode.OK)
    shown = finding(result, ONE)
    assert "waived until 2026-10-01 by ann: the hosts are replaced in March" in shown.message
    assert shown.fix is None
    expired = run(WRONG, waivers=(waiver(expires=TODAY - timedelta(days=1)),))
    assert (expired.checks[0].status, exit_code(expired)) == (Status.FAIL, ExitCode.WAIVER)
    assert exit_code(run(etcd(), waivers=(waiver(expires=TODAY - timedelta(days=1)),))) is ExitCode.WAIVER


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (waiver("KC-TLS-002"), Status.FAIL),
        (waiver(files=("other/*",)), Status.FAIL),
        (waiver(files=("flags.*",)), Status.WAIVED),
    ],
)
def test_a_waiver_excuses_nothing_else(one: Waiver, status: Status) -> None:
    assert run(WRONG, waivers=(one,)).checks[0].status is status


@pytest.mark.parametrize(
    ("waivers", "found", "status", "severity"),
    [
        pytest.param((), WRONG, Status.NOT_APPLICABLE, Severity.MEDIUM, id="none"),
        pytest.param((waiver(),), WRONG, Status.PASS, Severity.MEDIUM, id="used"),
        pytest.param((waiver(),), etcd(), Status.FAIL, Severity.LOW, id="for nothing"),
        pytest.param((waiver(expires=date(2026, 9, 30)),), WRONG, Status.FAIL, Severity.MEDIUM, id="expired"),
    ],
)
def test_waivers_are_judged_themselves(
    waivers: tuple[Waiver, ...], found: Any, status: Status, severity: Severity
) -> None:
    profile = Profile("two", "", "", {"KC-TLS-001": (), "KC-META-001": ()})
    (result,) = run(found, profile=profile, waivers=waivers).checks[-1].results
    assert (result.rule.id, result.status, result.severity) == ("KC-META-001", status, severity)


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        pytest.param((etcd(),), Status.PASS, "everything that is required", id="all"),
        pytest.param((UNKNOWN,), Status.UNKNOWN, "nothing was there to be judged", id="none"),
        pytest.param((etcd(version=""),), Status.UNKNOWN, "not judged in full: KC-VER-001", id="some"),
    ],
)
def test_coverage_is_judged_itself(found: tuple[Any, ...], status: Status, words: str) -> None:
    controls = {"KC-TLS-001": (), "KC-META-002": ()} | ({"KC-VER-001": ()} if "KC-VER" in words else {})
    (result,) = run(*found, profile=Profile("x", "", "", controls)).checks[-1].results
    assert result.status is status
    assert words in result.verdict.message


def test_coverage_counts_neither_itself_nor_the_waivers() -> None:
    controls = {"KC-TLS-001": (), "KC-META-001": (), "KC-META-002": ()}
    for found, evaluated in ((etcd(), 1), (UNKNOWN, 0)):
        done = run(found, profile=Profile("x", "", "", controls), waivers=(waiver("KC-TLS-002"),))
        assert (done.applicable, done.evaluated) == (1, evaluated)


def test_checks_for_a_person_are_manual_and_say_what_to_find_out() -> None:
    done = run(etcd(), server(), config(), profile=PROFILES["all"])
    by_id = {one.rule.id: one for one in done.checks}
    assert by_id.keys() == {rule.id for rule in RULES}
    for_a_person = [one for one in CHECKS if one.asks]
    assert for_a_person
    for check in for_a_person:
        (result,) = by_id[check.rule.id].results
        assert (result.status, result.verdict.message) == (Status.MANUAL, f"find out {check.asks}")
    assert by_id["KC-META-003"].status is Status.UNKNOWN
    assert exit_code(done) is ExitCode.UNEVALUATED


def test_a_right_set_up_of_files_is_right_by_the_profile_for_files() -> None:
    done = run(etcd(), server(), config(), config(GOOD_POLICY, "policy.yaml"), profile=PROFILES["ci-static"])
    assert {one.rule.id for one in done.checks if one.status is Status.FAIL} == set()
    assert exit_code(done) is ExitCode.OK


def test_no_profile_that_wants_proof_is_content_with_files() -> None:
    assert exit_code(run(etcd(), server(), config(), profile=PROFILES["minimal"])) is ExitCode.UNEVALUATED


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda one: one.name)
def test_a_profile_names_checks_that_there_are_and_says_where_it_is_from(profile: Profile) -> None:
    ids = {rule.id for rule in RULES}
    assert profile.controls.keys() <= ids
    assert profile.optional <= profile.controls.keys()
    assert {"KC-META-001", "KC-META-002"} <= profile.controls.keys()
    assert profile.title
    assert profile.source
    assert PROFILES[profile.name] is profile


def test_the_profiles_for_files_have_every_check_that_files_decide() -> None:
    judged = {one.rule.id for one in CHECKS if not one.asks and one.about in OF_FILES}
    modes = {f"KC-FS-00{number}" for number in range(1, 6)}
    backups = {one.rule.id for one in CHECKS if not one.asks and one.about is About.BACKUP}
    meta = {"KC-META-001", "KC-META-002"}
    assert PROFILES["host"].controls.keys() == judged | backups | meta
    assert PROFILES["ci-static"].controls.keys() == judged - modes - {"KC-LOG-003"} | meta


def test_the_report_counts_what_applies_and_what_was_judged() -> None:
    done = run(WRONG, server(), profile=PROFILES["ci-static"])
    shown = report(done, Facts(TODAY, looked=2))
    assert (shown.kind, shown.exit_code) == ("AuditReport", ExitCode.FINDINGS)
    assert shown.data["profile"] == "ci-static"
    assert shown.data["coverage"] == {"applicable": done.applicable, "evaluated": done.evaluated}
    assert 0 < done.evaluated < done.applicable
    ids = {one.id for one in shown.findings}
    assert ids == PROFILES["ci-static"].controls.keys()
    (wrong,) = [one for one in shown.findings if one.id == "KC-TLS-001"]
    assert (wrong.status, wrong.severity) == (Status.FAIL, Severity.CRITICAL)
    assert wrong.fix
    assert "stig/V-242427" in wrong.mappings
    assert f"{done.evaluated} of the {done.applicable} checks" in shown.verdict


def test_a_finding_carries_the_ids_of_the_profile_first() -> None:
    done = run(WRONG)
    assert finding(done.checks[0].results[0], ONE).mappings[0] == "one/2.1"


def test_the_report_tells_wording_from_effect() -> None:
    profile = Profile("one", "", "", {"KC-TLS-002": ()})
    done = run(etcd("--client-cert-auth=false"), profile=profile)
    shown = report(done, Facts(TODAY, looked=1))
    assert "KC-TLS-002: by its wording fail, in effect pass" in shown.notes


def test_keys_never_reach_a_report() -> None:
    twice = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")
    done = run(config(twice), config(GOOD_CONFIG.replace("=", "")), profile=PROFILES["all"])
    assert "3q2+7wSh1" not in repr(report(done, Facts(TODAY, looked=1)))
    assert "3q2+7wSh1" not in repr(done)


@pytest.mark.parametrize("own", [server(), etcd(), config(), Unread("x", frozenset({About.ETCD}), Location("a"))])
def test_a_managed_control_plane_excuses_nothing_of_one_that_somebody_runs_himself(own: Any) -> None:
    text = "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: shop}\n"
    managed = facts_of(("eks.yaml", text))
    alone = {one.rule.id: one.status for one in run(*managed, profile=PROFILES["cis-1.12"]).checks}
    assert alone["KC-ENC-001"] is alone["KC-TLS-001"] is Status.NOT_APPLICABLE
    without = {one.rule.id: one.status for one in run(own, profile=PROFILES["cis-1.12"]).checks}
    beside = {one.rule.id: one.status for one in run(own, *managed, profile=PROFILES["cis-1.12"]).checks}
    assert beside == without
