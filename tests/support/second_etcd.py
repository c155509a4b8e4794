"""A second etcd beside a lab's own, for resources that `--etcd-servers-overrides` keeps elsewhere."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from keyctl.lab.network import Credentials, get
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support.binaries import binary
from tests.support.etcd_process import free_port

_START_SECONDS = 20.0


@contextlib.contextmanager
def second_etcd(first: EtcdAccess, folder: Path) -> Iterator[EtcdAccess]:
    """An etcd with its data in `folder`, on the address and with the certificates of a lab's one member `first`."""
    host, authority = str(urlsplit(first.endpoints[0]).hostname), Path(first.cacert)
    (pki,) = authority.parent.parent.glob("etcd*/pki")
    url, peer = f"https://{host}:{free_port(host)}", f"http://{host}:{free_port(host)}"
    flags = {
        "name": "second",
        "data-dir": folder / "second-etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"second={peer}",
        "client-cert-auth": "true",
        "trusted-ca-file": authority,
        "cert-file": pki / "server.crt",
        "key-file": pki / "server.key",
        "log-level": "warn",
    }
    command = [str(binary("etcd")), *(f"--{name}={value}" for name, value in flags.items())]
    with (folder / "second-etcd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    access = replace(first, endpoints=(url,))
    try:
        _wait_until_ready(process, access)
        yield access
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def seen_from(lab: Lab, etcd: EtcdAccess) -> Lab:
    """The same lab for who looks at raw values: with `etcd` as its etcd."""
    return replace(lab, topology=replace(lab.topology, etcd=etcd))


def _wait_until_ready(process: subprocess.Popen[bytes], access: EtcdAccess) -> None:
    context = Credentials(Path(access.cacert), Path(access.cert), Path(access.key)).context()
    deadline = time.monotonic() + _START_SECONDS
    while (answer := get(f"{access.endpoints[0]}/readyz", context)).status != HTTPStatus.OK:
        assert process.poll() is None, "the second etcd ended instead of becoming ready"
        assert time.monotonic() < deadline, f"the second etcd is not ready: {answer}"
        time.sleep(0.1)
