"""--report FORMAT=PATH: what is refused before any work, how a file is replaced, and that no result is ever lost."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.cli import main, report_files, wiring
from keyctl.cli.catalogue import CATALOGUE
from keyctl.cli.options import Connection
from keyctl.errors import ExitCode, UnusableInputError, WrongUsageError
from keyctl.findings import Finding, Location, Report, Severity, Status
from keyctl.reports.formats import FORMATS
from tests.unit.cli.test_snapshot import Scene, save, scene
from tests.unit.cli.test_wiring import NOTHING

__all__ = ["scene"]

REPORT = Report(kind="VerifyReport", exit_code=ExitCode.OK, verdict="all is well")
WORSE = Report(
    kind="VerifyReport",
    exit_code=ExitCode.PLAINTEXT,
    verdict="one value in plaintext",
    findings=(Finding("KC-DAT-001", Severity.HIGH, Status.FAIL, "in plaintext", Location(etcd_key="/registry/x")),),
)


def test_report_targets_are_format_and_path() -> None:
    assert report_files.parse(("json=a=b.json", "junit=c.xml")) == (
        ("json", Path("a=b.json")),
        ("junit", Path("c.xml")),
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [("report.json", "FORMAT=PATH"), ("json=", "FORMAT=PATH"), ("pdf=a", "'pdf'"), ("json=-", "not stdout")],
)
def test_another_target_is_wrong_usage(value: str, says: str) -> None:
    with pytest.raises(WrongUsageError, match=says) as caught:
        report_files.parse((value,))
    assert caught.value.hints


def deliver(path: Path, report: Report = REPORT, *, quiet: bool = False) -> tuple[ExitCode, int]:
    """The exit code, and how often the result was shown."""
    shown: list[None] = []
    return report_files.deliver(report, (("json", path),), lambda: shown.append(None), quiet=quiet), len(shown)


def test_reports_are_written_whole_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    report_files.deliver(REPORT, (("json", tmp_path / "a.json"), ("junit", tmp_path / "a.xml")), lambda: None)
    assert json.loads((tmp_path / "a.json").read_text())["kind"] == "VerifyReport"
    assert (tmp_path / "a.xml").read_text().startswith("<?xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.xml"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_earlier_report_is_replaced_with_its_mode_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / "report"
    target = ((name, path),)
    report_files.deliver(WORSE, target, lambda: None)
    path.chmod(0o640)
    before = path.stat().st_ino
    assert report_files.checked([f"{name}={path}"], ()) == target
    assert report_files.deliver(REPORT, target, lambda: None) is ExitCode.OK
    assert "in plaintext" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_ino != before, "no reader finds half of it"


@pytest.mark.parametrize(
    "text",
    [
        '{"$schema": "https://docs.oasis-open.org/sarif", "name": "keyctl"}',
        '{\n "kind": "Deployment", "metadata": {"name": "keyctl"}}',
        '[\n {\n  "engine_name": "other"',
        '[{"check_name": "KC-ENC-001"}]',
        '{\n "assessment-results": {"metadata": {"title": "of somebody else"}}}',
        "# TYPE node_cpu_seconds counter\n",
        "# keyctl\n",
        "[1]\n",
    ],
)
def test_what_only_looks_like_a_report_is_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report"
    path.write_text(text)
    with pytest.raises(WrongUsageError, match="no report can go to"):
        report_files.checked([f"json={path}"], ())


def test_a_report_in_a_file_says_when_it_was_made_and_what_its_ids_mean(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    report_files.deliver(WORSE, (("sarif", tmp_path / "a.sarif"),), lambda: None)
    (run,) = json.loads((tmp_path / "a.sarif").read_text())["runs"]
    assert before <= datetime.fromisoformat(run["invocations"][0]["endTimeUtc"]) <= datetime.now(UTC)
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["shortDescription"]["text"] == next(one.title for one in CATALOGUE if one.id == "KC-DAT-001")


def test_a_new_report_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        deliver(tmp_path / "a.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_an_empty_file_that_was_made_for_the_report_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    assert report_files.checked([f"json={tmp_path / 'a.json'}"], ())


def make(path: Path, kind: str) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        (path.parent / "elsewhere").touch()
        path.symlink_to("elsewhere")
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "special file":
        os.mkfifo(path)
    else:
        path.write_bytes({"snapshot": b"\0" * 64, "yaml": b"kind: X\n", "json": b'{"kind": "SnapshotManifest"}'}[kind])


@pytest.mark.parametrize("kind", ["directory", "link", "dangling link", "special file", "snapshot", "yaml", "json"])
def test_what_is_there_and_no_report_is_refused_first_and_kept_when_it_comes_later(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.json"
    make(path, kind)
    before = path.lstat()
    with pytest.raises(WrongUsageError, match="no report can go to"):
        report_files.checked([f"json={path}"], ())
    assert deliver(path) == (ExitCode.UNUSABLE, 1)
    assert (path.lstat().st_ino, path.lstat().st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize("spelling", ["s.db", "./s.db", "sub/../s.db", "linked/s.db", "d/new.json", "link.db"])
def test_what_the_command_itself_works_on_is_refused_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sub", "d"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked").symlink_to(tmp_path)
    own = (Path("s.db"), tmp_path / "d", None, tmp_path / "link.db")
    with pytest.raises(WrongUsageError, match="works on it itself"):
        report_files.checked([f"json={spelling}"], own)
    assert report_files.checked(["json=other.json"], own)


def test_two_reports_to_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match="two reports"):
        report_files.checked([f"json={tmp_path / 'a'}", f"junit={tmp_path / '.' / 'a'}"], ())


def test_the_files_of_the_cluster_and_the_key_store_are_refused(scene: Scene) -> None:
    for path in ("keyctl.yaml", "keys/new.json", "home/keyctl/trial/journal.json"):
        (scene.folder / path).parent.mkdir(parents=True, exist_ok=True)
        with pytest.raises(WrongUsageError, match="works on it itself"):
            report_files.checked([f"json={path}"], (), NOTHING)
    given = Connection(None, None, Path("ca.crt"), None, None, None)
    with pytest.raises(WrongUsageError, match="works on it itself"):
        report_files.checked(["json=ca.crt"], (), given)


def test_a_directory_that_is_missing_or_closed_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableInputError, match="cannot write the json report") as caught:
        report_files.checked([f"json={tmp_path / 'missing' / 'a.json'}"], ())
    assert "there is no directory" in str(caught.value.cause)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UnusableInputError) as caught:
        report_files.checked([f"json={tmp_path / 'a.json'}"], ())
    assert "cannot write in" in str(caught.value.cause)


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(("report", "code"), [(REPORT, ExitCode.UNUSABLE), (WORSE, ExitCode.PLAINTEXT)])
def test_a_report_that_cannot_be_written_costs_no_result_and_the_worse_code_is_the_exit_code(
    tmp_path: Path, report: Report, code: ExitCode, quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(tmp_path / "missing" / "a.json", report, quiet=quiet) == (code, 1)
    told = capsys.readouterr().err
    assert "error: cannot write the json report" in told
    assert "the result itself is on stdout" in told


def test_a_disk_that_is_full_leaves_the_earlier_report_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(tmp_path / "a.json", WORSE)
    before = (tmp_path / "a.json").read_text()

    def fail(descriptor: int, content: bytes) -> None:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_files, "write_and_close", fail)
    assert deliver(tmp_path / "a.json") == (ExitCode.UNUSABLE, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == before


def test_quiet_shows_nothing_of_what_is_right(tmp_path: Path) -> None:
    assert deliver(tmp_path / "a.json", quiet=True) == (ExitCode.OK, 0)
    assert deliver(tmp_path / "a.json", WORSE, quiet=True) == (ExitCode.PLAINTEXT, 1)


@pytest.mark.parametrize("target", ["s.db", "s.db.keyctl.json", "enc.yaml"])
def test_a_report_in_the_place_of_the_snapshot_is_refused_before_anything_is_connected(
    scene: Scene, target: str
) -> None:
    assert save("s.db", "--encryption-config", "enc.yaml", "--report", f"json={target}") == ExitCode.USAGE
    assert scene.connected == []
    assert not (scene.folder / "s.db").exists()


def test_a_report_in_the_place_of_the_snapshot_of_another_etcd_is_refused_before_any_is_saved(scene: Scene) -> None:
    path = scene.folder / "keyctl.yaml"
    override = "  overrides:\n  - {resources: [events], endpoints: ['https://10.0.0.9:2379']}\n"
    path.write_text(path.read_text().replace("etcd:\n", f"etcd:\n{override}"))
    assert save("s.db", "--report", "json=s.events.db") == ExitCode.USAGE
    assert (list(scene.folder.glob("*.db")), scene.cluster.done) == ([], [])


COMMANDS = (
    ("verify-secrets",),
    ("sanitize", "--yes"),
    ("snapshot", "save", "s.db"),
    ("snapshot", "verify", "x.db"),
    ("snapshot", "inspect", "x.db"),
    ("config", "validate", "enc.yaml"),
    ("status",),
    ("doctor",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_looks_at_the_report_before_it_does_anything(
    scene: Scene, command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    for place in (
        "keyctl.cli.verification.target",
        "keyctl.cli.checkup.subject.find",
        "keyctl.backup.check.check_snapshot",
        "keyctl.backup.inspect.inspect",
        "keyctl.cli.files.read_file",
    ):
        monkeypatch.setattr(place, work)
    assert main.run([*command, "--report", "json=nowhere/r.json"]) == ExitCode.UNUSABLE
    told = capsys.readouterr()
    assert (told.out, "cannot write the json report" in told.err) == ("", True)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one[-1].endswith((".db", ".yaml"))], ids=" ".join)
def test_each_command_refuses_the_file_that_it_was_given_for_its_report(
    scene: Scene, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path = scene.folder / command[-1]
    # NOTE: as a report looks, so that nothing but its place speaks against it.
    path.write_text('{"exitCode": 0}') if command[-1] != "s.db" else None
    assert main.run([*command, "--report", f"json={command[-1]}"]) == ExitCode.USAGE
    assert "works on it itself" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--bundle", "--union-config"])
def test_doctor_keeps_its_other_files_and_its_report_apart(
    scene: Scene, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["doctor", option, "out", "--report", "json=out"]) == ExitCode.USAGE
    assert "works on it itself" in capsys.readouterr().err


def test_the_judged_files_of_verify_secrets_are_kept(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    (scene.folder / "d").mkdir()
    for words in (("--snapshot", "x.db", "json=x.db"), ("--data-dir", "d", "json=d/r.json")):
        assert main.run(["verify-secrets", *words[:2], "--report", words[2]]) == ExitCode.USAGE
        assert "works on it itself" in capsys.readouterr().err


def test_without_a_report_no_cluster_file_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_: Path | None) -> None:
        raise AssertionError

    monkeypatch.setattr(wiring, "find_cluster_file", look)
    assert report_files.checked((), (), NOTHING) == ()
