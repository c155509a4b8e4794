from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyctl.cli.main import cli
from keyctl.errors import ExitCode, KeyctlError
from tests.unit.encryption_config.configs import b64, entry, file, static

_ID = "{identity: {}}"
_GOOD = file(
    entry("secrets", "{aescbc: {keys: [{name: key1, secret: Q6xYvAcAW9nF3Q0yMBmTt3DGnHUJ0IOwPpbaI3jmSxc=}]}}", _ID)
)
_KEYED = "{aescbc: {keys: [{name: key1, secret: Q6xYvAcAW9nF3Q0yMBmTt3DGnHUJ0IOwPpbaI3jmSxc=}]}}"
_EXEMPT = file(entry("secrets", _ID), entry("'*.*'", _KEYED))
_PODS = file(entry("pods", _ID), entry("'*.*'", _KEYED))
_KMS = file(entry("secrets", "{kms: {name: a, endpoint: 'unix:///run/a.sock'}}"))
_MANIFEST = b"""apiVersion: v1
kind: Pod
metadata: {name: etcd}
spec:
  containers:
  - name: etcd
    command: [etcd, --encryption-provider-config=/etc/kubernetes/enc.yaml]
"""


def _run(tmp_path: Path, content: bytes, *arguments: str) -> tuple[int, str]:
    path = tmp_path / "enc.yaml"
    path.write_bytes(content)
    result = CliRunner().invoke(cli, ["config", "validate", str(path), *arguments])
    error = result.exception
    return (error.exit_code if isinstance(error, KeyctlError) else result.exit_code), result.stdout


@pytest.mark.parametrize(
    ("content", "arguments", "code"),
    [
        pytest.param(_GOOD, [], ExitCode.OK, id="right"),
        pytest.param(_GOOD, ["--require", "configmaps"], ExitCode.FINDINGS, id="a required resource is not covered"),
        pytest.param(file(entry("secrets", _ID)), [], ExitCode.FINDINGS, id="accepted and plaintext"),
        pytest.param(_EXEMPT, [], ExitCode.FINDINGS, id="secrets exempted from a wildcard"),
        pytest.param(
            _EXEMPT, ["--require", "configmaps"], ExitCode.FINDINGS, id="another one does not replace secrets"
        ),
        pytest.param(_PODS, [], ExitCode.OK, id="what is exempt need not be encrypted"),
        pytest.param(_PODS, ["--require", "*.*"], ExitCode.FINDINGS, id="but for a required wildcard it does"),
        pytest.param(_GOOD, ["--require", "secret"], ExitCode.USAGE, id="a typo in what is required"),
        pytest.param(_GOOD, ["--require", "a,b"], ExitCode.USAGE, id="a list in what is required"),
        pytest.param(_GOOD, ["--require", ""], ExitCode.USAGE, id="nothing in what is required"),
        pytest.param(file(entry("secrets", _ID)), ["--fail-on", "never"], ExitCode.OK, id="told to pass"),
        pytest.param(_GOOD.replace(b"{identity: {}}", b"{identity: }"), [], ExitCode.UNUSABLE, id="refused"),
        pytest.param(_GOOD.decode().encode("utf-16"), [], ExitCode.UNUSABLE, id="not read"),
        pytest.param(
            _GOOD.replace(b"secrets]", b"secrets]\n  note: x"),
            ["--kubernetes-version", "1.30"],
            ExitCode.FINDINGS,
            id="an unknown field before 1.31",
        ),
        pytest.param(_GOOD.replace(b"secrets]", b"secrets]\n  note: x"), [], ExitCode.UNUSABLE, id="and since"),
        pytest.param(_KMS, [], ExitCode.UNUSABLE, id="KMS v1 today"),
        pytest.param(_KMS, ["--kms-v1", "--fail-on", "critical"], ExitCode.OK, id="behind its gate"),
        pytest.param(
            _KMS, ["--kubernetes-version", "1.28", "--fail-on", "critical"], ExitCode.OK, id="before the gate"
        ),
        pytest.param(_KMS, ["--kubernetes-version", "1.28", "--no-kms-v1"], ExitCode.UNUSABLE, id="the gate closed"),
        pytest.param(_MANIFEST, [], ExitCode.UNUSABLE, id="the flag on etcd's manifest"),
    ],
)
def test_the_exit_code_tells_refused_from_accepted_and_wrong(
    tmp_path: Path, content: bytes, arguments: list[str], code: ExitCode
) -> None:
    assert _run(tmp_path, content, *arguments)[0] == code


