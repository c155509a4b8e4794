"""--report html=PATH: where it is written, what it replaces, and which commands take it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from keyctl.cli import main, report_files
from keyctl.errors import ExitCode, WrongUsageError
from keyctl.findings import Finding, Report, Severity, Status
from keyctl.rotation.evidence import write
from keyctl.stored import rules
from tests.support.html_tree import read
from tests.unit.rotation.evidence_stories import retired

REPORT = Report("VerifyReport", ExitCode.OK, "all is well")


def deliver(path: Path, report: Report = REPORT, *more: tuple[str, Path]) -> ExitCode:
    return report_files.deliver(report, (("html", path), *more), lambda: None)


def test_an_earlier_page_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    deliver(path, Report("VerifyReport", ExitCode.PLAINTEXT, "plaintext"))
    assert report_files.checked([f"html={path}"], ())
    assert deliver(path) is ExitCode.OK
    assert read(path.read_text()).one("h1").text == "✓ ok: all is well"


@pytest.mark.parametrize("content", ["<!DOCTYPE html>\n<html><head><title>mine</title></head></html>", "<html></html>"])
def test_a_page_of_somebody_else_is_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.html"
    path.write_text(content)
    with pytest.raises(WrongUsageError, match="no report can go to"):
        report_files.checked([f"html={path}"], ())
    assert deliver(path) is ExitCode.UNUSABLE
    assert path.read_text() == content


def test_the_page_has_the_hash_of_the_json_file_of_the_same_run_and_what_its_rules_mean(tmp_path: Path) -> None:
    found = Finding(rules.STALE.id, Severity.HIGH, Status.FAIL, "stale in secrets")
    deliver(
        tmp_path / "r.html", Report("VerifyReport", ExitCode.STALE, "stale", (found,)), ("json", tmp_path / "r.json")
    )
    root = read((tmp_path / "r.html").read_text())
    assert hashlib.sha256((tmp_path / "r.json").read_bytes()).hexdigest() in root.by_id("evidence").text
    assert rules.STALE.title in root.by_id("findings").text
    assert "report made 20" in root.one("header").text


def test_the_evidence_of_a_rotation_becomes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "evidence", retired())
    page = tmp_path / "r.html"
    asked = ["rotate", "--verify-evidence", str(tmp_path / "evidence")]
    assert main.run([*asked, "--report", f"html={page}"]) == ExitCode.OK
    told = capsys.readouterr().out
    assert main.run(asked) == ExitCode.OK
    assert capsys.readouterr().out == told, "the page comes beside what is printed"
    assert len(read(page.read_text()).by_id("timeline").all("circle")) == 8


def test_a_bundle_that_does_not_hold_has_no_page(tmp_path: Path) -> None:
    bundle = write(tmp_path / "evidence", retired()).path
    bundle.write_text(bundle.read_text().replace("aescbc", "aesgcm"))
    asked = ["rotate", "--verify-evidence", str(bundle.parent), "--report", f"html={tmp_path / 'r.html'}"]
    assert main.run(asked) == ExitCode.UNUSABLE
    assert not (tmp_path / "r.html").exists()


def test_no_page_goes_into_the_bundle(tmp_path: Path) -> None:
    write(tmp_path / "evidence", retired())
    asked = ["rotate", "--verify-evidence", str(tmp_path / "evidence"), "--report"]
    assert main.run([*asked, f"html={tmp_path / 'evidence' / 'r.html'}"]) == ExitCode.USAGE


@pytest.mark.parametrize("asked", [(), ("--resume",), ("--abort",), ("--if-due",), ("--dry-run",)])
def test_a_rotation_that_is_made_takes_no_report(
    tmp_path: Path, asked: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["rotate", *asked, "--report", f"html={tmp_path / 'r.html'}"]) == ExitCode.USAGE
    assert "--verify-evidence" in capsys.readouterr().err


def test_the_help_names_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("verify-secrets", "audit", "status", "rotate"):
        assert main.run([command, "--help"]) == ExitCode.OK
        assert "html" in capsys.readouterr().out
