"""`keyctl config validate` on static pod manifests: the verdict, the exit code, and what is said of mending."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyctl.cli.main import cli, run
from keyctl.errors import ExitCode
from tests.support.hints import wrong_hints
from tests.unit.hosts.manifest_texts import CONFIG_LINE, ETCD, ETCD_AFTER, SERVER, SERVER_AFTER, server_with

RELOAD_ALONE = server_with("--encryption-provider-config-automatic-reload")
REMOVED = SERVER_AFTER.replace("--encryption-provider-config=", "--experimental-encryption-provider-config=")
SCRIPT = "kind: Pod\nspec: {containers: [{name: etcd, command: [sh, -c, 'etcd --encryption-provider-config=/a/b']}]}\n"
SINGLE_FILE = SERVER_AFTER.replace("mountPath: /etc/kubernetes/enc\n", "mountPath: /etc/kubernetes/enc/enc.yaml\n")
UNMOUNTED = SERVER.replace("    name: kube-apiserver\n", f"{CONFIG_LINE}    name: kube-apiserver\n")


def validated(directory: Path, text: str, *arguments: str, name: str = "pod.yaml") -> Result:
    (directory / name).write_text(text)
    return CliRunner().invoke(cli, ["config", "validate", str(directory / name), *arguments])


@pytest.mark.parametrize(
    ("text", "accepted", "code", "never"),
    [
        pytest.param(SERVER_AFTER, True, ExitCode.OK, ExitCode.OK, id="right"),
        pytest.param(ETCD_AFTER, True, ExitCode.OK, ExitCode.OK, id="an etcd without a flag"),
        pytest.param(SERVER, True, ExitCode.FINDINGS, ExitCode.OK, id="an API server without the flag"),
        pytest.param(ETCD, False, ExitCode.UNUSABLE, ExitCode.UNUSABLE, id="the flag of another program"),
        pytest.param(REMOVED, False, ExitCode.UNUSABLE, ExitCode.UNUSABLE, id="the removed flag"),
        pytest.param(RELOAD_ALONE, False, ExitCode.UNUSABLE, ExitCode.UNUSABLE, id="reload alone"),
        pytest.param(SCRIPT, None, ExitCode.FINDINGS, ExitCode.OK, id="a script"),
        pytest.param(UNMOUNTED, None, ExitCode.FINDINGS, ExitCode.OK, id="not mounted"),
        pytest.param(SINGLE_FILE, True, ExitCode.OK, ExitCode.OK, id="below the bar"),
    ],
)
def test_a_program_that_does_not_start_is_unusable_whatever_the_bar(
    text: str, accepted: bool | None, code: ExitCode, never: ExitCode, tmp_path: Path
) -> None:
    shown = validated(tmp_path, text, "-o", "json")
    report = json.loads(shown.stdout)
    assert (report["kind"], shown.exit_code, report["exitCode"]) == ("ManifestReport", code, code)
    assert report["accepted"] is accepted
    assert validated(tmp_path, text, "--fail-on", "never").exit_code == never


def test_the_bar_decides_about_what_lets_the_program_start(tmp_path: Path) -> None:
    assert validated(tmp_path, SINGLE_FILE).exit_code == ExitCode.OK
    assert validated(tmp_path, SINGLE_FILE, "--fail-on", "medium").exit_code == ExitCode.FINDINGS


def test_the_verdict_is_told_in_words(tmp_path: Path) -> None:
    assert "ok: nothing wrong with the flags" in validated(tmp_path, SERVER_AFTER).stdout
    assert "fail: 1 finding about the encryption flags" in validated(tmp_path, SERVER).stdout
    shown = validated(tmp_path, ETCD).stdout
    assert "REFUSED: the program does not start with these flags; 2 findings about the encryption flags" in shown


def test_a_pod_of_no_control_plane_program_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nginx.yaml").write_text("kind: Pod\nspec: {containers: [{name: nginx}]}\n")
    assert run(["config", "validate", str(tmp_path / "nginx.yaml")]) == ExitCode.UNUSABLE
    out, err = capsys.readouterr()
    assert (out, "not the manifest of a control-plane program" in err) == ("", True)
    assert "kube-apiserver, etcd, kube-controller-manager" in err


@pytest.mark.parametrize(
    "arguments", [["--require", "secrets"], ["--kubernetes-version", "1.37"], ["--kms-v1"]], ids=lambda one: one[0]
)
def test_an_option_that_says_nothing_about_a_manifest_is_wrong_usage(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pod.yaml").write_text(SERVER_AFTER)
    assert run(["config", "validate", str(tmp_path / "pod.yaml"), *arguments]) == ExitCode.USAGE
    assert f"{arguments[0]} says nothing about a static pod manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (SERVER_AFTER, []),
        (SERVER, ["keyctl enable"]),
        (REMOVED, ["keyctl config fix 'a pod.yaml'"]),
        (ETCD, []),
        (RELOAD_ALONE, []),
        (SCRIPT, []),
    ],
)
def test_only_a_command_that_would_change_something_is_named(
    text: str, steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a pod.yaml").write_text(text)
    shown = CliRunner().invoke(cli, ["config", "validate", "a pod.yaml"]).stdout
    assert [line.removeprefix("next: ") for line in shown.splitlines() if line.startswith("next: ")] == steps
    assert wrong_hints([shown]) == []
    on_stdin = CliRunner().invoke(cli, ["config", "validate", "-"], input=text).stdout
    assert "keyctl config fix" not in on_stdin.replace("keyctl enable", "")


def test_beside_the_api_servers_manifest_the_one_of_etcd_can_be_fixed(tmp_path: Path) -> None:
    (tmp_path / "kube-apiserver.yaml").write_text(SERVER)
    shown = validated(tmp_path, ETCD, name="etcd.yaml").stdout
    assert f"next: keyctl config fix {tmp_path / 'etcd.yaml'}\n" in shown
