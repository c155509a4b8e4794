"""An etcd with the certificates of `certs init`: it works with kube-apiserver, and every wrong client is refused."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from keyctl.cli import main
from keyctl.cli.issued import CLIENT_FOLDER, MEMBER_FOLDER
from keyctl.errors import ExitCode
from keyctl.lab.topology import EtcdAccess
from keyctl.pki.issue import Issued, Subject, Usage, issue, new_authority, write_pair
from keyctl.pki.presented import presented
from keyctl.pki.probe import ProbeResult, Stage, Target, probe
from keyctl.pki.refusals import surveyor
from keyctl.pki.survey import Attempt, Outcome
from tests.support.binaries import binary
from tests.support.etcd_process import free_port
from tests.support.plane import control_planes
from tests.support.raw_etcd import heads_of

pytestmark = pytest.mark.live

HOST = "127.0.0.1"
TIMEOUT = 5.0
READY_SECONDS = 30.0
DAY = timedelta(days=1)


@dataclass
class Etcd:
    """Members that run with the files and flags of `certs init`."""

    pki: Path
    clients: list[int]
    peers: list[int]

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(f"https://{HOST}:{port}" for port in self.clients)

    def client(self, name: str = "kube-apiserver") -> tuple[Path, Path]:
        folder = self.pki / "clients" / name
        return folder / "client.crt", folder / "client.key"

    def member(self, stem: str) -> tuple[Path, Path]:
        folder = self.pki / "members" / "m1"
        return folder / f"{stem}.crt", folder / f"{stem}.key"

    def knock(self, pair: tuple[Path, Path] | None, *, peer: bool = False) -> ProbeResult:
        """What the client port, or the peer port, of the first member makes of somebody with this pair."""
        # A server is checked by the CA of its own kind, so that whatever fails is the client's.
        apart = (self.pki / "peer-ca.crt").exists()
        ca = self.pki / ("peer-ca.crt" if peer and apart else "ca.crt")
        port = (self.peers if peer else self.clients)[0]
        cert, key = pair or (None, None)
        return probe(Target(HOST, port, ca, cert, key), TIMEOUT)


def flags_of(pki: Path, members: int, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, list[str]]:
    """Make the directory, and return the flags that go with it."""
    words = ["certs", "init", str(pki), "--client", "kube-apiserver", "--print-flags", "-o", "json", *more]
    for number in range(1, members + 1):
        words += ["--member", f"m{number}={HOST}"]
    assert main.run(words) == ExitCode.OK
    flags: dict[str, list[str]] = json.loads(capsys.readouterr().out)["flags"]
    return flags


@contextlib.contextmanager
def running(folder: Path, flags: dict[str, list[str]], members: int) -> Generator[Etcd]:
    """Start the members on `folder`/pki, wait until each is healthy, and stop them in the end."""
    etcd = Etcd(folder / "pki", [free_port() for _ in range(members)], [free_port() for _ in range(members)])
    initial = ",".join(f"m{number}=https://{HOST}:{port}" for number, port in enumerate(etcd.peers, 1))
    processes = []
    try:
        for number, (client, peer) in enumerate(zip(etcd.clients, etcd.peers, strict=True), 1):
            place = str(etcd.pki / "members" / f"m{number}")
            command = [
                *(str(binary("etcd")), f"--name=m{number}", f"--data-dir={folder / f'data{number}'}"),
                *(f"--{kind}-client-urls=https://{HOST}:{client}" for kind in ("listen", "advertise")),
                *(f"--listen-peer-urls=https://{HOST}:{peer}", f"--initial-advertise-peer-urls=https://{HOST}:{peer}"),
                *(f"--initial-cluster={initial}", "--log-level=warn", "--unsafe-no-fsync"),
                *(flag.replace(MEMBER_FOLDER, place) for flag in flags["etcd"]),
            ]
            with (folder / f"m{number}.log").open("wb") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        deadline = time.monotonic() + READY_SECONDS
        while not all(healthy(etcd, url) for url in etcd.urls):
            assert time.monotonic() < deadline, (folder / "m1.log").read_text()[-2000:]
            time.sleep(0.2)
        yield etcd
    finally:
        for process in processes:
            process.kill()
            process.wait()


def etcdctl(etcd: Etcd, *words: str, url: str = "") -> subprocess.CompletedProcess[bytes]:
    cert, key = etcd.client()
    access = [f"--endpoints={url or etcd.urls[0]}", f"--cacert={etcd.pki / 'ca.crt'}", f"--cert={cert}", f"--key={key}"]
    return subprocess.run([binary("etcdctl"), *access, *words], capture_output=True, timeout=30, check=False)


def healthy(etcd: Etcd, url: str) -> bool:
    return etcdctl(etcd, "endpoint", "health", "--command-timeout=2s", url=url).returncode == 0


def signed_by(etcd: Etcd, stem: str, usage: Usage, *, now: datetime, address: str = HOST) -> Issued:
    """A certificate of one of etcd's own CAs, good for a day from `now` on."""
    ca = Issued((etcd.pki / f"{stem}.crt").read_bytes(), (etcd.pki / f"{stem}.key").read_bytes())
    subject = Subject("somebody", usage, addresses=(address,) if usage is not Usage.CLIENT else ())
    return issue(ca, subject, now=now, lifetime=DAY)


