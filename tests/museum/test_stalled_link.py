"""Writes that hang in a stalled link to etcd while their server changes its key: not one of them is ever lost.

This is how removing a key loses Secrets: a write that was sealed under the old
key lands after everybody has reported the new file. Two ways lead there. The
server lives and its link stalls; or it dies, and what it had sent is delivered late.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.network import get
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support import seal
from tests.support.held_writes import HeldWrites
from tests.support.plane import ControlPlanes
from tests.support.raw_etcd import heads_of
from tests.support.seeded import Seeded, seed
from tests.support.server_flags import encrypt_by_hand, limit_requests, set_flags
from tests.support.shell import Running, Shell
from tests.support.stalling_link import StallingLink, stalling_link

pytestmark = pytest.mark.live

OLD = seal.key("old")
ROTATE = ("rotate", "--yes", "-o", "json")
# Seconds. A server forgets a write that takes longer than its request timeout, so this must be longer than `HELD`.
REQUEST_TIMEOUT = 14
HELD = 10.0
# How often a server looks at its file, and how long before such a look the link stalls.
POLL, AHEAD = 60.0, 4.0
APART = 22.0
PATIENCE = 180.0


@pytest.fixture
def link(etcd_server: EtcdAccess) -> Iterator[StallingLink]:
    with stalling_link(etcd_server.endpoints[0]) as link:
        yield link


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """At home, where the cluster file is."""
    return Shell(tmp_path)


def encrypted_behind(link: StallingLink, lab: Lab, shell: Shell) -> Seeded:
    """Secrets under OLD in `lab`, whose cp2 reaches etcd by `link`; its cluster file is in the shell's folder."""
    limit_requests(lab, REQUEST_TIMEOUT, shell.folder / "keyctl.yaml")
    set_flags(lab, "cp2", etcd_servers=link.url)
    encrypt_by_hand(lab, OLD, ("secrets",))
    return seed(lab, shell.state, 12)


def key_names(lab: Lab) -> list[list[str]]:
    """The names of the keys in every server's file, the writing one first."""
    files = [lab.layout.server(server.name).encryption_config for server in lab.topology.servers]
    return [re.findall(r"name: (\S+)", file.read_text()) for file in files]


def wait_for_state(running: Running, state: str) -> None:
    running.wait_for(f'"event": "state", "message": "{state}"')


def wait_for_settling_after(running: Running, state: str) -> None:
    """Return once it waits for older requests to end, in or after `state`."""
    wait_for_state(running, state)
    deadline = time.monotonic() + PATIENCE
    while '"message": "settling: ' not in running.seen.partition(f'"message": "{state}"')[2]:
        assert time.monotonic() < deadline, running.seen
        time.sleep(0.05)


