"""What the ports of a member answer; run on the fake and on a real etcd."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from keyctl.keys.private_files import sync_directory
from keyctl.lab.processes import ProcessId, stop
from keyctl.pki.authority import Terms, create
from keyctl.pki.doorway import Address, ports
from keyctl.pki.generation import Generation, Port, Ports
from keyctl.pki.generations import next_of, prepare
from keyctl.pki.inspect import load_certificates
from keyctl.pki.layout import Layout
from keyctl.pki.parties import Client, Member
from keyctl.renewing.plan import Kind, Party
from tests.support import restarted_member
from tests.support.rolled_etcd import HOST, RolledEtcd, rolled_etcd
from tests.support.tls_site import FOLDER, FakePorts, FakeSite

M1 = Party(Kind.MEMBER, "m1")
_LIFE = timedelta(days=2)


class _Scene(Protocol):
    """A member m1, and what is done to it; `old` and `new` are its folders in the directory."""

    ports: Ports
    old: Path
    new: Path

    def write(self, name: str, content: bytes) -> None: ...
    def restart(self) -> None: ...
    def end(self) -> None: ...


class _Fake:
    def __init__(self, old: Layout, new: Layout) -> None:
        site = FakeSite.of(old, new, ["m1"], [])
        self._one = site.parties[M1]
        self.ports: Ports = FakePorts(site)
        self.old, self.new = old.member("m1"), new.member("m1")

    def write(self, name: str, content: bytes) -> None:
        self._one.host.place(f"{FOLDER}/{name}", content)

    def restart(self) -> None:
        self._one.restart()

    def end(self) -> None:
        self._one.down = True


class _Real:
    def __init__(self, etcd: RolledEtcd, asked: Ports) -> None:
        self._etcd, self.ports = etcd, asked
        self.old, self.new = Layout(etcd.pki).member("m1"), next_of(etcd.pki).member("m1")

    def write(self, name: str, content: bytes) -> None:
        draft = self._etcd.root / "draft"
        draft.write_bytes(content)
        draft.replace(self._etcd.folder("m1") / name)
        sync_directory(self._etcd.folder("m1"))

    def restart(self) -> None:
        restarted_member.restart(self._etcd.root, "m1")

    def end(self) -> None:
        process = ProcessId.read(self._etcd.record("m1"))
        assert process is not None
        stop(process)


@contextmanager
def _fake(folder: Path) -> Iterator[_Scene]:
    terms, parties = Terms(datetime.now(UTC), _LIFE), ([Member("m1", (HOST,))], [Client("kube-apiserver")])
    old = create(folder / "pki", *parties, terms, ca_lifetime=2 * _LIFE, one_ca=False)
    yield _Fake(old, prepare(old.root, terms, ca_lifetime=2 * _LIFE))


@contextmanager
def _real(folder: Path) -> Iterator[_Scene]:
    with rolled_etcd(folder, (), members=1) as etcd:
        terms = Terms(datetime.now(UTC), _LIFE)
        new = prepare(etcd.pki, terms, ca_lifetime=2 * _LIFE)
        addresses = {("m1", port): Address(HOST, number) for port, number in etcd.ports["m1"].items()}
        layouts = {Generation.OLD: Layout(etcd.pki), Generation.NEW: new}
        with ports(layouts, addresses, terms.now) as asked:
            yield _Real(etcd, asked)


@pytest.fixture(params=[_fake, pytest.param(_real, marks=pytest.mark.live)], ids=["fake", "etcd"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Scene]:
    with request.param(tmp_path) as made:
        yield made


def until_ready(scene: _Scene) -> None:
    """A member that was just started takes a while; one that never comes is for the test's own end to say."""
    deadline = time.monotonic() + 60
    while not scene.ports.ready("m1") and time.monotonic() < deadline:
        time.sleep(0.2)


def lets_in(scene: _Scene) -> list[tuple[bool | None, bool | None]]:
    """Of each port, whether the old generation and the new one are let in."""
    old, new = Generation
    return [(scene.ports.lets_in("m1", port, old), scene.ports.lets_in("m1", port, new)) for port in Port]


def serial(path: Path) -> int:
    return load_certificates(path)[0].serial


def test_a_ca_counts_from_the_next_start_on_and_a_pair_from_the_next_handshake_on(scene: _Scene) -> None:
    old_alone, both = [(True, False)] * 2, [(True, True)] * 2
    until_ready(scene)
    assert lets_in(scene) == old_alone
    for name in ("ca.crt", "peer-ca.crt"):
        scene.write(name, (scene.old / name).read_bytes() + (scene.new / name).read_bytes())
    assert lets_in(scene) == old_alone
    scene.restart()
    until_ready(scene)
    assert lets_in(scene) == both
    assert scene.ports.shown("m1", Port.CLIENT) == serial(scene.old / "server.crt")
    for name in ("server.key", "server.crt", "peer.key", "peer.crt"):
        scene.write(name, (scene.new / name).read_bytes())
    assert scene.ports.shown("m1", Port.CLIENT) == serial(scene.new / "server.crt")
    assert scene.ports.shown("m1", Port.PEER) == serial(scene.new / "peer.crt")
    assert scene.ports.ready("m1")


def test_a_key_beside_another_certificate_and_a_member_that_is_gone_are_no_answer(scene: _Scene) -> None:
    until_ready(scene)
    assert scene.ports.ready("m1")
    scene.write("server.key", (scene.new / "server.key").read_bytes())
    assert scene.ports.shown("m1", Port.CLIENT) is None
    assert scene.ports.lets_in("m1", Port.CLIENT, Generation.OLD) is None
    assert not scene.ports.ready("m1")
    scene.write("server.key", (scene.old / "server.key").read_bytes())
    assert scene.ports.ready("m1")
    scene.end()
    assert lets_in(scene) == [(None, None)] * 2
    assert scene.ports.shown("m1", Port.PEER) is None
    assert not scene.ports.ready("m1")
