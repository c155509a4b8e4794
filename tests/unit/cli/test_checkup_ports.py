"""What doctor makes of the answers of etcd's ports to those whom they must refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keyctl.audit.live.probes import PortAnswers, Role
from keyctl.cli.checkup.item import exit_code_of
from keyctl.cli.checkup.ports import judged
from keyctl.errors import ExitCode
from keyctl.pki.survey import Outcome, nothing_tried
from keyctl.reports.checklist import Mark
from tests.unit.audit.running_etcd import port


def told(*ports: PortAnswers) -> tuple[list[tuple[Mark, str]], ExitCode]:
    items = tuple(judged(ports))
    return [(item.mark, item.finding.id) for item in items], exit_code_of(items)


def test_ports_that_refuse_everybody_but_us_are_one_line_for_each_question() -> None:
    items = tuple(judged((port(), port(Role.PEERS))))
    assert [(item.mark, item.label) for item in items] == [(Mark.OK, "ports")] * 2
    assert items[0].finding.message.startswith("2 ports of etcd refuse who comes without TLS")
    assert exit_code_of(items) == ExitCode.OK


@pytest.mark.parametrize("attempt", ["PLAIN", "NO_CERTIFICATE", "FOREIGN", "EXPIRED"])
@pytest.mark.parametrize("role", list(Role))
def test_a_port_that_lets_a_stranger_in_is_wrong(role: Role, attempt: str) -> None:
    open_to: dict[str, Any] = {attempt: Outcome.ACCEPTED}
    marks, code = told(port(), port(role, **open_to))
    assert (Mark.FAILED, "KC-TLS-009") in marks
    assert (Mark.OK, "KC-TLS-009") in marks
    assert code == ExitCode.FINDINGS


def test_whom_else_an_open_port_lets_in_is_not_asked_and_each_port_has_its_own_mend() -> None:
    items = tuple(
        judged((port(Role.PEERS, PLAIN=Outcome.ACCEPTED, FOREIGN=Outcome.UNKNOWN), port(FOREIGN=Outcome.ACCEPTED)))
    )
    wrong = [item for item in items if item.mark is not Mark.OK]
    assert [item.mark for item in wrong] == [Mark.FAILED] * 2
    assert "--listen-peer-urls" in (wrong[0].finding.fix or "")
    assert "--client-cert-auth=true and --trusted-ca-file" in (wrong[1].finding.fix or "")


@pytest.mark.parametrize("attempt", ["OLD_PROTOCOL", "WEAK_SUITE"])
def test_a_port_that_agrees_to_what_is_weak_is_a_warning(attempt: str) -> None:
    weak: dict[str, Any] = {attempt: Outcome.ACCEPTED}
    marks, code = told(port(**weak))
    assert (marks, code) == ([(Mark.OK, "KC-TLS-009"), (Mark.WARNING, "KC-TLS-010")], ExitCode.OK)


def test_what_is_not_known_is_said_and_decides_nothing() -> None:
    marks, code = told(port(Role.PEERS, PLAIN=Outcome.UNKNOWN))
    assert ((Mark.NOT_CHECKED, "KC-TLS-009") in marks, (Mark.OK, "KC-TLS-009") in marks) == (True, False)
    assert code == ExitCode.OK


def test_a_port_that_refuses_us_too_proves_nothing() -> None:
    marks, _ = told(port(OWN=Outcome.REFUSED))
    assert marks[0] == (Mark.NOT_CHECKED, "KC-TLS-009")


def test_a_port_that_cannot_be_tried_is_one_line() -> None:
    silent = replace(port(Role.PEERS), survey=nothing_tried(Outcome.UNKNOWN, "no answer in time"))
    assert told(silent)[0] == [(Mark.NOT_CHECKED, "KC-TLS-009")]
