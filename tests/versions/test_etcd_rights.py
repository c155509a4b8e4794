"""Whom each minor version of etcd lets do what once users are on: `keyctl etcd-access` on all (decision 0023)."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from keyctl.errors import ExitCode, KeyctlError
from keyctl.etcd.client import EtcdClient
from keyctl.stored.rights import Permission
from tests.support.etcd_process import RunningEtcd, running_etcd, write_client
from tests.support.shell import Shell
from tests.versions.recipes import BUILT, DEBIAN, LAB, etcd_programs

pytestmark = pytest.mark.live

PREFIX = b"/registry/"
# What etcd lets a certificate do: r(ead), w(rite), s(napshot), c(ompact), u(sers).
EVERYTHING = "rwscu"


MINORS = (LAB, *BUILT, DEBIAN)


@contextlib.contextmanager
def etcd_with_clients(minor: str, folder: Path, *flags: str) -> Iterator[RunningEtcd]:
    """A real etcd of `minor`, and in `folder` a certificate for everybody by name."""
    authority = trustme.CA()
    with running_etcd(folder, authority, *flags, program=etcd_programs(minor)["etcd"]) as running:
        for name in ("root", "api", "auditor", "stranger"):
            write_client(folder, authority, authority, name)
        yield running


def as_(etcd: RunningEtcd, name: str) -> RunningEtcd:
    """The same etcd with the certificate of `name`."""
    folder = etcd.tls.cert.parent
    return replace(etcd, tls=replace(etcd.tls, cert=folder / f"{name}.crt", key=folder / f"{name}.key"))


def client(etcd: RunningEtcd, name: str) -> EtcdClient:
    return EtcdClient((etcd.url,), as_(etcd, name).tls)


def may(etcd: RunningEtcd, name: str) -> str:
    """The letters of what etcd lets the certificate of `name` do."""
    put = as_(etcd, "root").etcdctl("put", "/registry/x", "1", "-w", "json")
    revision = json.loads(put.stdout)["header"]["revision"]
    with contextlib.closing(client(etcd, name)) as one:
        users = one.users()
        found = "r" if users.refusal_to_read(PREFIX) is None else ""
        found += "w" if users.refusal_to_write(PREFIX + b"x") is None else ""
        found += "s" if users.refusal_of_snapshot() is None else ""
        acts: tuple[tuple[str, Callable[[], object]], ...] = (("c", lambda: one.compact(revision)), ("u", users.users))
        for letter, act in acts:
            with contextlib.suppress(KeyctlError):
                act()
                found += letter
        return found


def shell_of(etcd: RunningEtcd) -> Shell:
    """keyctl as root, where the certificates are."""
    access = {"ENDPOINTS": etcd.url, "CACERT": str(etcd.tls.ca), "CERT": "root.crt", "KEY": "root.key"}
    return Shell(etcd.tls.cert.parent, {f"ETCDCTL_{name}": value for name, value in access.items()})


def etcd_access(shell: Shell, *words: str) -> None:
    answered = shell.keyctl("etcd-access", "apply", *words, "--yes")
    assert answered.code == ExitCode.OK, answered.stdout + answered.stderr


PARTIES = ("--apiserver-cert", "api.crt", "--auditor-cert", "auditor.crt", "--compaction", "etcd")
TOLD = tuple(minor for minor in MINORS if minor != DEBIAN)


def turn_on_by_hand(etcd: RunningEtcd) -> None:
    """What `etcd-access apply` makes, by the same calls."""
    below = (PREFIX, PREFIX[:-1] + b"0")
    with contextlib.closing(client(etcd, "root")) as root:
        users = root.users()
        users.add_user("root")
        users.give_role("root", "root")
        for name, kind in (("api", "readwrite"), ("auditor", "read")):
            users.add_role(name)
            users.allow(name, Permission(kind, *below))
            users.add_user(name)
            users.give_role(name, name)
        users.enable()


@pytest.mark.parametrize("minor", TOLD)
def test_with_users_on_everybody_may_do_what_is_theirs(minor: str, tmp_path: Path) -> None:
    with etcd_with_clients(minor, tmp_path) as etcd:
        shell = shell_of(etcd)
        etcd_access(shell, *PARTIES)
        allowed = {name: may(etcd, name) for name in ("root", "api", "auditor", "stranger")}
        assert allowed == {"root": EVERYTHING, "api": "rw", "auditor": "r", "stranger": ""}
        checked = shell.keyctl("etcd-access", "check", *PARTIES)
        assert checked.code == ExitCode.OK, checked.stdout + checked.stderr
        etcd_access(shell, "--disable")
        assert may(etcd, "stranger") == EVERYTHING


def test_an_etcd_that_does_not_tell_whether_users_are_on_is_refused_and_lets_everybody_compact(tmp_path: Path) -> None:
    with etcd_with_clients(DEBIAN, tmp_path) as etcd:
        refused = shell_of(etcd).keyctl("etcd-access", "apply", *PARTIES, "--yes")
        assert refused.code == ExitCode.UNREACHABLE
        assert "older than etcd 3.5" in refused.stderr
        turn_on_by_hand(etcd)
        allowed = {name: may(etcd, name) for name in ("root", "api", "auditor", "stranger")}
        assert allowed == {"root": EVERYTHING, "api": "rwc", "auditor": "rc", "stranger": "c"}


@pytest.mark.parametrize("minor", MINORS)
def test_etcds_own_compaction_asks_for_no_user(minor: str, tmp_path: Path) -> None:
    retention = ("--auto-compaction-mode=periodic", "--auto-compaction-retention=1s")
    with etcd_with_clients(minor, tmp_path, *retention) as etcd:
        turn_on_by_hand(etcd)
        deadline = time.monotonic() + 60
        with contextlib.closing(client(etcd, "root")) as root:
            while not root.is_compacted(1) and time.monotonic() < deadline:
                as_(etcd, "root").etcdctl("put", "/registry/x", "1")
                time.sleep(0.5)
            assert root.is_compacted(1)
