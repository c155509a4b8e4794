"""A fourth API server that joins in the middle of a rotation, with the file that all had before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from keyctl.hosts.manifests import add_encryption_flag
from keyctl.lab.plane import Lab
from keyctl.rotation.plan import State
from tests.museum.load import Load
from tests.museum.scene import RESUME, ROTATE, WAY_ON, done, names, settled, told
from tests.museum.site import Site, site
from tests.support.cluster_copy import ClusterFile
from tests.support.real_kube import ask

pytestmark = pytest.mark.live

FOURTH = "cp4"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """Three servers that encrypt. A fourth has their file, does not run, and is not in the cluster file."""
    with site(tmp_path, apiservers=4) as made:
        lab = made.seeded.lab
        lab.stop(FOURTH)
        _forget_its_lease(lab)
        everybody = lab.cluster_file.read_bytes()
        _unlist(lab)
        done(made.seeded.keyctl("enable", "--yes"))
        _flag(lab)
        _give(lab, lab.layout.server("cp1").encryption_config.read_bytes())
        (lab.layout.root / "everybody.yaml").write_bytes(everybody)
        yield made


def test_a_fourth_server_that_joins_half_way_with_the_old_file_stops_it_and_is_taken_in(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    config = lab.layout.server("cp1").encryption_config
    with Load(place) as load:
        rotating = place.start(*ROTATE)
        rotating.wait_for(State.ADDING)
        lab.restart(FOURTH)
        host = lab.topology.server(FOURTH).hostname
        told(rotating.wait(), 5, "R11", f"an API server that is not in the cluster file: {host}", WAY_ON)
        again = place.seeded.keyctl(*RESUME)
        told(again, 5, "R11", f"copy {config} of cp1 there (mode 600)", f"make {host} load it, and list it", WAY_ON)
        assert names(lab, "cp1")[0] == was
        _give(lab, config.read_bytes())
        lab.restart(FOURTH)
        lab.cluster_file.write_bytes((lab.layout.root / "everybody.yaml").read_bytes())
        done(place.seeded.keyctl(*RESUME))
    place.nothing_lost(load)
    assert load.by_server[FOURTH] > 0
    settled(place, was)


def _unlist(lab: Lab) -> None:
    document = cast("ClusterFile", yaml.safe_load(lab.cluster_file.read_text()))
    document["apiServers"] = [one for one in document["apiServers"] if one["name"] != FOURTH]
    lab.cluster_file.write_text(yaml.safe_dump(document, sort_keys=False))


def _forget_its_lease(lab: Lab) -> None:
    """A server that was never there has no identity Lease, which one that was killed leaves behind."""
    host = lab.topology.server(FOURTH).hostname
    _, leases = ask(lab, "GET", _LEASES)
    items = leases["items"]
    assert isinstance(items, list)
    for lease in items:
        if lease["metadata"].get("labels", {}).get("kubernetes.io/hostname") == host:
            assert ask(lab, "DELETE", f"{_LEASES}/{lease['metadata']['name']}")[0] == 200


def _flag(lab: Lab) -> None:
    """Its manifest names an encryption configuration, as the others' do by now."""
    files = lab.layout.server(FOURTH)
    text = files.manifest.read_bytes()
    path = str(files.encryption_config)
    files.manifest.write_bytes(add_encryption_flag(text, config_path=path, reload=False, name="the manifest"))


def _give(lab: Lab, content: bytes) -> None:
    file = lab.layout.server(FOURTH).encryption_config
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o600)
