"""A waiver and a baseline hold wherever keyctl is called from, and excuse no file of another tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyctl.audit.baseline import Known, read
from keyctl.audit.collect import collect
from keyctl.audit.engine import Audit, audit
from keyctl.audit.profiles.profile import Profile
from keyctl.audit.report import exit_code, report
from keyctl.audit.waivers import Waiver
from keyctl.errors import ExitCode
from keyctl.findings import Location, Severity
from keyctl.reports.json import render
from tests.unit.audit.given import GOOD_CONFIG, TODAY

ONE = Profile("one", "one check", "a test", {"KC-ENC-007": ()})
PLAIN = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")
OF_THE_REPOSITORY = Waiver("KC-ENC-007", "ann", "a lab", TODAY, ("prod/enc.yaml",), Location("waivers.yaml", 2))
FROM = [(".", "."), (".", "prod"), ("prod", "."), ("prod", ".."), ("..", "repo"), ("/", "{root}"), ("/", "{root}/prod")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "prod").mkdir(parents=True)
    (root / "prod" / "enc.yaml").write_text(PLAIN)
    return root


def judged(*paths: str, waivers: tuple[Waiver, ...] = (), baseline: Known | None = None) -> tuple[Audit, str]:
    """The audit of `paths`, and its report as JSON."""
    found = collect([Path(one) for one in paths], today=TODAY)
    done = audit(found, ONE, waivers, bar=Severity.LOW, baseline=baseline or {})
    return done, render(report(done, found))


@pytest.mark.parametrize(("directory", "path"), FROM)
def test_in_a_work_tree_names_are_told_from_its_top(
    directory: str, path: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".git").mkdir()
    monkeypatch.chdir(repository)
    done, text = judged(".")
    assert exit_code(done) is ExitCode.FINDINGS
    baseline = read(text.encode(), name="audit.json")
    monkeypatch.chdir(repository / directory)
    given = path.format(root=repository)
    assert exit_code(judged(given)[0]) is ExitCode.FINDINGS
    assert exit_code(judged(given, waivers=(OF_THE_REPOSITORY,))[0]) is ExitCode.OK
    assert exit_code(judged(given, baseline=baseline)[0]) is ExitCode.OK


@pytest.mark.parametrize(("directory", "path"), [one for one in FROM if "prod" not in "".join(one)])
def test_without_git_names_are_told_from_the_one_directory_that_is_given(
    directory: str, path: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    baseline = read(judged(".")[1].encode(), name="audit.json")
    monkeypatch.chdir(repository / directory)
    given = path.format(root=repository)
    assert exit_code(judged(given, waivers=(OF_THE_REPOSITORY,))[0]) is ExitCode.OK
    assert exit_code(judged(given, baseline=baseline)[0]) is ExitCode.OK


def test_of_several_trees_no_name_stands_for_a_file_of_another(repository: Path) -> None:
    other = repository.parent / "other"
    (other / "prod").mkdir(parents=True)
    (other / "prod" / "enc.yaml").write_text(PLAIN)
    assert exit_code(judged(str(repository), str(other), waivers=(OF_THE_REPOSITORY,))[0]) is ExitCode.FINDINGS
    (repository / ".git").mkdir()
    (other / ".git").mkdir()
    assert exit_code(judged(str(repository), str(other), waivers=(OF_THE_REPOSITORY,))[0]) is ExitCode.FINDINGS


def test_a_name_that_is_told_from_elsewhere_is_that_of_another_file(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".git").mkdir()
    monkeypatch.chdir(repository / "prod")
    of_the_top = Waiver("KC-ENC-007", "ann", "a lab", TODAY, ("enc.yaml",), Location("waivers.yaml", 2))
    assert exit_code(judged(".", waivers=(of_the_top,))[0]) is ExitCode.FINDINGS


def test_what_is_printed_stays_as_it_was_given(repository: Path) -> None:
    name = f"{repository}{os.sep}prod/enc.yaml"
    done, text = judged(str(repository))
    assert done.checks[0].results[0].verdict.location.file == name
    assert f'"{name}": "prod/enc.yaml"' in text
    spelled = Waiver("KC-ENC-007", "ann", "a lab", TODAY, (name,), Location("waivers.yaml", 2))
    assert exit_code(judged(str(repository), waivers=(spelled,))[0]) is ExitCode.OK


def test_a_failure_of_another_file_is_new(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    baseline = read(judged(".")[1].encode(), name="audit.json")
    (repository / "prod" / "enc.yaml").rename(repository / "prod" / "other.yaml")
    assert exit_code(judged(".", baseline=baseline)[0]) is ExitCode.FINDINGS
