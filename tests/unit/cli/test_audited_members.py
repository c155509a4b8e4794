"""`keyctl audit` with the members of etcd, with this machine's processes, and with what it must not reach."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from keyctl.audit.facts import About, Program, Unread
from keyctl.audit.live import processes
from keyctl.audit.live.probes import PortAnswers
from keyctl.audit.sources.flags import flag_settings
from keyctl.cli import audited_members, auditing, main, wiring
from keyctl.cluster_file.settings import (
    ClusterSettings,
    EtcdConnection,
    EtcdOverride,
    EtcdSettings,
    FileKeySettings,
)
from keyctl.errors import ExitCode, KeyctlError, UnreachableError, UnusableInputError
from keyctl.findings import Evidence, Location
from keyctl.pki import refusals
from keyctl.pki.probe import Target
from keyctl.pki.survey import Outcome, Survey, nothing_tried
from tests.support.etcd_process import free_port
from tests.unit.audit.given import GOOD_CONFIG
from tests.unit.cli.test_verify_files import cluster_file

MAIN, EVENTS = "https://10.0.0.1:2379", "https://10.0.0.2:4001"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def audited(capsys: pytest.CaptureFixture[str], id: str, *arguments: str) -> tuple[int, list[tuple[str, str, str]]]:
    """The exit code, and (status, evidence, message) of each finding of a check."""
    code = main.run(["audit", *arguments, "--profile", "all", "-o", "json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    return code, [(one["status"], one["evidence"]["level"], one["message"]) for one in found if one["id"] == id]


def settings(main: EtcdConnection, *others: EtcdOverride) -> ClusterSettings:
    return ClusterSettings("prod", EtcdSettings(main, overrides=others), FileKeySettings(Path("/nowhere")))


def test_a_port_that_must_not_be_reached_and_is_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port, closed = listener.getsockname()[1], free_port()
        given = ("--unreachable", f"127.0.0.1:{port}", "--unreachable", f"127.0.0.1:{closed}")
        code, found = audited(capsys, "KC-NET-002", *given)
    assert code == ExitCode.FINDINGS
    assert found == [
        ("fail", "E3", f"127.0.0.1:{port} is reached from this machine"),
        ("pass", "E3", f"127.0.0.1:{closed} refuses connections from this machine"),
    ]


def test_what_is_no_address_is_wrong_usage_before_any_cluster_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "observed", lambda *_, **__: pytest.fail("a cluster is asked"))
    assert (
        main.run(["audit", "--unreachable", "https://etcd", "--cluster", "keyctl.yaml", "--profile", "nsa"])
        == ExitCode.USAGE
    )
    assert "https://etcd is no address" in capsys.readouterr().err


def test_processes_are_looked_at_where_that_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = flag_settings([("--auto-tls", Location())], etcds=True, evidence=Evidence.E2)
    place = Location(endpoint="process etcd one")
    running = Program(About.ETCD, "etcd", place, tuple(settings), Evidence.E2)
    monkeypatch.setattr(processes, "running", lambda: iter([running]))
    _, without = audited(capsys, "KC-TLS-004")
    assert [status for status, _, _ in without] == ["unknown"]
    code, found = audited(capsys, "KC-TLS-004", "--processes")
    assert code == ExitCode.FINDINGS
    assert found == [("fail", "E2", "--auto-tls: certificates that nobody can check")]


@pytest.mark.parametrize(("names", "status"), [((), "unknown"), (("enc.yaml",), "pass")])
def test_what_a_process_reads_is_unknown_unless_that_file_was_given(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    names: tuple[str, ...],
    status: str,
) -> None:
    words = [("--encryption-provider-config=/etc/kubernetes/enc.yaml", Location())]
    place = Location(endpoint="process kube-apiserver")
    running = Program(About.API_SERVER, "kube-apiserver", place, tuple(flag_settings(words)), Evidence.E2)
    monkeypatch.setattr(processes, "running", lambda: iter([running]))
    for name in names:
        (folder / name).write_text(GOOD_CONFIG)
    _, found = audited(capsys, "KC-ENC-006", *names, "--processes")
    assert [one for one, _, _ in found] == [status]


class Silent:
    """An etcd that does not answer."""

    def status(self) -> tuple[object, ...]:
        raise UnreachableError("etcd could not be reached", cause="tcp: timed out")

    def close(self) -> None:
        pass


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, tuple[str, int, bool]]]:
    """The server name, the seconds and the place of each port that would be tried; no etcd answers."""
    found: list[tuple[str, float, tuple[str, int, bool]]] = []

    class Prober:
        def __init__(self, us: Target, timeout: float) -> None:
            self.us, self.timeout = us, timeout

        def survey(self, host: str, port: int, *, own: bool) -> Survey:
            found.append((self.us.server_name or "", self.timeout, (host, port, own)))
            return nothing_tried(Outcome.UNKNOWN, "it stays silent")

    @contextmanager
    def surveyor(us: Target, timeout: float, *, now: datetime) -> Iterator[Prober]:
        assert now.tzinfo
        yield Prober(us, timeout)

    monkeypatch.setattr(refusals, "surveyor", surveyor)
    monkeypatch.setattr(wiring, "etcd", lambda connection: Silent())
    return found


def test_the_ports_of_every_etcd_are_tried_whether_it_answers_or_not(
    tried: list[tuple[str, float, tuple[str, int, bool]]],
) -> None:
    given = EtcdConnection((MAIN,), Path("ca"), Path("crt"), Path("key"), "etcd.example")
    other = EtcdConnection((EVENTS,), Path("ca"), Path("crt"), Path("key"), timeout=timedelta(seconds=1))
    found = list(audited_members.look(settings(given, EtcdOverride(("events",), other))))
    assert tried == [
        ("etcd.example", 3.0, ("10.0.0.1", 2379, True)),
        ("", 1.0, ("10.0.0.2", 4001, True)),
    ]
    assert [type(one) for one in found] == [Unread, PortAnswers, Unread, PortAnswers]
    assert [one.location.endpoint for one in found] == [MAIN, MAIN, EVENTS, EVENTS]


def test_an_audit_of_a_cluster_asks_its_members(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ClusterSettings] = []
    seen = Unread("seen", frozenset({About.MEMBER}), Location())

    def look(settings: ClusterSettings) -> list[Unread]:
        asked.append(settings)
        return [seen]

    monkeypatch.setattr(audited_members, "look", look)
    ours = tuple(one for one in auditing._COLLECTORS if About.MEMBER in one.about)
    monkeypatch.setattr(auditing, "_COLLECTORS", ours)
    assert auditing.observed(cluster_file(folder)) == (seen,)
    assert [one.etcd.connection.endpoints for one in asked] == [("https://127.0.0.1:2379",)]


def test_without_a_ca_nothing_is_tried_and_each_endpoint_is_unread(
    tried: list[tuple[str, float, tuple[str, int, bool]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    found = list(audited_members.look(settings(EtcdConnection((MAIN, EVENTS)))))
    assert [type(one) for one in found] == [Unread, Unread]
    assert tried == []


def test_files_that_cannot_be_used_leave_the_ports_unread(
    tried: list[tuple[str, float, tuple[str, int, bool]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> KeyctlError:
        raise UnusableInputError("the TLS files of the probe cannot be read")

    monkeypatch.setattr(refusals, "surveyor", broken)
    *_, last = audited_members.look(settings(EtcdConnection((MAIN,), Path("ca"), Path("crt"), Path("key"))))
    assert isinstance(last, Unread)
    assert last.reason == "the ports of etcd were not tried: the TLS files of the probe cannot be read"
    assert last.about == {About.MEMBER}
