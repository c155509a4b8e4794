from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.cli.catalogue import CATALOGUE
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Severity, Status, Table
from keyctl.reports.formats import FORMATS
from keyctl.reports.redaction import SHORTEST_SALT, redact
from tests.unit.reports import told

SALT = b"0123456789abcdef"
PSEUDONYM = re.compile(r"name-[0-9a-f]{12}")
RULE = next(rule for rule in CATALOGUE if rule.id == "KC-TLS-007")
NAMES = (
    "clusters/goldmine/kube-apiserver.yaml",
    "/srv/blue mountain/enc.yaml",
    "/registry/secrets/payroll/db-password",
    "https://10.20.30.40:2379",
    "db7.corp.example",
    "fd00::7",
    "ann@corp.example",
    "CN=goldmine-admin,O=acme",
    "wolfgang",
)


def redacted(report: Report, salt: bytes = SALT) -> Report:
    return redact(report, salt, CATALOGUE)


def scene(status: Status = Status.FAIL) -> Report:
    """Every name in every place that a report has for words."""
    places = (Location(NAMES[0], 3), Location(NAMES[1], 9, 2), Location(etcd_key=NAMES[2]), Location(endpoint=NAMES[3]))
    findings = tuple(
        Finding(
            "KC-TLS-007",
            Severity.CRITICAL,
            status,
            f"--etcd-servers has {name}: no TLS ({name}), key {name!r}; --data-dir={name} and {name}:17",
            place,
            fix=f"write https for {name}",
            excuse=f"waived until 2027-01-01 by {name}: {name}",
        )
        for name in NAMES
        for place in places
    )
    data: dict[str, object] = {
        "profile": "ci-static",
        "coverage": {"applicable": 5, "evaluated": 4},
        "knownAs": {NAMES[0]: f"../{NAMES[0]}"},
        "checks": [{"id": "KC-TLS-007", "title": RULE.title, "status": "fail", "results": [{"location": NAMES[0]}]}],
        "other": list(NAMES),
        "sizes": dict.fromkeys(NAMES, 1),
    }
    table = Table(("HOST",), tuple((name,) for name in NAMES))
    return Report(
        "AuditReport",
        ExitCode.FINDINGS,
        f"ci-static: 3 failed; {' '.join(NAMES)}",
        findings,
        data,
        (table,),
        NAMES,
        NAMES,
        told.MADE,
        (RULE,),
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("status", Status)
def test_no_name_is_left_in_any_format(name: str, status: Status) -> None:
    text = FORMATS[name](redacted(scene(status)))
    for word in (
        "goldmine",
        "mountain",
        "payroll",
        "password",
        "10.20.30.40",
        "corp",
        "fd00",
        "ann@",
        "acme",
        "wolfgang",
    ):
        assert word not in text, word


@pytest.mark.parametrize("name", FORMATS)
def test_statuses_ids_places_and_counts_stay(name: str) -> None:
    before, after = scene(), redacted(scene())
    assert [(one.id, one.status, one.severity, one.evidence, one.counts, one.mappings) for one in after.findings] == [
        (one.id, one.status, one.severity, one.evidence, one.counts, one.mappings) for one in before.findings
    ]
    assert [(one.location.line, one.location.column) for one in after.findings] == [
        (one.location.line, one.location.column) for one in before.findings
    ]
    assert (after.kind, after.exit_code, after.made, after.rules) == (
        before.kind,
        before.exit_code,
        before.made,
        (RULE,),
    )
    assert after.data["coverage"] == before.data["coverage"]
    assert after.verdict.startswith("ci-static: 3 failed; ")
    assert FORMATS[name](after)


def test_keyctls_own_words_stay() -> None:
    own = (
        "--etcd-servers has https: no TLS and no authentication there",
        "not read: --encryption-provider-config names a file that was not given",
        "etcd 3.5.1-0: CVE-2026-44283, permissions are passed over",
        RULE.title,
        RULE.fix,
    )
    findings = tuple(told.one(Status.FAIL, message=text, location=Location()) for text in own)
    assert [one.message for one in redacted(told.report(*findings)).findings] == list(own)


def test_a_name_has_one_pseudonym_in_the_whole_report_and_another_under_another_salt() -> None:
    findings = (
        told.one(Status.FAIL, message="listens on db7.corp.example", location=Location("db7.corp.example")),
        told.one(
            Status.PASS, message="(db7.corp.example), 'db7.corp.example'; --name=db7.corp.example", location=Location()
        ),
    )
    report = told.report(*findings)
    text = FORMATS["json"](redacted(report))
    assert len(set(PSEUDONYM.findall(text))) == 1
    assert redacted(report) == redacted(report)
    assert not set(PSEUDONYM.findall(text)) & set(PSEUDONYM.findall(FORMATS["json"](redacted(report, SALT[::-1]))))


def test_a_file_whose_name_is_a_word_of_keyctls_is_still_a_name() -> None:
    finding = told.one(Status.FAIL, message="etcd is in etcd and in 'etcd' and 'the etcd'", location=Location("etcd"))
    (shown,) = redacted(told.report(finding)).findings
    assert PSEUDONYM.fullmatch(shown.location.file or "")
    assert "etcd" not in shown.message


def test_fields_with_nothing_but_names_keep_none_whatever_they_are_called() -> None:
    data: dict[str, object] = {
        "knownAs": {"status": "etcd"},
        "observed": ["etcd", "line"],
        "inputs": [{"file": "etcd", "bytes": 7}],
        "checks": [{"location": "secrets"}],
    }
    report = redacted(Report("AuditReport", ExitCode.OK, "v", data=data))
    assert not re.search("status|etcd|line|secrets", json.dumps(report.data))
    assert PSEUDONYM.sub("", json.dumps(report.data["inputs"])) == '[{"file": "", "bytes": 7}]'


def test_an_endpoint_in_a_text_and_in_a_place_has_one_pseudonym() -> None:
    finding = told.one(Status.FAIL, message=f"{NAMES[3]} is open", location=Location(endpoint=NAMES[3]))
    (shown,) = redacted(told.report(finding)).findings
    assert shown.location.endpoint
    assert shown.message.startswith(shown.location.endpoint + " ")


def test_a_salt_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        redacted(scene(), b"x" * (SHORTEST_SALT - 1))


@given(st.text(min_size=1), st.sampled_from(tuple(Status)))
def test_any_text_can_be_redacted_and_no_status_changes(text: str, status: Status) -> None:
    finding = replace(told.one(status), message=text, location=Location(text, 1, 1, text, text), fix=text, excuse=text)
    report = Report(text, ExitCode.FINDINGS, text, (finding,), {text: {text: [text]}}, made=told.MADE)
    after = redacted(report)
    assert [one.status for one in after.findings] == [status]
    assert PSEUDONYM.fullmatch(after.findings[0].location.file or "")
    json.loads(FORMATS["json"](after))
