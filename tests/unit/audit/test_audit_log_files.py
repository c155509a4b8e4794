"""The files of audit logs are known by what stands in them, and are not taken for anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.audit.checks.files import AUDIT_LOG
from keyctl.audit.collect import collect
from keyctl.audit.facts import Unread
from tests.unit.audit.given import TODAY

EVENT = '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","verb":"get"}\n'


@pytest.mark.parametrize(
    "name", ["audit.log", "kube-apiserver-audit.log", "audit-2026-09-30T10-00-00.000.log", "Audit.log.1"]
)
@pytest.mark.parametrize("lines", [1, 20_000], ids=["short", "longer than what is read"])
def test_an_audit_log_is_found_with_its_mode(name: str, lines: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(EVENT * lines)
    path.chmod(0o640)
    found = collect([tmp_path], today=TODAY)
    assert [(one.role, one.mode, one.path) for one in found.files] == [(AUDIT_LOG, 0o640, str(path))]
    assert found.of(Unread) == ()


@pytest.mark.parametrize("text", ["", "hello\n", '{"kind":"Event","apiVersion":"v1"}\n'])
def test_what_is_called_so_and_is_no_audit_log_is_passed_by(text: str, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text(text)
    found = collect([tmp_path], today=TODAY)
    assert (found.files, found.looked) == ((), 1)
