"""The CAs of three running members are rolled over while somebody reads and writes, and leaves are renewed on hosts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from keyctl.cli import main
from keyctl.errors import ExitCode
from keyctl.pki.generation import Port
from keyctl.pki.presented import presented
from keyctl.pki.probe import ProbeResult, Target, probe
from tests.support.etcd_traffic import by_etcdctl, going
from tests.support.rolled_etcd import HOST, RolledEtcd, rolled_etcd

pytestmark = pytest.mark.live

TIMEOUT = 5.0
# What one client may need to get through once more, behind the end of a restart.
ONE_MORE = 8.0


def longest_step(journal: Path) -> float:
    """The longest time in seconds that one step took, by the journal: one restart and what is seen of it."""
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    marks = [(one["kind"], datetime.fromisoformat(one["at"])) for one in records]
    return max(
        (later - earlier).total_seconds()
        for (kind, earlier), (then, later) in pairwise(marks)
        if (kind, then) == ("intent", "done")
    )


def knock(etcd: RolledEtcd, ca: Path, folder: Path, *, peer: bool = False) -> list[ProbeResult]:
    """What each member's port makes of the pair in `folder`."""
    stem, port = ("peer", Port.PEER) if peer else ("client", Port.CLIENT)
    pair = folder / f"{stem}.crt", folder / f"{stem}.key"
    return [probe(Target(HOST, ports[port], ca, *pair), TIMEOUT) for ports in etcd.ports.values()]


def run(*words: str | Path) -> int:
    return main.run([str(word) for word in ("certs", *words)])


def test_the_cas_of_three_members_are_rolled_over_while_a_reader_and_a_writer_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "e"
    root.mkdir()
    with rolled_etcd(root, ("reader",)) as etcd:
        former = tmp_path / "former"
        shutil.copytree(etcd.pki, former)
        cluster = etcd.cluster_file()
        reader = by_etcdctl(etcd.urls, etcd.folder("reader"), "get", "a")
        writer = by_etcdctl(etcd.urls, etcd.folder("reader"), "put", "a", "b")
        words: Sequence[str | Path] = ("rollover", etcd.pki, "--cluster", cluster, "--yes")
        assert run(*words[:-1], "--dry-run", "-o", "json") == ExitCode.OK
        planned = json.loads(capsys.readouterr().out)["steps"]
        assert not (etcd.pki / "next").exists()
        begun = time.time()
        with going(reader, writer):
            assert run(*words) == ExitCode.STOPPED, capsys.readouterr().err
            both = (etcd.pki / "ca.crt").read_bytes() + (etcd.pki / "next" / "ca.crt").read_bytes()
            place(etcd.folder("reader") / "ca.crt", both)
            assert run(*words, "--resume", "--clients-done") == ExitCode.STOPPED
            hand_out(etcd.pki / "next" / "clients" / "reader", etcd.folder("reader"))
            assert run(*words, "--resume", "--clients-done") == ExitCode.OK, capsys.readouterr().err
            ended = time.time()
        (journal,) = (tmp_path / "state").rglob("journal.jsonl")
        assert json.loads(journal.read_text().splitlines()[0])["steps"] == planned
        one_restart = longest_step(journal) + ONE_MORE
        assert max(reader.longest_gap(begun, ended), writer.longest_gap(begun, ended)) < one_restart, reader.failures
        assert {one.ok for one in knock(etcd, etcd.pki / "ca.crt", etcd.pki / "clients" / "reader")} == {True}
        assert {one.ok for one in knock(etcd, etcd.pki / "ca.crt", former / "clients" / "reader")} == {False}
        peer_ca, member = etcd.pki / "peer-ca.crt", Path("members") / "m2"
        assert {one.ok for one in knock(etcd, peer_ca, etcd.pki / member, peer=True)} == {True}
        assert {one.ok for one in knock(etcd, peer_ca, former / member, peer=True)} == {False}
        assert not (etcd.pki / "next").exists()
        assert run("check", etcd.pki) == ExitCode.OK


def test_leaves_are_renewed_on_their_hosts_without_a_restart_and_a_roll_over_goes_back_from_its_third_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "e"
    root.mkdir()
    with rolled_etcd(root, ("reader",), one_ca=True) as etcd:
        cluster = etcd.cluster_file()
        reader = by_etcdctl(etcd.urls, etcd.folder("reader"), "get", "a")
        renew: Sequence[str | Path] = (
            "renew",
            etcd.pki,
            "--cluster",
            cluster,
            "--within",
            "180",
            "--days",
            "30",
            "--yes",
        )
        began, processes = serials(etcd), [etcd.record(name).read_bytes() for name in etcd.ports]
        begun = time.time()
        with going(reader):
            assert run(*renew) == ExitCode.OK, capsys.readouterr().err
            ended = time.time()
        # Not one handshake was refused for longer than the next one takes.
        assert reader.longest_gap(begun, ended) < ONE_MORE
        renewed = serials(etcd)
        assert None not in renewed
        assert not set(renewed) & set(began)
        assert [etcd.record(name).read_bytes() for name in etcd.ports] == processes
        hand_out(etcd.pki / "clients" / "reader", etcd.folder("reader"))
        capsys.readouterr()
        assert run(*renew[:4], "--within", "1", "--yes") == ExitCode.OK
        assert "nothing is to be renewed; every host has what the directory has" in capsys.readouterr().out
        goes_back(etcd, ("rollover", etcd.pki, "--cluster", cluster, "--yes"))
        assert serials(etcd) == renewed
        assert reader.once(), reader.failures


def goes_back(etcd: RolledEtcd, words: Sequence[str | Path]) -> None:
    """Begin, stop where the old CA would leave, and go back; whoever has a certificate of the new CA is refused."""
    assert run(*words) == ExitCode.STOPPED
    assert run(*words, "--resume", "--clients-done") == ExitCode.STOPPED
    new = etcd.root / "new-reader"
    shutil.copytree(etcd.pki / "next" / "clients" / "reader", new)
    both = etcd.root / "both.crt"
    both.write_bytes((etcd.pki / "ca.crt").read_bytes() + (new / "ca.crt").read_bytes())
    assert {one.ok for one in knock(etcd, both, new)} == {True}
    assert run(*words, "--abort") == ExitCode.STOPPED
    assert run(*words, "--resume", "--clients-done") == ExitCode.OK
    assert {one.ok for one in knock(etcd, both, new)} == {False}
    assert {one.ok for one in knock(etcd, etcd.pki / "ca.crt", etcd.pki / "clients" / "reader")} == {True}
    assert not (etcd.pki / "next").exists()


def place(path: Path, content: bytes) -> None:
    """Replace a file at once, so that nobody reads half of it."""
    draft = path.with_name("draft")
    draft.write_bytes(content)
    draft.replace(path)


def hand_out(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir(), reverse=True):
        place(target / path.name, path.read_bytes())


def serials(etcd: RolledEtcd) -> list[int | None]:
    found = [presented(HOST, ports[Port.CLIENT], TIMEOUT) for ports in etcd.ports.values()]
    return [one.serial if one else None for one in found]
