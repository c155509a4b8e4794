"""Three members of a real etcd on the folders of `certs init`, each on a host of its own, restarted by a command.

The members' files, their records and the cluster file are below one directory. What runs is stopped by its record.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import yaml

from keyctl.lab.plane import Lab
from keyctl.lab.processes import ProcessId, stop
from keyctl.lab.topology import EtcdAccess
from keyctl.pki.authority import Terms, create
from keyctl.pki.flags import etcd_flags, words
from keyctl.pki.generation import Port
from keyctl.pki.layout import Layout
from keyctl.pki.parties import Client, Member
from keyctl.pki.probe import Target, probe
from tests.support import restarted_member
from tests.support.binaries import binary
from tests.support.etcd_process import free_port

HOST = "127.0.0.1"
READY_SECONDS = 60.0
_LIFE = timedelta(days=90)


@dataclass(frozen=True)
class RolledEtcd:
    """`pki` is the directory of the certificates; `folder(name)` is what a member or client has on its host."""

    root: Path
    pki: Path
    ports: dict[str, dict[Port, int]]
    one_ca: bool

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(f"https://{HOST}:{ports[Port.CLIENT]}" for ports in self.ports.values())

    def folder(self, name: str) -> Path:
        return self.root / "hosts" / name

    def record(self, name: str) -> Path:
        return self.root / f"{name}.json"

    def access(self, client: str) -> EtcdAccess:
        """How an API server with the folder of `client` on its host reaches it."""
        place = self.folder(client)
        return EtcdAccess(self.urls, *(str(place / name) for name in ("ca.crt", "client.crt", "client.key")))

    def cluster_file(self, lab: Lab | None = None, clients: Mapping[str, str] | None = None) -> Path:
        """One with the members and the API servers of `lab`, each with the client whose folder it has."""
        keyctl = self.root / "keyctl-host"
        document: dict[str, object] = {
            "apiVersion": "keyctl/v1",
            "kind": "Cluster",
            "name": f"rolled-{self.root.name}",
            "etcd": {
                "endpoints": list(self.urls),
                "cacert": str(keyctl / "ca.crt"),
                "cert": str(keyctl / "client.crt"),
                "key": str(keyctl / "client.key"),
                "members": [self._member(name) for name in self.ports],
            },
            "keys": {"store": "file", "directory": "keys"},
        }
        if lab is not None and clients is not None:
            known = yaml.safe_load(lab.cluster_file.read_text())["apiServers"]
            document["kubernetes"] = {"kubeconfig": str(lab.layout.kubeconfig)}
            document["apiServers"] = [self._server(server, clients[server["name"]]) for server in known]
        path = self.root / "keyctl.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def _member(self, name: str) -> dict[str, object]:
        ports = self.ports[name]
        command = [sys.executable, restarted_member.__file__, str(self.root), name]
        return {
            "name": name,
            "endpoint": f"https://{HOST}:{ports[Port.CLIENT]}",
            "certificates": {
                "folder": str(self.folder(name)),
                "peer": f"https://{HOST}:{ports[Port.PEER]}",
                "restart": {"command": command, "wait": "60s"},
            },
        }

    def _server(self, known: dict[str, object], client: str) -> dict[str, object]:
        return {**known, "certificates": {"folder": str(self.folder(client)), "client": client}}


@contextlib.contextmanager
def rolled_etcd(root: Path, clients: Sequence[str], *, members: int = 3, one_ca: bool = False) -> Generator[RolledEtcd]:
    """Make the directory, give everybody their folders, start the members, and stop them in the end."""
    names = [f"m{number}" for number in range(1, members + 1)]
    etcd = RolledEtcd(root, root / "pki", {name: {port: free_port() for port in Port} for name in names}, one_ca)
    terms = Terms(datetime.now(UTC), _LIFE)
    parties = [Member(name, (HOST,)) for name in names], [Client(name) for name in (*clients, "keyctl-host")]
    layout = create(etcd.pki, *parties, terms, ca_lifetime=2 * _LIFE, one_ca=one_ca)
    (root / "hosts").mkdir()
    for name in names:
        shutil.copytree(layout.member(name), etcd.folder(name))
        (root / f"{name}.command").write_text(json.dumps(_command(etcd, name)))
    for name in clients:
        shutil.copytree(layout.client(name), etcd.folder(name))
    shutil.copytree(layout.client("keyctl-host"), root / "keyctl-host")
    try:
        for name in names:
            restarted_member.restart(root, name)
        _await_ready(etcd)
        yield etcd
    finally:
        for name in names:
            process = ProcessId.read(etcd.record(name))
            if process is not None:
                stop(process)


def _command(etcd: RolledEtcd, name: str) -> list[str]:
    client, peer = etcd.ports[name][Port.CLIENT], etcd.ports[name][Port.PEER]
    initial = ",".join(f"{one}=https://{HOST}:{ports[Port.PEER]}" for one, ports in etcd.ports.items())
    return [
        *(str(binary("etcd")), f"--name={name}", f"--data-dir={etcd.root / name}"),
        *(f"--{kind}-client-urls=https://{HOST}:{client}" for kind in ("listen", "advertise")),
        *(f"--listen-peer-urls=https://{HOST}:{peer}", f"--initial-advertise-peer-urls=https://{HOST}:{peer}"),
        *(f"--initial-cluster={initial}", "--log-level=warn", "--unsafe-no-fsync"),
        *words(etcd_flags(PurePosixPath(etcd.folder(name)), one_ca=etcd.one_ca)),
    ]


def _await_ready(etcd: RolledEtcd) -> None:
    layout, deadline = Layout(etcd.pki), time.monotonic() + READY_SECONDS
    pair = layout.client("keyctl-host") / "client.crt", layout.client("keyctl-host") / "client.key"
    for name, ports in etcd.ports.items():
        target = Target(HOST, ports[Port.CLIENT], layout.certificate("ca"), *pair)
        while not probe(target, 5.0).ok:
            assert time.monotonic() < deadline, (etcd.root / f"{name}.log").read_text()[-2000:]
            time.sleep(0.2)
