"""Three members of one real etcd with mutual TLS on loopback, each of which can be stopped and started again."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from keyctl.etcd.tls import MutualTls
from tests.support.binaries import binary
from tests.support.etcd_process import RunningEtcd, free_port, wait_until_ready, write_client, write_secret

_STOP_SECONDS = 20


@dataclass
class Member:
    """One member. `command` starts it anew on what it has stored."""

    port: int
    data: Path
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@dataclass
class EtcdCluster:
    """Its members, the CA of all certificates, and a client's files."""

    authority: trustme.CA
    tls: MutualTls
    members: list[Member] = field(default_factory=list)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(member.url for member in self.members)

    def one(self, number: int) -> RunningEtcd:
        """A member, as helpers know an etcd."""
        member = self.members[number]
        return RunningEtcd(member.url, member.port, self.authority, self.tls, member.data, member.process.pid)

    def restart(self, number: int, stop: signal.Signals = signal.SIGTERM) -> None:
        """Stop a member with `stop`, start it again, and wait until it is ready."""
        member = self.members[number]
        member.process.send_signal(stop)
        member.process.wait(_STOP_SECONDS)
        member.process = _start(member.command, member.log)
        wait_until_ready(member.process, member.port, self.tls, member.log)


@contextlib.contextmanager
def running_cluster(folder: Path, authority: trustme.CA) -> Generator[EtcdCluster]:
    """Start three members with their files in `folder`, wait until all answer, and stop them in the end."""
    cluster = EtcdCluster(authority, write_client(folder, authority, authority))
    ports = {f"m{number}": (free_port(), free_port()) for number in range(3)}
    initial = ",".join(f"{name}=http://127.0.0.1:{peer}" for name, (_, peer) in ports.items())
    try:
        for name, (port, peer) in ports.items():
            command = _command(folder, cluster, name, port, f"http://127.0.0.1:{peer}", initial)
            log = folder / f"{name}.log"
            cluster.members.append(Member(port, folder / name, command, log, _start(command, log)))
        for member in cluster.members:
            wait_until_ready(member.process, member.port, cluster.tls, member.log)
        yield cluster
    finally:
        for member in cluster.members:
            member.process.kill()
            member.process.wait()


def _command(folder: Path, cluster: EtcdCluster, name: str, port: int, peer_url: str, initial: str) -> list[str]:
    serving = cluster.authority.issue_cert("127.0.0.1", "localhost", common_name=name)
    url = f"https://127.0.0.1:{port}"
    flags = {
        "name": name,
        "data-dir": folder / name,
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": initial,
        "client-cert-auth": "true",
        "trusted-ca-file": cluster.tls.ca,
        "cert-file": write_secret(folder / f"{name}.crt", *serving.cert_chain_pems),
        "key-file": write_secret(folder / f"{name}.key", serving.private_key_pem),
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return [str(binary("etcd")), *(f"--{flag}={value}" for flag, value in flags.items())]


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
