"""The small commands: explain, version, completion, config new."""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path

import pytest

from keyctl import __version__
from keyctl.cli import main
from keyctl.cli.rules import RULES
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import IdentityReader, StaticReader
from keyctl.errors import ExitCode


@pytest.mark.parametrize("topic", [*RULES, *(name.lower() for name in RULES)])
def test_every_rule_is_explained(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", topic]) == ExitCode.OK
    assert capsys.readouterr().out == f"{topic.upper()}: {RULES[topic.upper()]}\n"


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_explained(code: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", str(code.value)]) == ExitCode.OK
    assert capsys.readouterr().out == f"exit code {code.value}: {code.meaning}\n"


def test_topics_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain"]) == ExitCode.OK
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RULES)
    assert main.run(["explain", "exit-codes"]) == ExitCode.OK
    assert len(capsys.readouterr().out.splitlines()) == len(ExitCode)


def test_an_unknown_topic_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", "R99"]) == ExitCode.USAGE
    assert "nothing is known of 'R99'" in capsys.readouterr().err


def test_version_names_keyctl_and_its_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith(f"kube-keyctl {__version__} (Python 3.")
    assert main.run(["version", "-o", "json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert document["keyctl"] == __version__
    assert document["libraries"]["etcd3"] == "0.12.0"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["keyctl", "kube-keyctl"])
def test_completion_completes_the_program_it_is_asked_for(
    shell: str, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["completion", shell, "--program", program]) == ExitCode.OK
    script = capsys.readouterr().out
    assert program in script
    assert f"_{program.replace('-', '_').upper()}_COMPLETE" in script


def test_config_new_writes_a_private_file_that_encrypts_and_reads_plaintext(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "enc.yaml"
    arguments = ["config", "new", str(file), "--provider", "secretbox", "--resources", "secrets", "--resources"]
    assert main.run([*arguments, "configmaps"]) == ExitCode.OK
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = decode(file.read_bytes(), name="enc.yaml").config
    writer, last = effective.readers(config, "secrets")
    assert effective.readers(config, "configmaps") == (writer, last)
    assert isinstance(writer, StaticReader)
    assert isinstance(last, IdentityReader)
    assert writer.ref.provider == "secretbox"
    told = capsys.readouterr()
    assert f"{writer.ref} writes secrets, configmaps; fingerprint " in told.out
    assert base64.b64encode(writer.key.material).decode() not in told.out + told.err


def test_config_new_keeps_the_key_in_the_store_first(tmp_path: Path) -> None:
    file, store = tmp_path / "enc.yaml", tmp_path / "keys"
    assert main.run(["config", "new", str(file), "--key-store", str(store), "--cluster-name", "eu1"]) == ExitCode.OK
    (kept,) = store.glob("*.key.json")
    (name,) = re.findall(r"name: (\S+)", file.read_text())
    assert name in kept.name
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_config_new_overwrites_nothing_and_leaves_no_key_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "enc.yaml"
    file.write_text("mine")
    store = ["--key-store", str(tmp_path / "keys"), "--cluster-name", "prod"]
    assert main.run(["config", "new", str(file), *store]) == ExitCode.REFUSED
    assert f"{file} exists already" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert not (tmp_path / "keys").exists()


def test_config_new_keeps_the_key_for_the_cluster_that_is_named(tmp_path: Path) -> None:
    store = ["--key-store", str(tmp_path / "keys")]
    assert main.run(["config", "new", str(tmp_path / "enc.yaml"), *store]) == ExitCode.USAGE
    assert main.run(["config", "new", str(tmp_path / "enc.yaml"), *store, "--cluster-name", "prod"]) == ExitCode.OK
    assert "prod" in (tmp_path / "keys" / "ledger.jsonl").read_text()


def test_config_new_says_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "new", str(tmp_path / "missing" / "enc.yaml")]) == ExitCode.UNUSABLE
    assert "No such file or directory" in capsys.readouterr().err


def test_resume_takes_no_wish(capsys: pytest.CaptureFixture[str]) -> None:
    for extra in (["--provider", "aesgcm"], ["--resources", "secrets"], ["--dry-run"], ["--allow-downtime"]):
        assert main.run(["rotate", "--resume", *extra]) == ExitCode.USAGE
        assert "--resume goes on with the plan that was agreed to" in capsys.readouterr().err


@pytest.mark.parametrize("resources", ["pods,secrets", "", "secret", "Secrets", "*", "deployments"])
def test_a_new_configuration_that_would_encrypt_nothing_is_not_written(
    resources: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["config", "new", str(tmp_path / "enc.yaml"), "--resources", resources]) == ExitCode.USAGE
    assert not list(tmp_path.iterdir())
    assert "hint: " in capsys.readouterr().err


def test_a_new_configuration_does_not_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "new", "-"]) == ExitCode.USAGE
    assert capsys.readouterr().out == ""
    assert not Path("-").exists()