def test_three_members_and_an_api_server_work_and_every_wrong_client_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = flags_of(tmp_path / "pki", 3, capsys)
    with running(tmp_path, flags, 3) as etcd:
        assert main.run(["certs", "check", str(etcd.pki)]) == ExitCode.OK
        refuses(etcd, tmp_path)
        every_port_refuses_every_stranger(etcd)
        works_with_an_api_server(etcd, tmp_path, flags["kube-apiserver"])


def refuses(etcd: Etcd, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    foreign_ca = new_authority("etcd-ca", now=now, lifetime=2 * DAY)
    wrong = {
        "foreign": issue(foreign_ca, Subject("kube-apiserver", Usage.CLIENT), now=now, lifetime=DAY),
        "expired": signed_by(etcd, "ca", Usage.CLIENT, now=now - 2 * DAY),
        "an expired peer": signed_by(etcd, "peer-ca", Usage.PEER, now=now - 2 * DAY),
        "only a server": signed_by(etcd, "ca", Usage.SERVER, now=now),
        "a peer of another address": signed_by(etcd, "peer-ca", Usage.PEER, now=now, address="10.9.9.9"),
    }
    pairs = {name: write_pair(tmp_path, name, issued) for name, issued in wrong.items()} | {
        "a peer": etcd.member("peer"),
        "a member's server": etcd.member("server"),
    }
    assert etcd.knock(etcd.client()).ok
    assert etcd.knock(etcd.member("peer"), peer=True).ok
    answers = {name: etcd.knock(pair) for name, pair in pairs.items()} | {"none": etcd.knock(None)}
    answers |= {
        "a client, to the peer port": etcd.knock(etcd.client(), peer=True),
        "a server, to the peer port": etcd.knock(etcd.member("server"), peer=True),
        "none, to the peer port": etcd.knock(None, peer=True),
        "foreign, to the peer port": etcd.knock(pairs["foreign"], peer=True),
        "a peer of another address": etcd.knock(pairs["a peer of another address"], peer=True),
        "an expired peer": etcd.knock(pairs["an expired peer"], peer=True),
    }
    assert {(one.stage, one.ok) for one in answers.values()} == {(Stage.TLS_CLIENT, False)}
    assert {name: one.cause.partition(";")[0].partition(":")[0] for name, one in answers.items()} == {
        "foreign": 'TLS alert "unknown ca"',
        "expired": 'TLS alert "certificate expired"',
        "only a server": 'TLS alert "bad certificate"',
        "a member's server": 'TLS alert "bad certificate"',
        "a peer": 'TLS alert "unknown ca"',
        "none": 'TLS alert "certificate required"',
        "a client, to the peer port": 'TLS alert "unknown ca"',
        "a server, to the peer port": 'TLS alert "unknown ca"',
        "foreign, to the peer port": 'TLS alert "unknown ca"',
        "an expired peer": 'TLS alert "certificate expired"',
        "none, to the peer port": 'TLS alert "certificate required"',
        # After the handshake, and without a word: the addresses that it names are compared with where it comes from.
        "a peer of another address": "the server closed the connection after the TLS handshake",
    }


def every_port_refuses_every_stranger(etcd: Etcd) -> None:
    """What `audit` and `doctor` find at each port of each member, and expired certificates of its own CAs, too."""
    cert, key = etcd.client()
    us = Target("", 0, etcd.pki / "ca.crt", cert, key)
    for stem, ports, own in (("ca", etcd.clients, Outcome.ACCEPTED), ("peer-ca", etcd.peers, Outcome.NOT_TRIED)):
        authority = Issued((etcd.pki / f"{stem}.crt").read_bytes(), (etcd.pki / f"{stem}.key").read_bytes())
        with surveyor(us, TIMEOUT, now=datetime.now(UTC), authority=authority) as prober:
            for port in ports:
                found = prober.survey(HOST, port, own=own is Outcome.ACCEPTED)
                outcomes = {one.attempt: one.outcome for one in found.answers}
                assert outcomes.pop(Attempt.OWN) is own, found
                assert set(outcomes.values()) == {Outcome.REFUSED}, found
                assert (found.is_for_us, found.protocol) == (True, "TLSv1.3")
    peer = etcd.member("peer")
    for port in etcd.clients:
        assert 'TLS alert "unknown ca"' in probe(Target(HOST, port, etcd.pki / "ca.crt", *peer), TIMEOUT).cause


def works_with_an_api_server(etcd: Etcd, tmp_path: Path, flags: list[str]) -> None:
    place = str(etcd.pki / "clients" / "kube-apiserver")
    given = dict(flag.replace(CLIENT_FOLDER, place).removeprefix("--").split("=", 1) for flag in flags)
    access = EtcdAccess(etcd.urls, given["etcd-cafile"], given["etcd-certfile"], given["etcd-keyfile"])
    with control_planes(access, tmp_path) as start:
        lab = start(1)
        words = ["create", "secret", "generic", "one", "--from-literal=a=b", "--kubeconfig", str(lab.layout.kubeconfig)]
        subprocess.run([binary("kubectl"), *words], check=True, capture_output=True, timeout=60)
        assert heads_of(lab, "secrets") == {b"k8s\x00"}


def test_with_one_ca_usages_alone_keep_no_peer_from_the_client_port_and_no_client_from_the_peer_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, flags_of(tmp_path / "pki", 1, capsys, "--one-ca"), 1) as etcd:
        assert etcd.knock(etcd.member("peer")).ok
        assert etcd.knock(etcd.client(), peer=True).ok
        # What usages do forbid: a server's certificate may not ask.
        assert (etcd.knock(etcd.member("server")).stage, etcd.knock(None).stage) == (Stage.TLS_CLIENT,) * 2


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_etcd_works_with_each_kind_of_key(tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str) -> None:
    with running(tmp_path, flags_of(tmp_path / "pki", 1, capsys, "--algorithm", algorithm), 1) as etcd:
        assert etcdctl(etcd, "put", "a", "b").returncode == 0
        assert etcd.knock(etcd.client()).ok
        assert not etcd.knock(etcd.member("peer")).ok


