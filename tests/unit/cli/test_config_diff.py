"""`keyctl config diff`: the table, the verdict, the exit code, and nothing of a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyctl.cli.commands.config_diff import diff
from keyctl.encryption_config.decode import hash_of
from keyctl.errors import ExitCode, UnusableInputError, WrongUsageError
from tests.support.encryption_file import key_texts, leaks
from tests.unit.encryption_config.configs import entry, file, key, static

_ID = "{identity: {}}"
A, B, A2 = static("a", 1), static("b", 2), static("a", 9)
KMS = "{{kms: {{apiVersion: {version}, name: p, endpoint: 'unix:///{socket}.sock'}}}}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(diff, arguments, input=stdin)


def compared(old: bytes, new: bytes, *arguments: str) -> Result:
    Path("old.yaml").write_bytes(old)
    Path("new.yaml").write_bytes(new)
    return run("old.yaml", "new.yaml", *arguments)


def secrets(*providers: str) -> bytes:
    return file(entry("secrets", *providers))


def test_a_safe_step_is_a_table_and_exit_0() -> None:
    result = compared(secrets(A, _ID), secrets(A, B, _ID))
    assert result.exit_code == ExitCode.OK
    a, b = key("a", 1).fingerprint[:8], key("b", 2).fingerprint[:8]
    lines = [line.split("  ") for line in result.stdout.splitlines()]
    assert [[part.strip() for part in line if part] for line in lines if line != [""]] == [
        ["RESOURCE", "STATE", "WRITTEN WITH", "READERS GAINED", "READERS LOST", "ORDER"],
        ["secrets", "✓ ok", f"aescbc/a ({a})", f"aescbc/b ({b})", "-", "-"],
        ["everything else (*.*)", "same", "plaintext", "-", "-", "-"],
        ["✓ ok: safe: NEW may replace OLD on one server after another"],
    ]


def test_an_unsafe_step_is_exit_5_with_the_rule_and_the_command_that_is_safe() -> None:
    result = compared(secrets(A, _ID), secrets(B, _ID))
    assert result.exit_code == ExitCode.REFUSED
    assert "✗ critical KC-CFG-301 aescbc/b would write secrets" in result.stdout
    way = "to bring in a new key, and take the old one out after a proof: keyctl rotate --resources secrets"
    # Both rules that it breaks, and behind them the one way that keeps both.
    assert "[R2]: new.yaml\n✗ critical KC-CFG-302" in result.stdout
    assert f"\n    {way}\n" in result.stdout
    assert result.stdout.count(way) == 1
    assert f"aescbc/a ({key('a', 1).fingerprint[:8]}) -> aescbc/b" in result.stdout
    assert "✗ fail: not safe:" in result.stdout


def test_a_condition_is_told_and_leaves_exit_0() -> None:
    result = compared(secrets(A, B, _ID), secrets(B, A, _ID))
    assert result.exit_code == ExitCode.OK
    assert "? manual KC-CFG-311 aescbc/b becomes what writes secrets" in result.stdout
    assert "safe, if what is marked manual holds" in result.stdout


def test_layout_and_comments_are_the_same_meaning_and_another_hash() -> None:
    old = secrets(A, _ID)
    result = compared(old, old + b"# a comment\n", "-o", "json")
    told = json.loads(result.stdout)
    assert result.exit_code == ExitCode.OK
    assert told["verdict"] == "same"
    assert told["new"] == {"file": "new.yaml", "hash": hash_of(old + b"# a comment\n")}
    assert "same meaning: only the layout differs" in compared(old, old + b"# a comment\n").stdout
    assert "the same file, byte for byte" in compared(old, old).stdout


def test_json_has_the_shape_of_keyctl_v1() -> None:
    result = compared(secrets(A, _ID), secrets(A2, _ID), "-o", "json")
    told = json.loads(result.stdout)
    assert result.exit_code == told["exitCode"] == ExitCode.REFUSED
    assert (told["apiVersion"], told["kind"], told["verdict"]) == ("keyctl/v1", "ConfigDiff", "unsafe")
    (finding,) = told["findings"]
    assert (finding["id"], finding["status"], finding["mappings"]) == ("KC-CFG-307", "fail", ["R5"])
    before, after = (
        {"provider": "aescbc", "key": "a", "fingerprint": key("a", fill).fingerprint, "kmsVersion": None}
        for fill in (1, 9)
    )
    assert told["resources"][0] == {
        "resource": "secrets",
        "same": False,
        "safe": False,
        "coveredBy": {"old": "secrets", "new": "secrets"},
        "write": {"old": before, "new": after},
        "gained": [after],
        "lost": [before],
        "orderChanged": False,
    }


def test_another_socket_of_a_plugin_is_not_the_same_meaning() -> None:
    old, new = (secrets(KMS.format(version="v2", socket=socket)) for socket in ("a", "b"))
    result = compared(old, new, "-o", "json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["verdict"]) == (ExitCode.REFUSED, "unsafe")
    assert [finding["id"] for finding in told["findings"]] == ["KC-CFG-310"]


@pytest.mark.parametrize(("old", "new"), [("-", "other.yaml"), ("other.yaml", "-")])
def test_either_may_be_stdin(old: str, new: str) -> None:
    Path("other.yaml").write_bytes(secrets(A, B))
    result = run(old, new, "-o", "json", stdin=secrets(A))
    told = json.loads(result.stdout)
    assert {told["old"]["file"], told["new"]["file"]} == {"<stdin>", "other.yaml"}
    assert result.exit_code == (ExitCode.OK if old == "-" else ExitCode.REFUSED)


def test_both_cannot_be_stdin() -> None:
    result = run("-", "-", stdin=secrets(A))
    assert isinstance(result.exception, WrongUsageError)


@pytest.mark.parametrize(
    "content", [b"", b"kind: Pod\n", secrets("{aescbc: {keys: []}}")], ids=["empty", "pod", "no key"]
)
def test_what_the_server_refuses_is_unusable_and_named(content: bytes) -> None:
    for result in (compared(content, secrets(A)), compared(secrets(A), content)):
        assert isinstance(result.exception, UnusableInputError)
    assert "new.yaml" in str(result.exception)
    assert isinstance(run("old.yaml", "absent.yaml").exception, UnusableInputError)


def test_the_version_decides_what_can_be_read() -> None:
    old = secrets(KMS.format(version="v1", socket="a"))
    assert isinstance(compared(old, old).exception, UnusableInputError)
    assert compared(old, old, "--kubernetes-version", "1.28").exit_code == ExitCode.OK
    assert compared(old, old, "--kms-v1").exit_code == ExitCode.OK
    assert compared(old, old, "--kubernetes-version", "2").exit_code == ExitCode.USAGE


def test_no_key_shows_in_any_form(folder: Path) -> None:
    outputs = [
        result.output + repr(result.exception)
        for old, new in (
            ([A, _ID], [A2, B]),
            ([A2, A], [A, A2]),
            ([A], ["{aescbc: {keys: [{name: x, secret: AQ==}]}}"]),
        )
        for result in (compared(secrets(*old), secrets(*new)), run("old.yaml", "new.yaml", "-o", "json"))
    ]
    files = [folder / name for name in ("old.yaml", "new.yaml", "keys.yaml")]
    files[2].write_bytes(secrets(A, B, A2))
    assert leaks(key_texts(files), outputs) == []


def test_names_from_the_file_cannot_act_on_the_terminal() -> None:
    result = compared(secrets(static('"k\\e[2J"', 1)), secrets(static('"k\\e[2J"', 1), static('"l\\nm"', 2)))
    assert "\x1b" not in result.stdout
    assert "aescbc/l\\nm" in result.stdout
