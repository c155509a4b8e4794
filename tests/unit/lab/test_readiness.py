from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.lab.launch import start_mark
from keyctl.lab.network import Answer, free_ports, get
from keyctl.lab.processes import ProcessId
from keyctl.lab.readiness import PortTakenError, Starting, unready_checks, wait_until_ready

KEY = "c2VjcmV0IGtleSBieXRlcw=="
CONTEXT = ssl.create_default_context()
ENDED = ProcessId(pid=1, started="an earlier start")


def starting(
    log: Path, *, process: ProcessId = ENDED, holds_keys: bool = False, text: str = f"refused: {KEY}"
) -> Starting:
    log.write_text(f"an earlier start\n{text}\n")
    (port,) = free_ports(["127.0.0.1"], 1)
    return Starting(
        name="cp1",
        process=process,
        url=f"https://127.0.0.1:{port}/readyz",
        log=log,
        log_start=len("an earlier start\n"),
        holds_keys=holds_keys,
    )


def failure(server: Starting) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        wait_until_ready([server], CONTEXT, seconds=0.2, hint="try this")
    return caught.value


@pytest.fixture
def running() -> Iterator[ProcessId]:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        yield ProcessId(child.pid, start_mark(child.pid) or "")
        child.kill()


def test_a_server_that_ended_shows_the_end_of_this_starts_log(tmp_path: Path) -> None:
    error = failure(starting(tmp_path / "log", text="bad flag"))
    assert str(error) == "cp1 ended instead of becoming ready"
    assert error.cause == "its log ends: bad flag"
    assert error.hints == ("try this",)


def test_a_server_that_is_late_shows_its_last_answer(tmp_path: Path, running: ProcessId) -> None:
    error = failure(starting(tmp_path / "log", process=running, text="waiting for etcd"))
    assert "was not ready within" in str(error)
    assert "Connection refused" in (error.cause or "")
    assert "waiting for etcd" in (error.cause or "")


@pytest.mark.parametrize("alive", [True, False])
def test_the_log_of_a_server_that_was_given_keys_is_never_shown(
    tmp_path: Path, running: ProcessId, alive: bool
) -> None:
    error = failure(starting(tmp_path / "log", process=running if alive else ENDED, holds_keys=True))
    assert KEY not in f"{error} {error.cause} {error.hints}"
    assert "is not shown" in (error.cause or "")


def test_a_taken_port_is_told_apart_so_that_another_can_be_tried(tmp_path: Path) -> None:
    text = "listen tcp 127.0.0.1:1: bind: address already in use"
    assert isinstance(failure(starting(tmp_path / "log", text=text)), PortTakenError)


def test_checks_that_failed_are_named_without_their_reasons() -> None:
    answer = Answer(500, f"[+]ping ok\n[-]informer-sync failed: {KEY}\n[-]etcd failed: withheld\nreadyz check failed")
    assert unready_checks(answer) == "not ready: informer-sync, etcd"


def test_free_ports_are_distinct_below_the_kernels_and_not_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ports = free_ports(["127.0.0.1", "127.0.0.2"], 20)
    assert len(set(ports)) == 20
    assert all(1024 < port < 32768 for port in ports)


def test_a_port_that_somebody_holds_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        held = taken.getsockname()[1]
        monkeypatch.setattr("keyctl.lab.network.LOWEST_PORT", held)
        monkeypatch.setattr("keyctl.lab.network.PORTS", 1)
        with pytest.raises(UnreachableError, match="no free port"):
            free_ports(["127.0.0.1"], 1)


def test_a_proxy_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HTTPS_PROXY", "http://127.0.0.1:9")
    (port,) = free_ports(["127.0.0.1"], 1)
    assert "refused" in get(f"https://127.0.0.1:{port}/readyz", CONTEXT).text
