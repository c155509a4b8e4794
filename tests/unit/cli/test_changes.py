"""`keyctl enable`, `rotate` and `disable` as they are typed, against a simulated cluster: what is asked and told."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.cli import main, wiring
from keyctl.cli.wiring import RotationParts
from keyctl.cluster_file.settings import ClusterSettings
from keyctl.errors import ExitCode
from tests.support.hints import wrong_hints
from tests.support.sim_server import CONFIG_PATH, Spec
from tests.support.sim_texts import KEY_1, SECRETS, configuration
from tests.support.simulator import THREE_RESTARTED, SimCluster
from tests.unit.cli.test_wiring import settings
from tests.unit.rotation.scenes import after, heads_of, skip_slow_parts

Behind = Callable[..., SimCluster]


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Behind:
    """Puts a simulated cluster behind the cluster file trial.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    skip_slow_parts(monkeypatch)
    settings(tmp_path)
    build = wiring.rotation_parts

    def place(specs: tuple[Spec, ...] = THREE_RESTARTED, config: bytes | None = SECRETS) -> SimCluster:
        simulated = SimCluster(tmp_path / "simulated", specs, config)

        def parts(given: ClusterSettings) -> RotationParts:
            state = simulated.journal().path.parent
            return replace(build(given), world=simulated.world(), state_directory=state)

        monkeypatch.setattr(wiring, "rotation_parts", parts)
        simulated.switch.labels.clear()
        return simulated

    return place


def keyctl(command: str, *arguments: str) -> int:
    return main.run([command, "--cluster", "trial.yaml", *arguments])


def interrupt_at(cluster: SimCluster, label: str) -> None:
    """Ctrl-C, once, right after that effect."""
    after(cluster, label, lambda: os.kill(os.getpid(), signal.SIGINT))


def going_back(cluster: SimCluster, capsys: pytest.CaptureFixture[str]) -> None:
    """A rotation that was aborted, and interrupted on its way back."""
    assert keyctl("rotate", "--yes", "--pause-after", "switched") == ExitCode.STOPPED
    interrupt_at(cluster, "cp1: restart")
    assert keyctl("rotate", "--abort", "--yes") == ExitCode.STOPPED
    assert "stopping after the act under way" in capsys.readouterr().err
    cluster.switch.labels.clear()


def test_an_abort_of_what_goes_back_already_asks_too(behind: Behind, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = behind()
    going_back(cluster, capsys)
    assert keyctl("rotate", "--abort") == ExitCode.REFUSED
    assert "nobody is there to ask" in capsys.readouterr().err
    assert cluster.switch.labels == []


@pytest.mark.parametrize("back_already", [False, True])
def test_an_abort_that_is_not_agreed_to_leaves_the_rotation_where_it_was(
    behind: Behind, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], back_already: bool
) -> None:
    cluster = behind()
    if back_already:
        going_back(cluster, capsys)
    else:
        assert keyctl("rotate", "--yes", "--pause-after", "readable") == ExitCode.STOPPED
    capsys.readouterr()
    cluster.switch.labels.clear()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    assert keyctl("rotate", "--abort") == ExitCode.INTERRUPTED
    told = capsys.readouterr().err
    assert "The way back from " in told
    assert "error: not confirmed; the rotation is where it was" in told
    assert cluster.switch.labels == []


