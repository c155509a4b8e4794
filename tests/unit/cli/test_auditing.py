"""`keyctl audit` with a cluster or a snapshot: what is asked, and that nothing is asked without being told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyctl.audit.facts import About, Unread
from keyctl.cli import auditing, main, verification
from keyctl.cli.options import Connection
from keyctl.cluster_file.read import load
from keyctl.errors import ExitCode, UnreachableError
from keyctl.findings import Location
from tests.support import seal
from tests.unit.backup.databases import snapshot
from tests.unit.cli.test_verify_files import cluster_file

NEW = seal.key("new")
AT = b"/registry/secrets/default/a"
SEALED = [(AT, seal.seal(NEW, AT, seal.secret("a")), 2)]
PLAIN = [(AT, seal.secret("a"), 2)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Every cluster that would be asked, each of which does not answer."""
    found: list[Connection] = []

    @contextmanager
    def target(given: Connection, *_: object, **__: object) -> Iterator[verification.Target]:
        found.append(given)
        raise UnreachableError("etcd cannot be reached", cause="no route")
        yield

    monkeypatch.setattr(verification, "target", target)
    monkeypatch.setattr(auditing, "_COLLECTORS", auditing._COLLECTORS[:1])
    return found


def audited(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, list[dict[str, object]]]]:
    """The exit code, and the results of each check."""
    code = main.run(["audit", *arguments, "-o", "json"])
    document = json.loads(capsys.readouterr().out)
    return code, {check["id"]: check["results"] for check in document["checks"]}


def statuses(results: list[dict[str, object]]) -> set[object]:
    return {one["status"] for one in results}


def test_without_the_option_no_cluster_is_asked_whatever_lies_around(
    folder: Path, asked: list[Connection], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEYCTL_CLUSTER", str(cluster_file(folder)))
    _, found = audited(capsys, ".", "--profile", "minimal")
    assert asked == []
    assert statuses(found["KC-DAT-101"]) == {"unknown"}


def test_a_cluster_that_cannot_be_reached_is_unknown_and_names_why(
    folder: Path, asked: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    file = cluster_file(folder)
    code = main.run(["audit", "--cluster", str(file), "--profile", "minimal"])
    assert code == ExitCode.UNEVALUATED
    assert "not read: etcd cannot be reached (no route)" in capsys.readouterr().out
    assert asked == [Connection(file, None, None, None, None, None)]


def test_with_a_cluster_and_no_path_this_directory_is_not_looked_at(
    folder: Path, asked: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "enc.yaml").write_text("kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n")
    main.run(["audit", "--cluster", str(cluster_file(folder)), "--profile", "minimal", "-o", "wide"])
    assert "0 files were looked into" in capsys.readouterr().out
    assert len(asked) == 1


def test_a_snapshot_is_judged_and_passes_nothing_but_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot(folder / "s.db", SEALED)
    code, found = audited(capsys, "--snapshot", "s.db", "--profile", "all")
    assert code == ExitCode.UNEVALUATED
    told = [(one["status"], one["location"]) for one in found["KC-DAT-101"]]
    assert ("pass", "s.db") in told
    assert "unknown" in statuses(found["KC-DAT-101"])
    assert statuses(found["KC-DAT-106"]) == {"pass"}
    assert statuses(found["KC-DAT-103"]) == {"unknown"}


def test_plaintext_in_one_of_two_snapshots_is_found_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot(folder / "old.db", PLAIN)
    snapshot(folder / "new.db", SEALED)
    code, found = audited(capsys, "--snapshot", "old.db", "--snapshot", "new.db", "--profile", "minimal")
    assert code == ExitCode.FINDINGS
    told = {(one["status"], one["location"]) for one in found["KC-DAT-101"]}
    assert {("fail", "old.db"), ("pass", "new.db")} <= told


def test_a_snapshot_that_is_damaged_is_unknown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.db").write_bytes(b"no database")
    code, found = audited(capsys, "--snapshot", "s.db", "--profile", "minimal")
    assert code == ExitCode.UNEVALUATED
    assert [(one["status"], one["location"]) for one in found["KC-DAT-101"]] == [("unknown", "s.db")]


@pytest.mark.parametrize("option", ["--cluster", "--snapshot"])
def test_nothing_is_read_that_the_profile_does_not_judge(
    option: str, folder: Path, asked: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["audit", option, str(cluster_file(folder))]) == ExitCode.USAGE
    assert "profile ci-static judges no " in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize("arguments", [("--unreachable", "127.0.0.1:1"), ("--canary", "--cluster", "keyctl.yaml")])
@pytest.mark.parametrize("profile", ["ci-static", "minimal"])
def test_nothing_is_tried_or_written_that_the_profile_does_not_judge(
    arguments: tuple[str, ...], profile: str, folder: Path, asked: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    cluster_file(folder)
    assert main.run(["audit", *arguments, "--profile", profile]) == ExitCode.USAGE
    assert f"profile {profile} " in capsys.readouterr().err
    assert asked == []


def test_a_snapshot_cannot_be_a_report_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot(folder / "s.db", SEALED)
    words = ["audit", "--snapshot", "s.db", "--profile", "minimal", "--report", "json=s.db"]
    assert main.run(words) == ExitCode.USAGE
    assert "no report can go to s.db" in capsys.readouterr().err


def test_a_canary_needs_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", ".", "--canary"]) == ExitCode.USAGE
    assert "--cluster FILE" in capsys.readouterr().err


def test_no_canary_is_written_unless_it_is_asked_for(folder: Path) -> None:
    running = auditing.Running(load(cluster_file(folder)), folder / "keyctl.yaml")
    assert list(auditing._canaries(running)) == []


def test_what_was_seen_before_a_collector_failed_is_kept(folder: Path) -> None:
    seen = Unread("first", frozenset({About.STORED_VALUES}), Location())

    def look() -> Iterator[Unread]:
        yield seen
        raise UnreachableError("then nothing", cause="no route\nmore")

    first, second = auditing._tried(look, frozenset({About.MEMBER}), folder / "keyctl.yaml")
    assert first is seen
    assert isinstance(second, Unread)
    assert (second.reason, second.about) == ("then nothing (no route)", frozenset({About.MEMBER}))
