"""What ssh and sudo say, told apart. The sentences are those of OpenSSH and sudo."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, UnreachableError
from keyctl.hosts.interface import HostUnreachableError
from keyctl.hosts.ssh_connection import SshConnection, _answers
from keyctl.hosts.ssh_failures import ConnectionLostError, Place, no_login, not_begun, not_done

PLACE = Place("cp1", "ssh -l ops cp1.example")

_CHANGED = b"""\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Host key for cp1.example has changed and you have requested strict checking.
Host key verification failed.
"""
_UNKNOWN = b"""\
No ED25519 host key is known for cp1.example and you have requested strict checking.\r
Host key verification failed.\r
"""


def _told(error: KeyctlError) -> str:
    return f"{error} {error.cause} {error.hints}"


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        pytest.param(_CHANGED, "its host key is not the one in the known hosts file", id="changed"),
        pytest.param(_UNKNOWN, "its host key is not known", id="unknown"),
        pytest.param(b"ops@cp1: Permission denied (publickey).\n", "does not let this user in", id="denied"),
        pytest.param(
            b"Received disconnect: Too many authentication failures\n", "does not let this user in", id="many"
        ),
        pytest.param(b"ssh: Could not resolve hostname cp1: Name or\n", "cannot be reached", id="name"),
        pytest.param(b"ssh: connect to host cp1 port 22: Connection refused\n", "cannot be reached", id="refused"),
        pytest.param(b"ssh: connect to host cp1 port 22: Connection timed out\n", "cannot be reached", id="silent"),
        pytest.param(b"kex_exchange_identification: Connection closed by\n", "cannot be reached", id="no ssh"),
        pytest.param(b"c: line 3: Bad configuration option: foo\n", "its own configuration", id="configuration"),
        pytest.param(b"something else\n", "the login failed", id="anything else"),
    ],
)
def test_a_login_that_failed_is_told_by_its_reason_and_how_to_log_in_by_hand(errors: bytes, message: str) -> None:
    error = no_login(PLACE, errors)
    assert isinstance(error, HostUnreachableError)
    assert str(error).startswith("host cp1: ")
    assert message in str(error)
    assert PLACE.login in error.hints[0]


def test_the_sentence_that_decided_is_the_cause_on_one_line() -> None:
    assert no_login(PLACE, _UNKNOWN).cause == _UNKNOWN.decode().splitlines()[0]
    assert no_login(PLACE, _CHANGED).cause == "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!"


@pytest.mark.parametrize(
    ("status", "errors", "message"),
    [
        (1, b"sudo: a password is required\n", "sudo asks for a password or refuses"),
        (1, b"sudo: a terminal is required to read the password; either\n", "sudo asks for a password or refuses"),
        (1, b"ops is not in the sudoers file.\n", "sudo asks for a password or refuses"),
        (1, b"Sorry, user ops is not allowed to execute '/bin/sh' as root on cp1.\n", "sudo asks for a password"),
        (127, b"bash: line 1: exec: sudo: not found\n", "sudo is not installed there"),
        (127, b"fish: Unknown command: sh\n", "sh is not installed there"),
        (1, b"This account is currently not available.\n", "it runs no command"),
    ],
)
def test_a_command_that_was_not_run_is_told_by_its_reason(status: int, errors: bytes, message: str) -> None:
    error = not_begun(PLACE, status, errors)
    assert isinstance(error, HostUnreachableError)
    assert message in str(error)


def test_a_connection_that_broke_is_not_an_unreachable_host() -> None:
    assert isinstance(not_begun(PLACE, 255, b"client_loop: send disconnect: Broken pipe\n"), ConnectionLostError)
    assert isinstance(not_begun(PLACE, 255, b"Connection closed by 10.0.0.1 port 22\n"), ConnectionLostError)
    assert "host key is not known" in str(not_begun(PLACE, 255, _UNKNOWN))


def test_only_words_of_the_file_system_are_quoted_of_what_a_program_says() -> None:
    error = not_done(PLACE, "/enc.yaml", "content", b"dd: AAECAwQF: No space left on device\n")
    assert error.cause == "content: No space left on device"
    assert not_done(PLACE, "/enc.yaml", "content", b"dd: AAECAwQF\n").cause == "content failed there"
    assert isinstance(error, UnreachableError)
    assert "AAECAwQF" not in _told(error)


def test_what_ssh_says_cannot_act_on_a_terminal() -> None:
    assert "\x1b" not in _told(no_login(PLACE, b"\x1b[2JPermission denied (publickey).\n"))


def test_without_a_folder_for_the_socket_the_host_is_out_of_reach_and_nothing_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(HostUnreachableError, match="cp1: there is no folder") as caught:
        SshConnection("cp1", "127.0.0.1").run("true", b"", seconds=1.0, most=1)
    assert caught.value.cause == "No space left on device"


def test_a_connection_that_takes_nobody_in_is_not_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as clients:
        server.bind(str(place))
        server.listen(0)
        assert _answers(place)
        for _ in range(3):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(place))
        answers: list[bool] = []
        asking = threading.Thread(target=lambda: answers.append(_answers(place)), daemon=True)
        asking.start()
        asking.join(20)
        assert answers == [False]
