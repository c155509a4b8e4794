"""A real etcd with mutual TLS on loopback, for live tests, and the certificates to reach it."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import trustme

from keyctl.etcd.tls import MutualTls
from tests.support.binaries import binary

_START_SECONDS = 20.0


def write_secret(path: Path, *blobs: trustme.Blob) -> Path:
    """Write PEM to `path`, readable by its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for blob in blobs:
            file.write(blob.bytes())
    return path


def write_client(folder: Path, signer: trustme.CA, trusted: trustme.CA, name: str = "client") -> MutualTls:
    """A client pair signed by `signer` and a CA file that trusts `trusted`, as files in `folder`."""
    pair = signer.issue_cert(f"{name}.test", common_name=name)
    return MutualTls(
        ca=write_secret(folder / f"{name}-ca.crt", trusted.cert_pem),
        cert=write_secret(folder / f"{name}.crt", *pair.cert_chain_pems),
        key=write_secret(folder / f"{name}.key", pair.private_key_pem),
    )


@dataclass(frozen=True, slots=True)
class RunningEtcd:
    """Where it answers, the CA that signed its certificate, a client's files, and where its data lies."""

    url: str
    port: int
    authority: trustme.CA
    tls: MutualTls
    data: Path
    pid: int

    def etcdctl(self, *arguments: str, user: str | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run etcdctl against it. Raises `CalledProcessError` on failure."""
        return subprocess.run(
            [binary("etcdctl"), *self.flags(), *(("--user", user) if user else ()), *arguments],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def flags(self) -> tuple[str, ...]:
        """etcdctl's connection flags."""
        tls = self.tls
        return (f"--endpoints={self.url}", f"--cacert={tls.ca}", f"--cert={tls.cert}", f"--key={tls.key}")


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, below the range the kernel hands out."""
    for _ in range(100):
        port = SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise RuntimeError(f"no free port on {host}")


@contextlib.contextmanager
def running_etcd(
    folder: Path, authority: trustme.CA, *flags: str, program: Path | None = None
) -> Generator[RunningEtcd]:
    """Start etcd (the lab's, or `program`), its files in `folder`, wait until it answers, and stop it in the end."""
    program = program or binary("etcd")
    serving = authority.issue_cert("127.0.0.1", "localhost", common_name="etcd")
    port, peer_port = free_port(), free_port()
    url, peer_url, data = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}", folder / "data"
    tls = write_client(folder, authority, authority)
    arguments = {
        "name": "one",
        "data-dir": data,
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"one={peer_url}",
        "client-cert-auth": "true",
        "trusted-ca-file": tls.ca,
        "cert-file": write_secret(folder / "server.crt", *serving.cert_chain_pems),
        "key-file": write_secret(folder / "server.key", serving.private_key_pem),
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    log = folder / "etcd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *(f"--{name}={value}" for name, value in arguments.items()), *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_ready(process, port, tls, log)
        yield RunningEtcd(url, port, authority, tls, data, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int, tls: MutualTls, log: Path) -> None:
    """Return once the etcd on `port` is healthy. Raises `RuntimeError` when it ends, or takes too long."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tls.ca)
    context.load_cert_chain(tls.cert, tls.key)
    deadline, answer = time.monotonic() + _START_SECONDS, b""
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=1) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            secured.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            answer = secured.recv(4096)
            if b" 200 " in answer:
                return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"etcd did not become ready (exit {process.poll()}, last answer {answer!r}):\n{tail}")
