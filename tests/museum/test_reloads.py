"""Servers that follow their file by themselves, and one of them that does not, or not in time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from keyctl.encryption_config.decode import hash_of
from keyctl.lab.plane import Lab
from keyctl.rotation.plan import State
from tests.museum.load import Load
from tests.museum.scene import RESUME, ROTATE, WAY_ON, done, head, names, settled, told, wait_until
from tests.museum.site import Site, site
from tests.support.cluster_copy import ClusterFile
from tests.support.raw_etcd import heads_of, raw_values
from tests.support.real_kube import api_server, ask, create_secret
from tests.support.server_flags import set_flags

pytestmark = pytest.mark.live

LAGGARD = "cp3"
COUNT = 10


class Behind:
    """While it lasts the process of a server reads a copy of its file, which follows the file when it is told to.

    So is a pod that mounts the single file, and one whose kubelet is late.
    """

    def __init__(self, lab: Lab, server: str) -> None:
        files = lab.layout.server(server)
        self._file, self._copy = files.encryption_config, files.encryption_config.with_name("seen.yaml")
        self.follow()
        manifest = files.manifest.read_bytes()
        set_flags(lab, server, encryption_provider_config=str(self._copy))
        lab.restart(server)
        files.manifest.write_bytes(manifest)

    def follow(self) -> None:
        """Let the server see what its file is now; it looks within a minute."""
        draft = self._copy.with_name("seen.draft")
        draft.touch(mode=0o600)
        draft.write_bytes(self._file.read_bytes())
        draft.replace(self._copy)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Every test leaves it with a finished rotation and servers that reload."""
    with site(tmp_path_factory.mktemp("reloads"), reload=True) as made:
        done(made.seeded.keyctl("enable", "--yes"))
        yield made


def file_of(lab: Lab, server: str) -> Path:
    return lab.layout.server(server).encryption_config


def has_loaded_its_file(lab: Lab, server: str) -> bool:
    return api_server(lab, server).probe().loaded_hash == hash_of(file_of(lab, server).read_bytes())


def heads_called(lab: Lab, prefix: str) -> set[bytes]:
    """How the values of the Secrets whose names start so begin, up to the key's name."""
    wanted = f"/default/{prefix}".encode()
    return {b":".join(value.split(b":", 5)[:5]) + b":" for key, value in raw_values(lab, "secrets") if wanted in key}


def test_fifty_changes_a_second_during_a_whole_rotation_by_reloads(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    processes = [place.pid_of(name) for name in place.apiservers]
    with Load(place, per_second=50) as load:
        done(place.seeded.keyctl(*ROTATE))
    place.nothing_lost(load)
    assert load.changes > 1000
    assert [place.pid_of(name) for name in place.apiservers] == processes
    assert heads_of(lab, "secrets") == {head(names(lab, "cp1")[0])}
    settled(place, was)


def test_a_server_that_ignores_the_reload_stops_it_by_name_and_once_restarted_the_rotation_ends(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    _wait_at_most(lab, "90s")
    Behind(lab, LAGGARD)
    with Load(place) as load:
        stopped = place.seeded.keyctl(*ROTATE)
        told(stopped, 6, "R9", f"{LAGGARD} has not loaded the new configuration after", "this state is safe", WAY_ON)
        told(stopped, 6, "R9", "it is ready with another configuration", f"kube-apiserver on {LAGGARD} or restart it")
        assert [names(lab, name)[0] for name in place.apiservers] == [was] * 3
        assert heads_of(lab, "secrets") == {head(was)}
        lab.restart(LAGGARD)
        done(place.seeded.keyctl(*RESUME))
    place.nothing_lost(load)
    settled(place, was)


def test_what_a_lagging_server_writes_under_the_old_key_meanwhile_is_rewritten_and_not_lost(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    _wait_at_most(lab, "300s")
    behind = Behind(lab, LAGGARD)
    with Load(place) as load:
        rotating = place.start(*ROTATE)
        wait_until(lambda: len(names(lab, LAGGARD)) == 2, "a file with both keys")
        behind.follow()
        rotating.wait_for(State.PROMOTING)
        wait_until(lambda: names(lab, LAGGARD)[0] != was, "a file that writes with the new key")
        new = names(lab, LAGGARD)[0]
        wait_until(lambda: all(has_loaded_its_file(lab, name) for name in ("cp1", "cp2")), "two servers that loaded it")
        for number in range(COUNT):
            create_secret_through(lab, LAGGARD, f"late-{number}")
            create_secret(lab, "default", f"early-{number}")
        assert (heads_called(lab, "late-"), heads_called(lab, "early-")) == ({head(was)}, {head(new)})
        assert State.SWITCHED not in rotating.states()
        behind.follow()
        wait_until(lambda: names(lab, LAGGARD) == [new], "a file without the old key")
        behind.follow()
        done(rotating.wait())
    lab.restart(LAGGARD)
    place.nothing_lost(load)
    assert heads_called(lab, "late-") == {head(new)}
    settled(place, was)


def create_secret_through(lab: Lab, server: str, name: str) -> None:
    """Create a Secret through one server."""
    secret = {"metadata": {"name": name}, "stringData": {"value": f"the value of {name}"}}
    assert ask(lab, "POST", "/api/v1/namespaces/default/secrets", secret, server=server)[0] == 201


def _wait_at_most(lab: Lab, limit: str) -> None:
    """So long a server is waited for."""
    document = cast("ClusterFile", yaml.safe_load(lab.cluster_file.read_text()))
    for server in document["apiServers"]:
        server["activation"] = {"reload": {"wait": limit}}
    lab.cluster_file.write_text(yaml.safe_dump(document, sort_keys=False))
