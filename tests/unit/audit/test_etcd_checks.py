"""What the checks about running members say beside a status: how bad it is, and what of several things they name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyctl.audit.live.probes import Role
from keyctl.etcd.interface import Alarm
from keyctl.findings import Evidence, Severity, Status
from keyctl.pki.survey import Outcome
from tests.unit.audit.given import etcd, verdicts
from tests.unit.audit.running_etcd import etcd_state, member, port, running_server

P, F, U = Status.PASS, Status.FAIL, Status.UNKNOWN
WATCHED = "--feature-gates=InitialCorruptCheck=true"


def test_flaws_of_users_and_roles_are_bad_where_users_and_roles_are_on() -> None:
    def severities(auth: bool | None) -> set[tuple[Severity | None, bool]]:
        found = verdicts("KC-VER-001", member("3.7.0"), etcd_state(auth=auth))
        return {(one.severity, "permissions" in one.message) for one in found}

    assert (Severity.HIGH, True) in severities(True)
    for off in (False, None):
        assert (Severity.LOW, True) in severities(off)
        assert (Severity.HIGH, True) not in severities(off)


def test_a_version_that_is_running_is_evidence_of_a_process_and_names_its_member() -> None:
    (found,) = verdicts("KC-VER-002", member("3.7.3", "m2"), etcd(version=""))
    assert (found.status, found.evidence, found.message) == (P, Evidence.E2, "etcd 3.7.3 of m2 is supported")


@pytest.mark.parametrize(
    ("kind", "severity"), [("NOSPACE", Severity.MEDIUM), ("CORRUPT", Severity.HIGH), ("7", Severity.HIGH)]
)
def test_an_alarm_is_worse_than_not_to_look_for_corruption(kind: str, severity: Severity) -> None:
    alarm, blind = verdicts("KC-LOG-005", etcd_state(alarms=(Alarm("1f", kind),)), etcd())
    assert (alarm.severity, blind.severity) == (severity, None)
    assert kind in alarm.message


def test_alarms_that_were_not_told_hide_no_etcd_that_does_not_look() -> None:
    assert [one.status for one in verdicts("KC-LOG-005", etcd_state(alarms=None), etcd())] == [U, F]
    assert [one.status for one in verdicts("KC-LOG-005", etcd_state(alarms=None), etcd(WATCHED))] == [U]


def test_members_of_one_name_hide_no_version_of_another() -> None:
    one, other = member("3.6.13", "default"), replace(member("3.7.3", "default"), id="2")
    found = verdicts("KC-VER-003", one, other, running_server())
    assert [(each.status, each.message) for each in found if "members" in each.message] == [
        (F, "members of etcd of several minor versions: default 3.6.13, default 3.7.3")
    ]


def test_who_is_let_in_is_told_one_by_one_and_what_is_not_known_beside_it() -> None:
    wrong = port(Role.PEERS, PLAIN=Outcome.ACCEPTED, NO_CERTIFICATE=Outcome.UNKNOWN, FOREIGN=Outcome.ACCEPTED)
    found = verdicts("KC-TLS-009", wrong)
    assert [(one.status, one.evidence) for one in found] == [(F, Evidence.E3), (F, Evidence.E3), (U, Evidence.E3)]
    assert [one.message for one in found] == [
        "the peer port of m1 lets in who comes without TLS: so it said: PLAIN",
        "the peer port of m1 lets in who comes with a certificate of another CA: so it said: FOREIGN",
        "whether the peer port of m1 refuses who comes without a certificate is not known: so it said: NO_CERTIFICATE",
    ]


def test_an_expired_certificate_that_was_tried_and_refused_is_named() -> None:
    (tried,) = verdicts("KC-TLS-009", port(EXPIRED=Outcome.REFUSED))
    (untried,) = verdicts("KC-TLS-009", port())
    assert "with an expired certificate" in tried.message
    assert "expired" not in untried.message
