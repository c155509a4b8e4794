"""The CAs of an etcd with three members and two API servers are rolled over, and keyctl is killed in every step."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import pytest

from keyctl.errors import ExitCode
from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.plane import Lab
from keyctl.pki.authority import Terms
from keyctl.pki.generations import prepare
from tests.support import restarted_member
from tests.support.etcd_traffic import by_api, by_etcdctl, going
from tests.support.plane import control_planes
from tests.support.rolled_etcd import RolledEtcd, rolled_etcd
from tests.support.shell import Shell

pytestmark = pytest.mark.live

CLIENTS = {"cp1": "cp-a", "cp2": "cp-b"}
# How long after a step was begun keyctl is killed: in it, and at its end.
DELAYS = (0.0, 0.1, 0.4, 1.5)
PATIENCE = 180.0
AS_PLANNED = "stopped as planned"


def two_api_servers(etcd: RolledEtcd, lab: Lab) -> None:
    """Give the second server a folder of its own, as on a host of its own."""
    manifest = lab.layout.server("cp2").manifest
    text = manifest.read_text()
    manifest.write_text(text.replace(str(etcd.folder("cp-a")), str(etcd.folder("cp-b"))))
    lab.restart("cp2")


def records(journal: Path) -> list[dict[str, str]]:
    """The whole records of the journal."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in journal.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def begun(journal: Path) -> set[str]:
    return {one["step"] for one in records(journal) if one["kind"] == "intent"}


def killed_in_each_step(shell: Shell, journal: Path, words: list[str]) -> int:
    """Run keyctl and kill it in each step, once; return how often that was."""
    killed: set[str] = set()
    handed: list[str] = []
    for delay in cycle(DELAYS):
        more = ["--resume", *handed] if records(journal) else []
        process = subprocess.Popen(
            [sys.executable, "-m", "keyctl", *words, *more],
            env=shell.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and begun(journal) <= killed:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if process.poll() is None:
            killed |= begun(journal)
            time.sleep(delay)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        said = (process.communicate()[1] or b"").decode()
        # Killed behind its last record it is at its end as well.
        if process.returncode == ExitCode.OK or records(journal)[-1]["kind"] == "end":
            return len(killed)
        assert process.returncode == -signal.SIGKILL or AS_PLANNED in said, said
        # The only other client is keyctl itself, which needs nothing of etcd from here on.
        handed = ["--clients-done"] if AS_PLANNED in said else []
    raise AssertionError("it never came to its end")


def longest_away(journal: Path) -> float:
    """The longest time in seconds from when a step was begun until it was done, killed in it or not."""
    begun_at: dict[str, datetime] = {}
    longest = 0.0
    for one in records(journal):
        at = datetime.fromisoformat(one["at"])
        if one["kind"] == "intent":
            begun_at.setdefault(one["step"], at)
        elif one["kind"] == "done":
            longest = max(longest, (at - begun_at[one["step"]]).total_seconds())
    return longest


def test_a_roll_over_killed_in_every_step_keeps_readers_and_writers_going(tmp_path: Path) -> None:
    root = tmp_path / "e"
    root.mkdir()
    shell = Shell(tmp_path)
    with rolled_etcd(root, tuple(CLIENTS.values())) as etcd, control_planes(etcd.access("cp-a"), tmp_path) as start:
        lab = start(2)
        two_api_servers(etcd, lab)
        # Who asks etcd itself has the API server's folder, and so what is brought there.
        words = ["certs", "rollover", str(etcd.pki), "--cluster", str(etcd.cluster_file(lab, CLIENTS)), "--yes"]
        journal = shell.state / "keyctl" / f"rolled-{root.name}" / "certificates" / "journal.jsonl"
        urls, context = [server.url for server in lab.topology.servers], admin_credentials(lab.layout).context()
        traffic = (
            by_api(urls, context, write=False),
            by_api(urls, context, write=True),
            by_etcdctl(etcd.urls, etcd.folder("cp-b"), "get", "/", "--prefix", "--limit=1"),
        )
        since = time.time()
        with going(*traffic):
            killed = killed_in_each_step(shell, journal, words)
        gaps = [one.longest_gap(since, time.time()) for one in traffic]
        assert killed > len(etcd.ports) * 3
        assert max(gaps) < longest_away(journal), [one.failures[-3:] for one in traffic]
        assert not (etcd.pki / "next").exists()


def test_an_api_server_reads_its_pair_anew_and_its_ca_when_it_starts(tmp_path: Path) -> None:
    """What the order rests on, and why an API server is restarted for a CA."""
    root = tmp_path / "e"
    root.mkdir()
    with rolled_etcd(root, ("cp-a",), members=1) as etcd, control_planes(etcd.access("cp-a"), tmp_path) as start:
        lab = start(1)
        new = prepare(etcd.pki, Terms(datetime.now(UTC), timedelta(days=1)), ca_lifetime=timedelta(days=2))
        folder, member, client = etcd.folder("m1"), new.member("m1"), new.client("cp-a")
        write = by_api([lab.topology.servers[0].url], admin_credentials(lab.layout).context(), write=True)

        def soon() -> bool:
            deadline = time.monotonic() + PATIENCE / 3
            while not (through := write.once()) and time.monotonic() < deadline:
                time.sleep(0.5)
            return through

        # The member trusts the new CA of clients alone, so every connection is a new one with the new pair.
        for name in ("client.key", "client.crt"):
            shutil.copy(client / name, etcd.folder("cp-a") / name)
        shutil.copy(member / "ca.crt", folder / "ca.crt")
        restarted_member.restart(root, "m1")
        assert soon(), write.failures[-3:]
        # It shows a certificate of the new CA, which the API server has on its disk and has not read.
        shutil.copy(client / "ca.crt", etcd.folder("cp-a") / "ca.crt")
        for name in ("server.key", "server.crt"):
            shutil.copy(member / name, folder / name)
        restarted_member.restart(root, "m1")
        refused = [write.once() for _ in range(5)]
        assert not any(refused[1:])
        lab.restart("cp1")
        assert soon(), write.failures[-3:]
