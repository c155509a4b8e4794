"""Rewriting by the cluster itself, on real servers: to its end, and explained where it stands still."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.errors import StoppedError
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from keyctl.rotation.migrating import Migrating
from keyctl.rotation.rewriting import Rewriter
from tests.support import by_hand, seal
from tests.support.cluster_copy import ClusterFile, cluster_copy
from tests.support.controller_manager import controller_manager
from tests.support.plane import control_planes
from tests.support.raw_etcd import heads_of
from tests.support.real_kube import ask, create_secret, refusing_webhook, write_with
from tests.support.seeded import seed
from tests.support.shell import Shell
from tests.support.stale_site import stale_site

pytestmark = pytest.mark.live

_MIGRATIONS = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
_keys = itertools.count(1)


@pytest.fixture(scope="module")
def lab(etcd_server: EtcdAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with control_planes(etcd_server, tmp_path_factory.mktemp("plane")) as start:
        yield start(1, reload=True)


@pytest.fixture(scope="module")
def manager(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with controller_manager(lab, tmp_path_factory.mktemp("manager")):
        yield


def another_key(lab: Lab) -> None:
    """Every Secret is stale from now on."""
    number = next(_keys)
    write_with(lab, f"key{number}", *(f"key{older}" for older in range(number - 1, 0, -1)))


def migrations(lab: Lab) -> list[object]:
    items = ask(lab, "GET", _MIGRATIONS)[1]["items"]
    assert isinstance(items, list)
    return items


def restarting(lab: Lab, cluster: ClusterFile) -> None:
    """A restart takes seconds, a reload up to a minute."""
    command = [sys.executable, "-m", "keyctl", "lab", "restart", "--directory", str(lab.layout.root), "cp1"]
    cluster["policy"]["settle"] = "10s"
    cluster["apiServers"][0]["activation"] = {"restart": {"command": command, "wait": "60s"}}


class Bustle:
    """Somebody writes a Secret twice a second, so that no cache idles."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._over = lab, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        path = "/api/v1/namespaces/default/secrets/bustle"
        create_secret(self._lab, "default", "bustle")
        for number in itertools.count():
            if self._over.wait(0.5):
                break
            # The only API server is restarted now and then.
            with contextlib.suppress(OSError):
                ask(self._lab, "PATCH", path, {"metadata": {"annotations": {"turn": str(number)}}})
        ask(self._lab, "DELETE", path)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_nobody_who_takes_the_migration_up_is_noticed_and_it_is_taken_back(lab: Lab, tmp_path: Path) -> None:
    another_key(lab)
    create_secret(lab, "default", "waiting")
    another_key(lab)
    with stale_site(lab, tmp_path, tag="untaken") as (site, _), pytest.raises(StoppedError) as caught:
        Rewriter(site, Migrating(site, stall=6.0)).run()
    assert "nobody has taken up the StorageVersionMigration" in str(caught.value)
    assert "does not run" in (caught.value.cause or "")
    assert migrations(lab) == []


@pytest.mark.usefixtures("manager")
def test_a_migration_that_a_webhook_stops_is_explained_by_the_object(lab: Lab, tmp_path: Path) -> None:
    create_secret(lab, "default", "stubborn", labels={"keep": "as-it-is"})
    another_key(lab)
    with (
        refusing_webhook(lab, tmp_path),
        Bustle(lab),
        stale_site(lab, tmp_path, tag="webhook") as (site, told),
        pytest.raises(StoppedError) as caught,
    ):
        Rewriter(site, Migrating(site, stall=60.0)).run()
    assert "default/stubborn" in (caught.value.cause or "")
    assert any("webhook deny.policy.test" in hint for hint in caught.value.hints)
    assert "stubborn" not in str(told.records)
    assert migrations(lab) == []


@pytest.mark.usefixtures("manager")
def test_an_object_that_cannot_be_decrypted_is_why_it_would_never_end(lab: Lab, tmp_path: Path) -> None:
    another_key(lab)
    key = f"{lab.topology.settings.prefix}/secrets/default/aaa-lost"
    create_secret(lab, "default", "aaa-lost")
    try:
        with stale_site(lab, tmp_path, tag="lost") as (site, _):
            found = site.count()
            by_hand.put(lab.etcd, key, seal.seal(seal.key("gone"), key.encode(), seal.secret("aaa-lost", "default")))
            with pytest.raises(StoppedError) as caught:
                Migrating(site, stall=20.0).round(found, found.work)
    finally:
        by_hand.delete(lab.etcd, key)
    assert caught.value.rule == "R10"
    assert "could never end" in str(caught.value)
    assert "aaa-lost" in (caught.value.cause or "")
    assert migrations(lab) == []


@pytest.mark.usefixtures("manager")
def test_a_rotation_by_the_cluster_itself_ends_with_every_value_under_the_new_key(lab: Lab, tmp_path: Path) -> None:
    seeded = seed(lab, tmp_path / "state", 60)
    file = cluster_copy(lab, tmp_path / "keyctl.yaml", lambda cluster: restarting(lab, cluster))
    shell = Shell(tmp_path)
    with Bustle(lab):
        rotated = shell.keyctl(
            "rotate", "--engine", "svm", "--second-pass", "--yes", "--allow-downtime", "--cluster", file
        )
    assert rotated.code == 0, rotated.stderr
    assert "StorageVersionMigration" in rotated.stderr
    (head,) = heads_of(lab, "secrets")
    assert head.startswith(b"k8s:enc:aescbc:v1:key-")
    assert seeded.changed() == {}
    assert migrations(lab) == []
