"""`keyctl config explain`: whose file is explained, for which resources and which key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyctl.cli import wiring
from keyctl.cli.commands.config_explain import explain
from keyctl.errors import ExitCode, UnusableInputError, WrongUsageError
from tests.support.encryption_file import key_texts, leaks
from tests.unit.cli.test_config_show import servers
from tests.unit.encryption_config.configs import entry, file, key, static

_ID = "{identity: {}}"
A, B = static("a", 1), static("b", 2)
TYPICAL = file(entry("secrets", B, A, _ID))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a cluster file and without a manifest, with a typical file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KEYCTL_CLUSTER", raising=False)
    monkeypatch.setattr(wiring, "MANIFEST", tmp_path / "manifest.yaml")
    (tmp_path / "enc.yaml").write_bytes(TYPICAL)
    return tmp_path


def run(*arguments: str, stdin: bytes | None = None, charset: str = "utf-8") -> Result:
    return CliRunner(charset=charset).invoke(explain, arguments, input=stdin)


def of_file(*arguments: str) -> Result:
    return run(*arguments, "--encryption-config", "enc.yaml")


def test_each_resource_is_explained_under_the_name_of_the_file() -> None:
    result = of_file("secrets", "pods", "secrets.")
    assert result.exit_code == ExitCode.OK
    blocks = result.stdout.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["enc.yaml", "secrets:", "pods:"]
    assert f"  New values are written with aescbc/b (fingerprint {key('b', 2).fingerprint})." in blocks[1].splitlines()
    assert "  New values are written in PLAINTEXT." in blocks[2].splitlines()


@pytest.mark.parametrize("named", ["aescbc:a", "aescbc/a"])
def test_one_key_is_asked_about_as_messages_or_commands_write_it(named: str) -> None:
    told = of_file("secrets", "--key", named).stdout
    assert f"values under aescbc/a (fingerprint {key('a', 1).fingerprint}) are read and count as stale" in told
    assert "aescbc/b (" not in told


def test_a_key_that_the_file_does_not_have_and_plaintext_can_be_asked_about() -> None:
    assert "values under aesgcm/x:y are unreadable" in of_file("secrets", "--key", "aesgcm:x:y").stdout
    assert "plaintext is read and counts as stale" in of_file("secrets", "--key", "identity").stdout
    assert "values under any other key of aescbc are unreadable" in of_file("secrets", "--key", "aescbc").stdout


@pytest.mark.parametrize("wrong", ["enigma:x", "a", "", ":a", "aescbc:", "identity:x"])
def test_a_key_that_is_none_is_wrong_usage(wrong: str) -> None:
    error = of_file("secrets", "--key", wrong).exception
    assert isinstance(error, WrongUsageError)
    assert str(error) == f"--key takes PROVIDER or PROVIDER:NAME, not {wrong!r}"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("Secrets", "kube-apiserver takes no 'Secrets': capital letters in a resource name"),
        ("", "'' is no resource"),
        (".apps", "'.apps' is no resource"),
        ("a b", "'a b' is no resource"),
        ("*", "kube-apiserver takes no '*': a bare *"),
        ("secrets.*", "kube-apiserver takes no 'secrets.*': one resource across all groups cannot be named"),
        (
            "x.events.k8s.io",
            "kube-apiserver takes no 'x.events.k8s.io': nothing is stored under the group events.k8s.io",
        ),
        (
            "x.extensions",
            "kube-apiserver takes no 'x.extensions': nothing is stored under the group extensions",
        ),
        ("a,b", "'a,b' is no resource"),
        ("enc.yaml", "'enc.yaml' is a file, and this command takes resources"),
        ("./enc", "'./enc' is a file, and this command takes resources"),
        (
            "apiserveripinfo",
            "kube-apiserver takes no 'apiserveripinfo': \"apiserveripinfo\" has no REST API",
        ),
    ],
)
def test_a_name_that_no_configuration_can_have_is_wrong_usage(wrong: str, message: str) -> None:
    error = of_file(wrong).exception
    assert isinstance(error, WrongUsageError)
    assert str(error) == message
    assert error.hints


def test_a_typo_is_answered_with_the_right_name() -> None:
    assert "The core group has no such resource: write secrets." in of_file("secret").stdout


def test_json_has_the_view_the_fates_and_the_lines() -> None:
    told = json.loads(of_file("secrets", "-o", "json").stdout)
    assert (told["apiVersion"], told["kind"], told["exitCode"]) == ("keyctl/v1", "ConfigExplanation", 0)
    (one,) = told["configurations"]
    (resource,) = one["resources"]
    assert (one["file"], resource["resource"], resource["coveredBy"]) == ("enc.yaml", "secrets", "secrets")
    assert [value["outcome"] for value in resource["values"]] == ["current", "stale", "stale", "unreadable"]
    assert resource["lines"][0] == "secrets:"


def test_servers_that_differ_are_explained_each_with_its_name(folder: Path) -> None:
    servers(folder, TYPICAL, file(entry("pods", A)))
    told = run("secrets", "--cluster", "trial.yaml").stdout
    assert told.split("\n\n")[0] == f"cp1: {folder}/enc0.yaml"
    assert told.split("\n\n")[2] == f"cp2: {folder}/enc1.yaml"
    assert told.endswith("\n\nthe API servers differ: each must be able to read what any other writes\n")


def test_stdin_is_a_file_too_and_what_the_server_refuses_is_unusable() -> None:
    assert run("secrets", "--encryption-config", "-", stdin=TYPICAL).stdout.startswith("<stdin>\n")
    error = run("secrets", "--encryption-config", "-", stdin=b"kind: Pod\n").exception
    assert isinstance(error, UnusableInputError)
    assert "<stdin>" in str(error)


def test_a_resource_must_be_named_and_a_file_stands_alone() -> None:
    assert of_file().exit_code == ExitCode.USAGE
    error = of_file("secrets", "--cluster", "trial.yaml").exception
    assert isinstance(error, WrongUsageError)
    assert str(error) == "--encryption-config and --cluster exclude each other"


def test_a_terminal_without_unicode_gets_names_in_escapes() -> None:
    content = file(entry("secrets", static("'schlüssel'", 1)))
    told = run("secrets", "--encryption-config", "-", stdin=content, charset="ascii").stdout_bytes
    assert b"aescbc/schl\\xfcssel" in told
    assert "aescbc/schlüssel" in run("secrets", "--encryption-config", "-", stdin=content).stdout


def test_no_key_shows_in_any_form(folder: Path) -> None:
    (folder / "enc.yaml").write_bytes(file(entry("secrets", A, B, static("a", 9))))
    outputs = [of_file("secrets", *more).stdout for more in ((), ("-o", "json"), ("--key", "aescbc:a"))]
    assert leaks(key_texts([folder / "enc.yaml"]), outputs) == []
