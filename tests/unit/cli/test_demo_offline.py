"""`keyctl demo --offline`: what it says is true of the files that it makes, and nothing of the user's is used."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keyctl.cli import main
from keyctl.cli.offline_story import CONFIGURATION, FOUND, ROTATED, ROTATED_CONFIGURATION, SANITIZED
from keyctl.errors import ExitCode
from keyctl.lab.staged.scene import Planted, Scene
from tests.support.hints import wrong_hints

_PASSWORD = re.compile(rb"pw-[0-9a-f]{20}")
_HOSTILE = {"KEYCTL_CLUSTER": "/nowhere.yaml", "ETCDCTL_ENDPOINTS": "https://127.0.0.1:1", "ETCDCTL_CACERT": "/nowhere"}


def told(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it where a broken cluster file lies, among variables that lead nowhere."""
    (directory / "keyctl.yaml").write_text("this is no cluster file")
    command = [sys.executable, "-m", "keyctl", "demo", "--offline", "--directory", "made"]
    surroundings = os.environ | _HOSTILE | environment
    return subprocess.run(
        command, cwd=directory, env=surroundings, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    directory = tmp_path_factory.mktemp("demo")
    ended = told(directory)
    assert (ended.returncode, ended.stderr) == (ExitCode.OK, "")
    return directory / "made", ended.stdout


def acts() -> tuple[Planted, Planted, Planted]:
    scene = Scene()
    return scene.go_wrong(), scene.be_rotated(), scene.be_sanitized()


def verified(directory: Path, name: str, configuration: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    arguments = ["--snapshot", str(directory / name), "--encryption-config", str(directory / configuration)]
    main.run(["verify-secrets", *arguments, "--cluster", str(directory / "keyctl.yaml"), "--residue", "-o", "json"])
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_the_story_shows_each_verdict_with_its_exit_code_in_order(story: tuple[Path, str]) -> None:
    _, text = story
    codes = [int(code) for code in re.findall(r"^\(exit code (\d+): ", text, re.MULTILINE)]
    assert codes == [ExitCode.PLAINTEXT, ExitCode.RESIDUE, ExitCode.OK]
    verdicts = re.findall(r"^\S+ (fail|ok): (\d+ values of secrets: .*)$", text, re.MULTILINE)
    found, rotated, _ = acts()
    assert verdicts == [
        (
            "fail",
            f"{found.live} values of secrets: {found.plaintext} plaintext, {found.unopened} unreadable, "
            f"{found.old_key} stale",
        ),
        (
            "fail",
            f"{rotated.live} values of secrets: all encrypted, an object came out of each; "
            f"{rotated.plaintext_in_free_pages} plaintext and {rotated.old_keys_in_free_pages} under retired keys "
            "in free pages behind them",
        ),
        ("ok", f"{rotated.live} values of secrets: all encrypted, an object came out of each"),
    ]


def test_what_is_said_to_be_in_the_files_is_what_was_put_in(story: tuple[Path, str]) -> None:
    _, text = story
    found, rotated, sanitized = acts()
    for line in (
        f"  {found.plaintext} plaintext: ",
        f"  {found.old_key} stale: ",
        f"  {found.unopened} unreadable: ",
        f"  {found.right} right: ",
        f": {found.plaintext_in_history} in etcd's history, {found.plaintext_in_free_pages} in freed pages\n",
        f"  {rotated.plaintext_in_free_pages} Secrets are still there in plaintext, ",
        f"  {rotated.old_keys_in_free_pages} more are there under keys that were taken away",
    ):
        assert line in text
    assert min(found.plaintext, found.old_key, found.unopened, found.plaintext_in_history) > 0
    assert (sanitized.plaintext_in_free_pages, sanitized.old_keys_in_free_pages) == (0, 0)


def test_the_passwords_that_lie_in_the_files_are_those_that_are_counted(story: tuple[Path, str]) -> None:
    directory, text = story
    found, rotated, _ = acts()
    counted = {
        FOUND: found.plaintext + found.plaintext_in_history + found.plaintext_in_free_pages,
        ROTATED: rotated.plaintext_in_free_pages,
        SANITIZED: 0,
    }
    assert {name: len(set(_PASSWORD.findall((directory / name).read_bytes()))) for name in counted} == counted
    assert len(_PASSWORD.findall(text.encode())) == 1


def test_the_report_of_the_first_file_counts_what_was_put_in(
    story: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found, _, _ = acts()
    summary = verified(story[0], FOUND, CONFIGURATION, capsys)["summary"]
    assert isinstance(summary, dict)
    shown = {name: summary[name] for name in ("values", "plaintext", "stale", "unreadable")}
    assert shown == {
        "values": found.live,
        "plaintext": found.plaintext,
        "stale": found.old_key,
        "unreadable": found.unopened,
    }


def test_the_files_are_whole_snapshots_and_for_their_owner_alone(
    story: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, _ = story
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    for name in (FOUND, ROTATED, SANITIZED):
        document = verified(directory, name, ROTATED_CONFIGURATION, capsys)
        source = document["source"]
        assert isinstance(source, dict)
        assert source["integrity"] == "sha256-ok"


def test_every_next_step_and_hint_of_the_story_works(story: tuple[Path, str]) -> None:
    _, text = story
    assert re.search(r"^next: keyctl doctor ", text, re.MULTILINE)
    assert wrong_hints([text]) == []


def test_no_key_shows_in_the_story(story: tuple[Path, str]) -> None:
    directory, text = story
    keys = re.findall(r"secret: (\S+)", (directory / CONFIGURATION).read_text())
    assert len(keys) == 2
    assert not [key for key in keys if key in text]


def test_the_story_is_told_in_ascii_where_nothing_else_can_be_shown(tmp_path: Path) -> None:
    ended = told(tmp_path, PYTHONIOENCODING="ascii", NO_COLOR="1", TERM="dumb")
    assert ended.returncode == ExitCode.OK
    assert ended.stdout.isascii()
    assert "XX plaintext" in ended.stdout


def test_a_directory_that_is_there_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["demo", "--offline", "--directory", str(tmp_path)]) == ExitCode.UNUSABLE
    assert "hint: name one that is not there yet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--offline", "--secrets", "5"], ["--directory", "made"]])
def test_options_of_the_other_demo_are_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["demo", *arguments]) == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_story_that_does_not_come_out_as_planted_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What was to be rewritten is not.
    monkeypatch.setattr(Scene, "be_rotated", Scene._planted)
    assert main.run(["demo", "--offline", "--directory", str(tmp_path / "made")]) == ExitCode.STOPPED
    assert "ended with 13, not 14" in capsys.readouterr().err