@contextmanager
def held_over_a_look_at_the_file(lab: Lab, link: StallingLink, looked: float) -> Iterator[None]:
    """Stall the link for `HELD` seconds in which cp2 looks at its file, given when it did before; checks that it has
    loaded another one in them.
    """
    before, now = loaded_by(lab, "cp2"), time.monotonic()
    rounds = int((now + 1 - looked) // POLL) + 1
    time.sleep(max(0.0, looked + rounds * POLL - AHEAD - now))
    with link.stalled():
        begun = time.monotonic()
        yield
        time.sleep(max(0.0, begun + HELD - time.monotonic()))
        assert loaded_by(lab, "cp2") != before


def when_loaded(lab: Lab, server: str, before: str) -> float:
    """The time at which `server` has loaded something else than `before`."""
    deadline = time.monotonic() + PATIENCE
    while loaded_by(lab, server) == before:
        assert time.monotonic() < deadline, f"{server} still has {before}"
        time.sleep(0.2)
    return time.monotonic()


def loaded_by(lab: Lab, server: str) -> str:
    """The hash of the file that `server` has loaded, as its metrics tell, which need no etcd."""
    context = admin_credentials(lab.layout).context()
    text = get(f"{lab.topology.server(server).url}/metrics", context, timeout=5.0).text
    found = re.search(r'encryption_config_controller_last_config_info\{[^}]*hash="([^"]+)"', text)
    assert found, f"{server} tells no hash"
    return found[1]


@pytest.mark.reload
def test_writes_held_for_ten_seconds_while_their_server_reloads_are_not_lost_and_nothing_is_restarted(
    control_plane: ControlPlanes, link: StallingLink, shell: Shell
) -> None:
    lab = control_plane(2, reload=True)
    seeded = encrypted_behind(link, lab, shell)
    # So that no server looks at its file right after the other: what keyctl does when cp1 has looked, cp2 sees later.
    time.sleep(APART)
    lab.restart("cp2")
    writes = HeldWrites(lab, "cp2", link)
    for name in ("updated-while-promoting", "updated-while-retiring"):
        writes.prepare(name)
    processes = [lab.process(server.name) for server in lab.topology.servers]
    before = loaded_by(lab, "cp2")
    with shell.running(*ROTATE) as rotating:
        wait_for_state(rotating, "adding")
        looked = when_loaded(lab, "cp2", before)
        for state in ("promoting", "retiring"):
            wait_for_state(rotating, state)
            with held_over_a_look_at_the_file(lab, link, looked):
                writes.create(f"created-while-{state}")
                writes.update(f"updated-while-{state}")
        ended = rotating.end()
    assert ended.code in (0, 6), ended.stderr
    assert len(writes.standing()) == 4
    assert writes.lost() == {}
    assert seeded.changed() == {}
    one, other = key_names(lab)
    assert one == other
    assert len(one) == (1 if ended.code == 0 else 2)
    assert heads_of(lab, "secrets") == {f"k8s:enc:aescbc:v1:{one[0]}:".encode()}
    assert one[0] != OLD.name
    assert processes == [lab.process(server.name) for server in lab.topology.servers]
    assert shell.keyctl("verify-secrets").code == 0


def test_writes_of_a_dead_server_that_land_late_are_rewritten_and_put_a_retired_key_back(
    control_plane: ControlPlanes, link: StallingLink, shell: Shell
) -> None:
    lab = control_plane(2)
    seeded = encrypted_behind(link, lab, shell)
    writes = HeldWrites(lab, "cp2", link)
    paused = shell.keyctl(*ROTATE, "--pause-after", "readable")
    assert paused.code == 6, paused.stderr
    deliver_first = _die_with(writes, "lands-before-verified")
    deliver_second = _die_with(writes, "lands-after-retiring")
    assert writes.standing() == []
    with shell.running("rotate", "--resume", "-o", "json") as rotating:
        wait_for_settling_after(rotating, "rewriting")
        deliver_first()
        wait_for_settling_after(rotating, "retiring")
        assert key_names(lab) == [key_names(lab)[0][:1]] * 2
        deliver_second()
        ended = rotating.end()
    assert ended.code == 6, ended.stderr
    assert writes.statuses() == [0, 0]
    assert len(writes.standing()) == 2
    assert writes.lost() == {}
    assert seeded.changed() == {}
    new = key_names(lab)[0][0]
    assert key_names(lab) == [[new, OLD.name]] * 2
    assert heads_of(lab, "secrets") == {f"k8s:enc:aescbc:v1:{new}:".encode()}

    finished = shell.keyctl("rotate", "--resume")
    assert finished.code == 0, finished.stderr
    assert key_names(lab) == [[new]] * 2
    assert writes.lost() == {}
    assert seeded.changed() == {}
    assert shell.keyctl("verify-secrets").code == 0


def _die_with(writes: HeldWrites, name: str) -> Callable[[], None]:
    """Kill cp2 while its create is under way, and start it anew; returns what delivers the create."""
    deliver = writes.link.hold()
    writes.create(name)
    process = writes.lab.process(writes.server)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    writes.lab.restart(writes.server)
    return deliver