def test_a_member_serves_a_renewed_certificate_from_the_next_handshake_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, flags_of(tmp_path / "pki", 1, capsys), 1) as etcd:
        before = presented(HOST, etcd.clients[0], TIMEOUT)
        assert main.run(["certs", "renew", str(etcd.pki), "--member", "m1", "--yes"]) == ExitCode.OK
        after = presented(HOST, etcd.clients[0], TIMEOUT)
        assert before is not None
        assert after is not None
        assert before.serial != after.serial
        assert etcd.knock(etcd.client()).ok


def test_etcds_own_gateway_needs_a_clients_certificate_and_nothing_else_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = flags_of(tmp_path / "pki", 1, capsys)
    with running(tmp_path, flags, 1) as etcd:
        assert gateway(etcd) == HTTPStatus.SERVICE_UNAVAILABLE
        assert healthy(etcd, etcd.urls[0])
        cert, key = etcd.client()
    flags["etcd"] += [f"--client-cert-file={cert}", f"--client-key-file={key}"]
    with running(tmp_path, flags, 1) as etcd:
        assert gateway(etcd) == HTTPStatus.OK


def gateway(etcd: Etcd) -> int:
    """What a read by way of etcd's JSON gateway answers."""
    context = ssl.create_default_context(cafile=str(etcd.pki / "ca.crt"))
    context.load_cert_chain(*etcd.client())
    connection = http.client.HTTPSConnection(HOST, etcd.clients[0], context=context, timeout=TIMEOUT)
    with contextlib.closing(connection):
        connection.request("POST", "/v3/kv/range", json.dumps({"key": "YQ=="}))
        return connection.getresponse().status
