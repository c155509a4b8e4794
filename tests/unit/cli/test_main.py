"""The boundary: errors become lines on stderr and exit codes, and starting costs nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from keyctl.cli import main
from keyctl.errors import ExitCode, KeyctlError, RefusedError, StoppedError, UnreachableError

ROOT = Path(__file__).parents[3]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(main.cli))


def run_with(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> int:
    """Run a command that does `action`."""
    monkeypatch.setattr(main.cli, "get_command", lambda _ctx, name: click.Command(name, callback=action))
    return main.run(["trial"])


def raising(error: BaseException) -> Callable[[], object]:
    def action() -> None:
        raise error

    return action


def test_what_a_server_says_in_an_error_does_not_act_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    title = "\x1b]0;owned\x07"
    error = RefusedError(f"no{title}", cause=f"it said{title}\nand\rmore", hint=f"ask{title}")
    assert run_with(monkeypatch, raising(error)) == ExitCode.REFUSED
    told = capsys.readouterr().err
    shown = "\\x1b]0;owned\\x07"
    assert told == f"error: no{shown}\ncause: it said{shown}\n       and\n       more\nhint: ask{shown}\n"


def test_an_error_is_told_with_rule_cause_and_hints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = RefusedError("it is not safe", cause="one\ntwo", hint=("do this", "or that"), rule="R1")
    assert run_with(monkeypatch, raising(error)) == ExitCode.REFUSED
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == ("error: it is not safe [R1]\ncause: one\n       two\nhint: do this\nhint: or that\n")


@pytest.mark.parametrize("kind", [RefusedError, StoppedError, UnreachableError])
def test_each_kind_of_error_leaves_with_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[KeyctlError]
) -> None:
    assert run_with(monkeypatch, raising(kind("x"))) == kind.exit_code
    assert capsys.readouterr().err == "error: x\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_without_a_rotation_changed_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert run_with(monkeypatch, raising(error)) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_full_disk_behind_stdout_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, raising(OSError(errno.ENOSPC, "No space left on device"))) == ExitCode.BUG
    assert capsys.readouterr().err == "error: cannot write the result: No space left on device\n"


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        run_with(monkeypatch, raising(RuntimeError("a bug")))


def test_a_reader_that_has_gone_is_no_success() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [sys.executable, "-m", "keyctl", "explain", "R1"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (ExitCode.STOPPED, b"")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["show"], "belongs to the kernel keyring tool"),
        (["rotate", "--force"], "No such option"),
        (["verify-secrets", "-o", "yaml"], "'yaml' is not one of text, wide, json"),
    ],
)
def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main.run(arguments) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err


def test_no_command_has_a_verb_of_the_kernel_keyring_tool() -> None:
    assert not {path[0] for path in ALL} & main._KEYUTILS


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_on_a_line_of_its_own(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([*path, "--help"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "Example" in text
    assert "\\b" not in text
    examples = [line.strip().removeprefix("Example: ") for line in text.splitlines()]
    name = ("keyctl", *path)
    assert any(name in (tuple(line.split()[: len(name)]), _after_pipe(line, len(name))) for line in examples)


def _after_pipe(line: str, length: int) -> tuple[str, ...]:
    """The words of an example that begins inside `…(keyctl …)`, or is called by another name of ours."""
    at = line.find("keyctl ")
    return tuple(line[max(at, 0) :].replace(")", " ").split()[:length])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["verify-secrets", "--help"], ["rotate", "--help"]])
def test_help_loads_no_client_library(arguments: list[str]) -> None:
    script = (
        "import sys; from keyctl.cli import main; code = main.run(sys.argv[1:])\n"
        "heavy = {'grpc', 'etcd3', 'kubernetes', 'hvac', 'rich', 'google.protobuf'} & set(sys.modules)\n"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, check=False)
    assert ended.stderr == b""
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        ("/usr/bin/kubectl-keyctl", "kubectl keyctl"),
        ("/x/keyctl/__main__.py", "keyctl"),
        ("kube-keyctl", "kube-keyctl"),
    ],
)
def test_it_calls_itself_what_the_user_called_it(monkeypatch: pytest.MonkeyPatch, called: str, shown: str) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert main._program() == shown
