"""`keyctl agent`: what it says, how it ends, and what it is asked for wrongly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.cli import main, vault_wiring
from keyctl.cli.commands import agent as command
from keyctl.errors import ExitCode, UnreachableError
from keyctl.keys.distribution import Wanted
from tests.support.hints import wrong_hints
from tests.support.pulled import PLACE, Pulled
from tests.unit.encryption_config.configs import b64
from tests.unit.hosts.test_agent import BOTH, FOREIGN, NEW, OLD, hash_of

SEALED = UnreachableError("the Vault at https://vault:8200 is sealed", hint="unseal it (bao operator unseal)")


class Site:
    """A node whose cluster file names a Vault, which is in memory; in each pause of the agent one of `acts` is done."""

    def __init__(self, folder: Path) -> None:
        self.node = Pulled(folder)
        self.node.place(OLD)
        self.file = folder / "keyctl.yaml"
        self.write("{store: vault}")
        self.acts: list[Callable[[], object]] = []
        self.pauses: list[float] = []

    def write(self, keys: str) -> None:
        server = f"- {{name: cp1, url: 'https://10.0.0.1:6443', encryptionConfig: {self.node.path}}}"
        self.file.write_text(
            f"apiVersion: keyctl/v1\nkind: Cluster\nname: prod\netcd: {{}}\nkeys: {keys}\napiServers:\n{server}\n"
        )

    def run(self, *arguments: str) -> int:
        return main.run(["agent", "--cluster", str(self.file), "--server", "cp1", *arguments])

    def want(self, content: bytes, *, replaces: bytes = OLD) -> None:
        self.node.distribution().want("cp1", Wanted(content.decode(), hash_of(replaces)))

    def pause(self, stop: command._Stop, seconds: float) -> None:
        self.pauses.append(seconds)
        if self.acts:
            self.acts.pop(0)()
        else:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.setattr(vault_wiring, "distribution", lambda settings, cluster, servers: made.node.distribution())
    monkeypatch.setattr(command._Stop, "wait", lambda stop, seconds: made.pause(stop, seconds))
    return made


def test_one_look_ends_well_when_nothing_is_wanted_when_it_is_applied_and_when_it_is_there(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.run("--once") == ExitCode.OK
    site.want(BOTH)
    assert [site.run("--once"), site.run("--once")] == [ExitCode.OK, ExitCode.OK]
    assert capsys.readouterr() == (
        "cp1 keeps its file: nothing is wanted of it yet\n"
        "cp1 has the new file (rendition 1)\n"
        "cp1 has the file that is wanted (rendition 1)\n",
        "",
    )
    assert site.node.file.read_bytes() == BOTH


def test_one_look_that_fails_has_the_exit_code_of_its_reason(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.want(NEW)
    assert site.run("--once") == ExitCode.REFUSED
    site.want(b"kind: Nonsense\n")
    assert site.run("--once") == ExitCode.UNUSABLE
    site.node.values.failing = SEALED
    assert site.run("--once") == ExitCode.UNREACHABLE
    said = capsys.readouterr()
    assert said.out == ""
    assert wrong_hints([said.err]) == []
    assert b64(1) not in said.err
    assert b64(2) not in said.err
    assert site.node.file.read_bytes() == OLD


def test_it_follows_until_it_is_asked_to_end_and_ends_well(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.acts = [lambda: site.want(BOTH), lambda: None]
    assert site.run() == ExitCode.OK
    assert site.node.file.read_bytes() == BOTH
    assert site.pauses == [5.0, 5.0, 5.0]
    assert capsys.readouterr() == (
        "",
        "cp1 keeps its file: nothing is wanted of it yet\n"
        "cp1 has the new file (rendition 1)\n"
        "cp1 has the file that is wanted (rendition 1)\n",
    )


def test_a_vault_that_is_away_is_said_once_asked_less_often_and_said_to_be_back(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def away() -> None:
        site.node.values.failing = SEALED

    def back() -> None:
        site.node.values.failing = None

    site.want(BOTH)
    site.acts = [away, *[lambda: None] * 5, back]
    assert site.run("--interval", "5s") == ExitCode.OK
    assert site.pauses == [5.0, 10.0, 20.0, 30.0, 30.0, 30.0, 30.0, 5.0]
    assert capsys.readouterr().err == (
        "cp1 has the new file (rendition 1)\n"
        "error: the Vault at https://vault:8200 is sealed\n"
        "hint: unseal it (bao operator unseal)\n"
        "cp1 keeps the file that it has\n"
        "cp1 has the file that is wanted (rendition 1)\n"
    )


def test_what_is_refused_is_said_once_and_followed_when_it_is_put_right(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.want(BOTH)
    site.node.place(FOREIGN)
    site.acts = [lambda: None, lambda: site.node.place(OLD)]
    assert site.run("--interval", "1m") == ExitCode.OK
    assert site.pauses == [60.0, 60.0, 60.0]
    said = capsys.readouterr().err
    assert said.count("somebody else changed") == 1
    assert said.endswith("cp1 has the new file (rendition 1)\n")


def test_an_interval_longer_than_the_longest_pause_is_kept(site: Site) -> None:
    site.node.values.failing = SEALED
    site.acts = [lambda: None]
    assert site.run("--interval", "5m") == ExitCode.OK
    assert site.pauses == [300.0, 300.0]


def test_a_rollback_is_taken_in_one_look_only(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.run("--allow-rollback") == ExitCode.USAGE
    site.want(BOTH)
    assert site.run("--once") == ExitCode.OK
    site.node.values.entries.pop(PLACE.current)
    assert site.run("--once") == ExitCode.REFUSED
    assert "--once --allow-rollback" in capsys.readouterr().err
    assert [site.run("--once", "--allow-rollback"), site.run("--once")] == [ExitCode.OK, ExitCode.OK]


@pytest.mark.parametrize("arguments", [("--interval", "5"), ("--interval", "0s"), ("--interval", "soon")])
def test_an_interval_is_a_time(site: Site, arguments: tuple[str, ...]) -> None:
    assert site.run(*arguments) == ExitCode.USAGE


def test_a_server_that_the_cluster_file_does_not_list_is_not_guessed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["agent", "--cluster", str(site.file), "--server", "cp2", "--once"]) == ExitCode.USAGE
    assert "known here: cp1" in capsys.readouterr().err
    assert site.node.values.entries == {}


def test_without_a_vault_there_is_nothing_to_fetch(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write("{store: file}")
    assert site.run("--once") == ExitCode.USAGE
    assert "set keys.store to vault" in capsys.readouterr().err


def test_another_file_and_its_manifest_may_be_named(site: Site, tmp_path: Path) -> None:
    other, manifest = tmp_path / "other.yaml", tmp_path / "kube-apiserver.yaml"
    other.write_bytes(OLD)
    manifest.write_bytes(b"kind: Pod\n")
    site.want(BOTH)
    assert site.run("--once", "--file", str(other), "--manifest", str(manifest)) == ExitCode.OK
    assert (other.read_bytes(), site.node.file.read_bytes()) == (BOTH, OLD)
    report = site.node.distribution().reported("cp1")
    assert report is not None
    assert [(file.path, file.content) for file in report.files] == [(str(other), BOTH), (str(manifest), b"kind: Pod\n")]


def test_an_error_of_the_program_is_not_swallowed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(site.node.values, "read", lambda path: broken())
    with pytest.raises(RuntimeError):
        site.run()


def test_the_second_signal_ends_a_turn_that_does_not_end() -> None:
    stop = command._Stop()
    stop.ask(signal.SIGTERM, None)
    assert stop.asked
    with pytest.raises(KeyboardInterrupt):
        stop.ask(signal.SIGTERM, None)


def test_a_pause_ends_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, slept = command._Stop(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        stop.asked = True

    monkeypatch.setattr(time, "sleep", sleep)
    stop.wait(3600.0)
    assert slept == [0.5]