def test_one_interrupt_of_a_second_abort_waits_for_the_end_of_the_act(
    behind: Behind, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = behind()
    going_back(cluster, capsys)
    interrupt_at(cluster, "cp2: restart")
    assert keyctl("rotate", "--abort", "--yes") == ExitCode.STOPPED
    assert "stopping after the act under way" in capsys.readouterr().err
    assert keyctl("rotate", "--resume") == ExitCode.OK
    assert capsys.readouterr().out.startswith("aborted: ")
    assert [server.host.files[CONFIG_PATH].content for server in cluster.servers] == [SECRETS] * 3


def way_back(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert keyctl("rotate", "--abort", "--dry-run") == ExitCode.OK
    return capsys.readouterr().out.splitlines()


def test_the_way_back_settles_as_long_as_the_cluster_file_says_now(
    behind: Behind, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = behind()
    assert keyctl("rotate", "--yes", "--pause-after", "readable") == ExitCode.STOPPED
    cluster.settle = 90.0
    lines = way_back(capsys)
    assert sum("after 90 s of settling" in line for line in lines) == 2
    assert not any("60 s" in line for line in lines)
    assert any("files in which the old key writes" in line for line in lines)
    assert any(line.endswith("on cp1, cp2, cp3: the files as they were") for line in lines)
    assert not any("manifest" in line or "there was none" in line for line in lines)
    assert any(line.startswith("What was never done is skipped.") for line in lines)


def test_the_way_back_to_a_cluster_without_the_flag_restores_manifests_and_takes_the_file_away(
    behind: Behind, capsys: pytest.CaptureFixture[str]
) -> None:
    behind(config=None)
    assert keyctl("enable", "--yes", "--pause-after", "readable") == ExitCode.STOPPED
    text = "\n".join(way_back(capsys))
    assert "files in which plaintext writes" in text
    assert "the encryption flag and its mount on cp1, cp2, cp3: the manifest as it was" in text
    assert "with it, on cp1, cp2, cp3: there was none" in text
    assert "the files as they were" not in text
    assert text.index("manifest as it was") < text.index("there was none"), "a server with the flag needs the file"


def test_quiet_tells_the_result_and_the_evidence_and_no_progress(
    behind: Behind, capsys: pytest.CaptureFixture[str]
) -> None:
    behind()
    assert keyctl("rotate", "--yes", "-q") == ExitCode.OK
    told = capsys.readouterr()
    verdict, evidence = told.out.splitlines()
    assert verdict.startswith("retired: aescbc/key1 is in no file")
    assert evidence.startswith("evidence: ")
    assert told.err == ""
    directory = evidence.removeprefix("evidence: ").partition(" (")[0]
    assert main.run(["rotate", "--verify-evidence", directory]) == ExitCode.OK
    whole = capsys.readouterr().out.splitlines()
    assert main.run(["rotate", "--verify-evidence", directory, "-q"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [whole[0], whole[-1]]


def test_a_quiet_dry_run_for_a_program_has_the_plan(behind: Behind, capsys: pytest.CaptureFixture[str]) -> None:
    behind()
    assert keyctl("rotate", "--dry-run", "-q", "-o", "json") == ExitCode.OK
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "plan"
    assert json.loads(line)["lines"][0].startswith("Plan for prod: ")


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_the_last_event_says_why_it_stopped_or_was_refused(
    behind: Behind, capsys: pytest.CaptureFixture[str], quiet: tuple[str, ...]
) -> None:
    behind()
    assert keyctl("rotate", "--yes", "-o", "json", "--pause-after", "readable", *quiet) == ExitCode.STOPPED
    told = capsys.readouterr()
    last = events(told.out)[-1]
    assert (last["event"], last["message"]) == ("stopped", "paused in state readable, as asked")
    hints = last["hints"]
    assert isinstance(hints, list)
    assert "go on with: keyctl rotate --cluster trial.yaml --resume" in hints
    assert "error: paused in state readable, as asked" in told.err
    for again in ((), ("--abort",)):
        assert keyctl("rotate", "-o", "json", *again, *quiet) == ExitCode.REFUSED
        told = capsys.readouterr()
        assert events(told.out)[-1]["event"] == "refused"
        assert str(events(told.out)[-1]["message"]) in told.err
    assert keyctl("rotate", "--resume", "-o", "json", "--pause-after", "verified", *quiet) == ExitCode.STOPPED
    assert events(capsys.readouterr().out)[-1]["message"] == "paused in state verified, as asked"


PLAINTEXT = b"""\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - identity: {}
"""


@pytest.mark.parametrize("config", [None, PLAINTEXT], ids=["no file", "plaintext"])
def test_disable_where_nothing_is_encrypted_says_so_and_advises_nothing(
    behind: Behind, capsys: pytest.CaptureFixture[str], config: bytes | None
) -> None:
    cluster = behind(config=config)
    assert keyctl("disable", "--yes") == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "error: nothing is encrypted with a static key" in told
    assert "hint:" not in told
    assert cluster.switch.labels == []
    assert keyctl("rotate", "--yes") == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "keyctl enable" in told
    assert wrong_hints([told]) == []


def test_the_plan_of_disable_warns_where_the_plaintext_will_stand(
    behind: Behind, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "will stand in plaintext in etcd, in its backups and in the second snapshot"
    behind()
    assert keyctl("disable", "--dry-run") == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[1] == f"  ! Secrets {warning}"
    assert keyctl("rotate", "--dry-run") == ExitCode.OK
    assert warning not in capsys.readouterr().out
    behind(config=configuration((("secrets", "configmaps"), KEY_1)))
    assert keyctl("disable", "--dry-run") == ExitCode.OK
    assert f"  ! The values of secrets, configmaps {warning}" in capsys.readouterr().out


def test_the_plan_of_enable_speaks_of_plaintext_where_there_is_no_old_key(
    behind: Behind, capsys: pytest.CaptureFixture[str]
) -> None:
    behind(config=None)
    assert keyctl("enable", "--dry-run") == ExitCode.OK
    told = capsys.readouterr().out
    assert "scan every etcd: nothing in plaintext, every value opens" in told
    assert "old key" not in told


def test_one_server_is_spoken_of_in_the_singular(behind: Behind, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = behind((Spec("cp1", reloads=True),))
    assert keyctl("rotate", "--dry-run") == ExitCode.OK
    assert capsys.readouterr().out.startswith("Plan for prod: 1 API server, 13 values, ")
    assert heads_of(cluster)["secrets"] == {b"k8s:enc:aescbc:v1:key1"}


@pytest.mark.parametrize("state", ["resecured", "retiring", "retired"])
def test_enable_has_no_state_in_which_a_key_leaves(capsys: pytest.CaptureFixture[str], state: str) -> None:
    assert main.run(["enable", "--pause-after", state]) == ExitCode.USAGE
    assert f"'{state}' is not one of" in capsys.readouterr().err
