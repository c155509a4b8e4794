"""A lab's API server and etcd made right in all that is audited, and what stands on their host, from what really runs.

Flags are those of the lab's own processes, contents and modes those of its own files; only the places become those
that a host has. Other people's processes are never looked at.
"""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import yaml

from keyctl.keys.generate import generate
from keyctl.keys.key import Key, Provider
from keyctl.lab import versions
from keyctl.lab.kubelet import READY_SECONDS, admin_credentials
from keyctl.lab.network import Credentials
from keyctl.lab.plane import Lab
from keyctl.lab.processes import Program, start, stop
from keyctl.lab.readiness import Starting, wait_until_ready
from keyctl.lab.versions import KUBERNETES_VERSIONS
from tests.support.host_files import CONFIG, DATA, DATABASE, ETCD, LOG, PKI, POLICY, SERVER, HostFiles, Stored

NAME = "cp1"
_POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"
_CONFIG = """\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - name: {name}
        secret: {secret}
"""
_LOG_FLAGS = ("--audit-log-maxage=30", "--audit-log-maxbackup=10", "--audit-log-maxsize=100")
# Enough of a database to tell that it is one.
_HEAD = 4096


def secure(lab: Lab) -> Key:
    """Encryption without plaintext, and an audit log, as somebody would add them to the manifest; the key."""
    key = generate(Provider.SECRETBOX, now=datetime.now(UTC))
    content = _CONFIG.format(name=key.name, secret=base64.b64encode(key.material).decode())
    place = lab.layout.server(NAME)
    _private(place.encryption_config, content.encode())
    _private(_policy(lab), _POLICY.encode())
    log = _log(lab)
    log.parent.mkdir(mode=0o700)
    document = yaml.safe_load(place.manifest.read_text())
    container = document["spec"]["containers"][0]
    container["command"] += [
        f"--encryption-provider-config={place.encryption_config}",
        f"--audit-policy-file={_policy(lab)}",
        f"--audit-log-path={log}",
        *_LOG_FLAGS,
    ]
    for folder, read_only in ((place.encryption_config.parent, True), (_policy(lab).parent, True), (log.parent, False)):
        container["volumeMounts"].append({"name": folder.name, "mountPath": str(folder), "readOnly": read_only})
        document["spec"]["volumes"].append({"name": folder.name, "hostPath": {"path": str(folder)}})
    place.manifest.write_text(yaml.safe_dump(document, sort_keys=False))
    lab.restart(NAME)
    return key


def host_of(lab: Lab) -> HostFiles:
    """What stands on the host of the lab's one server and one member."""
    (member,) = lab.topology.members
    places = _places(lab)
    files = {inside: _stored(outside) for outside, inside in places.items()}
    data = lab.layout.member(member.name).data
    files[DATABASE] = _stored(data / "member" / "snap" / "db")
    names = {str(outside): inside for outside, inside in (*places.items(), (data, DATA))}
    commands = {SERVER: _words(lab, NAME, names), ETCD: _words(lab, member.name, names)}
    images = {SERVER: f"v{KUBERNETES_VERSIONS[lab.topology.settings.kubernetes]}", ETCD: f"{versions.ETCD.version}-0"}
    return HostFiles(commands, images, files, data_mode=stat.S_IMODE(data.stat().st_mode))


@contextmanager
def etcd_told(lab: Lab, *flags: str) -> Iterator[None]:
    """The lab's etcd with these flags behind its own; in the end it is as before."""
    (member,) = lab.topology.members
    words = _cmdline(lab, member.name)
    _start_again(lab, (*words, *flags))
    try:
        yield
    finally:
        _start_again(lab, words)


def _start_again(lab: Lab, words: tuple[str, ...]) -> None:
    (member,) = lab.topology.members
    process, log = lab.process(member.name), lab.layout.member(member.name).log
    assert process is not None
    # At once: it would wait for the API server's watches, and what it has promised is on its disk.
    stop(process)
    begun = log.stat().st_size
    command = (lab.topology.binaries["etcd"], *words[1:])
    started = start(Program(command=command, record=lab.layout.record(member.name), log=log))
    etcd, server = lab.etcd, lab.topology.server(NAME)
    context = Credentials(Path(etcd.cacert), Path(etcd.cert), Path(etcd.key)).context()
    ready = Starting(member.name, started, f"{member.client_url}/readyz", log, begun, holds_keys=False)
    wait_until_ready([ready], context, seconds=READY_SECONDS, hint="look at the log of etcd")
    # Until the API server has its storage back.
    above, place = lab.process(NAME), lab.layout.server(NAME)
    assert above is not None
    ready = Starting(NAME, above, f"{server.url}/readyz", place.log, 0, holds_keys=True)
    wait_until_ready([ready], admin_credentials(lab.layout).context(), seconds=READY_SECONDS, hint="look at its log")


def _places(lab: Lab) -> dict[Path, str]:
    """Where each file of the lab stands on a host."""
    (member,) = lab.topology.members
    shared, server, own = lab.layout.pki, lab.layout.server(NAME), lab.layout.member(member.name)
    pairs = {
        shared / "etcd-client": f"{PKI}/apiserver-etcd-client",
        server.pki / "apiserver": f"{PKI}/apiserver",
        own.pki / "server": f"{PKI}/etcd/server",
        own.pki / "peer": f"{PKI}/etcd/peer",
    }
    return {
        shared / "ca.crt": f"{PKI}/ca.crt",
        shared / "etcd-ca.crt": f"{PKI}/etcd/ca.crt",
        shared / "sa.key": f"{PKI}/sa.key",
        shared / "sa.pub": f"{PKI}/sa.pub",
        server.encryption_config: CONFIG,
        _policy(lab): POLICY,
        _log(lab): LOG,
        **{Path(f"{lay}.{end}"): f"{stem}.{end}" for lay, stem in pairs.items() for end in ("crt", "key")},
    }


def _policy(lab: Lab) -> Path:
    return lab.layout.server(NAME).directory / "audit" / "policy.yaml"


def _log(lab: Lab) -> Path:
    return lab.layout.server(NAME).directory / "log" / "audit.log"


def _private(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def _stored(path: Path) -> Stored:
    with path.open("rb") as file:
        content = file.read(_HEAD) if path.name == "db" else file.read()
    return Stored(content, stat.S_IMODE(path.stat().st_mode))


def _words(lab: Lab, process: str, names: dict[str, str]) -> tuple[str, ...]:
    """The words that a process of the lab was started with, with the places of a host."""
    words = (word.partition("=") for word in _cmdline(lab, process))
    placed = tuple(f"{name}{equals}{names.get(value, value)}" for name, equals, value in words)
    return (Path(placed[0]).name, *placed[1:])


def _cmdline(lab: Lab, name: str) -> tuple[str, ...]:
    process = lab.process(name)
    assert process is not None
    assert process.alive()
    line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    return tuple(word.decode() for word in line.removesuffix(b"\0").split(b"\0"))