def test_a_finding_below_the_bar_is_told_and_passes(tmp_path: Path) -> None:
    legacy = _GOOD.replace(b"apiserver.config.k8s.io/v1", b"v1").replace(
        b"EncryptionConfiguration", b"EncryptionConfig"
    )
    code, shown = _run(tmp_path, legacy)
    assert code == ExitCode.OK
    assert "low KC-CFG-008" in shown
    assert _run(tmp_path, legacy, "--fail-on", "low")[0] == ExitCode.FINDINGS


def test_json_says_what_the_server_decides_and_where_the_mistake_is(tmp_path: Path) -> None:
    code, shown = _run(tmp_path, _GOOD.replace(b"aescbc", b"aesCBC"), "-o", "json")
    report = json.loads(shown)
    assert (report["kind"], report["accepted"], report["exitCode"]) == ("ConfigReport", False, code)
    (finding,) = report["findings"]
    assert finding["id"] == "KC-CFG-112"
    assert (finding["location"]["line"], finding["location"]["column"]) == (5, 16)
    assert report["hash"].startswith("sha256:")
    assert report["effective"] == []


def test_json_leaves_open_what_keyctl_does_not_read(tmp_path: Path) -> None:
    assert json.loads(_run(tmp_path, _GOOD.decode().encode("utf-16"), "-o", "json")[1])["accepted"] is None


def test_json_shows_the_effective_view(tmp_path: Path) -> None:
    report = json.loads(_run(tmp_path, _GOOD, "-o", "json")[1])
    (secrets,) = report["effective"]
    assert report["accepted"] is True
    assert (secrets["resource"], secrets["write"]["provider"], secrets["write"]["key"]) == ("secrets", "aescbc", "key1")
    assert [reader["provider"] for reader in secrets["read"]] == ["aescbc", "identity"]


def test_every_reason_is_told_with_its_place(tmp_path: Path) -> None:
    _, shown = _run(tmp_path, file(entry("Secrets", "{}"), entry("'*'", static())))
    assert [line.split()[2] for line in shown.splitlines() if line.startswith("✗ critical")] == [
        "KC-CFG-122",
        "KC-CFG-130",
        "KC-CFG-123",
    ]
    assert "enc.yaml:4:15" in shown


def test_stdin_is_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["config", "validate", "-", "-o", "json"], input=_GOOD)
    assert json.loads(result.stdout)["file"] == "<stdin>"


@pytest.mark.parametrize("version", ["1.26", "1.38", "2.0", "latest"])
def test_an_unknown_version_is_wrong_usage(tmp_path: Path, version: str) -> None:
    assert _run(tmp_path, _GOOD, "--kubernetes-version", version)[0] == ExitCode.USAGE


def test_quiet_prints_nothing_when_all_is_right_and_keeps_the_code(tmp_path: Path) -> None:
    assert _run(tmp_path, _GOOD, "-q") == (ExitCode.OK, "")
    assert _run(tmp_path, file(entry("secrets", _ID)), "-q")[1] != ""


@pytest.mark.parametrize("output", ["text", "json", "wide"])
def test_no_key_is_shown(tmp_path: Path, output: str) -> None:
    for content in (file(entry("secret", _ID, static("a", 1), static("a", 2))), file(entry("secrets", static())[:-3])):
        shown = _run(tmp_path, content, "-o", output)[1]
        assert not any(b64(fill)[start : start + 8] in shown for fill in (1, 2) for start in (0, 8, 16, 36))
