"""What is said of a plugin. Pure: from what was judged to a report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Finding, Location, Report, Severity, Status, Table
from keyctl.kms.checks import Judged, Subject, percentile
from keyctl.kms.interface import Timed
from keyctl.stored.display import display


def to_report(judged: Sequence[Judged], subject: Subject, endpoint: str, next_steps: tuple[str, ...] = ()) -> Report:
    """Everything as a report. Exit code 3 where kube-apiserver cannot work with the plugin, 20 for other findings."""
    failed = [one for one in judged if one.outcome is Status.FAIL]
    unusable = any(one.rule.severity is Severity.CRITICAL for one in failed)
    wrong = any(one.rule.severity is Severity.HIGH for one in failed)
    unclear = any(one.outcome is Status.UNKNOWN for one in judged)
    exit_code = ExitCode.UNUSABLE if unusable else ExitCode.FINDINGS if wrong or unclear else ExitCode.OK
    return Report(
        "KmsReport",
        exit_code,
        _verdict(exit_code, failed),
        tuple(_finding(one, endpoint) for one in judged),
        _data(subject, endpoint, usable=not unusable),
        (_checks(judged), _times(subject)),
        next_steps=next_steps,
    )


def _verdict(exit_code: ExitCode, failed: Sequence[Judged]) -> str:
    if exit_code is ExitCode.UNUSABLE:
        return "NOT USABLE: data would be lost with this plugin, or kube-apiserver does not work with it"
    if exit_code is ExitCode.FINDINGS:
        return "NOT AS IT SHOULD BE: kube-apiserver works with this plugin without a word; see the findings"
    return "USABLE: the plugin keeps the contract of KMS v2" + ("; see the findings" if failed else "")


def _finding(one: Judged, endpoint: str) -> Finding:
    failed = one.outcome is Status.FAIL
    message = f"{one.rule.title}: {one.seen}" if failed else f"{one.label}: {one.seen}"
    finding = one.rule.finding(message, location=Location(endpoint=endpoint), status=one.outcome, evidence=Evidence.E2)
    # What passed needs no mending.
    return finding if failed else replace(finding, fix=None)


def _checks(judged: Sequence[Judged]) -> Table:
    return Table(("STATE", "CHECK", "SEEN"), tuple((str(one.outcome), one.label, one.seen) for one in judged))


def _by_name(subject: Subject) -> dict[str, tuple[list[float], int]]:
    """For each call, the seconds of those that were answered, and how many were not."""
    found: dict[str, tuple[list[float], int]] = {}
    for name, answer in subject.seen.calls():
        times, failed = found.get(name, ([], 0))
        answered = isinstance(answer, Timed)
        found[name] = ([*times, answer.seconds] if answered else times, failed + (not answered))
    return found


def _times(subject: Subject) -> Table:
    rows = []
    for name, (times, failed) in _by_name(subject).items():
        shown = [f"{percentile(times, rank) * 1000:.1f}" if times else "-" for rank in (50, 99, 100)]
        rows.append((name, str(len(times)), str(failed), *shown))
    columns = ("CALL", "ANSWERED", "FAILED", "MEDIAN MS", "P99 MS", "MAX MS")
    return Table(columns, tuple(rows), numeric=frozenset(range(1, 6)))


def _data(subject: Subject, endpoint: str, *, usable: bool) -> dict[str, object]:
    statuses, socket = subject.seen.statuses, subject.socket
    key_id = statuses[-1].key_id if statuses else None
    return {
        "endpoint": endpoint,
        "usable": usable,
        "version": display(statuses[-1].version) if statuses else None,
        "keyId": None if key_id is None else display(key_id),
        # As kube-apiserver's metrics name it.
        "keyIdHash": "sha256:" + hashlib.sha256(key_id.encode()).hexdigest() if key_id else None,
        "timeoutSeconds": subject.timeout,
        "socket": None if socket is None else {"mode": f"{socket.mode:04o}", "uid": socket.uid, "gid": socket.gid},
        "calls": [
            {
                "call": name,
                "answered": len(times),
                "failed": failed,
                "medianSeconds": percentile(times, 50) if times else None,
                "p99Seconds": percentile(times, 99) if times else None,
                "maxSeconds": max(times) if times else None,
            }
            for name, (times, failed) in _by_name(subject).items()
        ],
    }
