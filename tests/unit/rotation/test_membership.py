"""R11: who says what about the API servers, and what does not agree."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.kube.interface import Census, ServerProbe
from keyctl.rotation.membership import disagreement
from keyctl.rotation.world import Server
from tests.support.simulator import SimCluster

IDS = ("apiserver-one", "apiserver-two", "apiserver-three")


def servers(tmp_path: Path) -> list[Server]:
    return list(SimCluster(tmp_path).world().servers)


def probes() -> list[ServerProbe]:
    return [
        ServerProbe(f"cp{number}", True, id_hash=hashed(name), start_time=1.0, certificate_serial=number)
        for number, name in enumerate(IDS, 1)
    ]


def hashed(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


CENSUS = Census(
    frozenset(zip(IDS, ("cp1", "cp2", "cp3"), strict=True)),
    frozenset({"10.0.0.1", "10.0.0.2", "10.0.0.3"}),
    frozenset({"cp1", "cp2", "cp3"}),
)


def test_sources_that_agree_leave_nothing_to_say(tmp_path: Path) -> None:
    assert disagreement(CENSUS, servers(tmp_path), probes()) == ""


@pytest.mark.parametrize(
    ("census", "message"),
    [
        (replace(CENSUS, leases=frozenset()), "no identity Lease"),
        (replace(CENSUS, leases=CENSUS.leases | {("apiserver-four", "cp4")}), "identity Leases name .*: cp4"),
        (replace(CENSUS, leases=frozenset({(IDS[0], "cp1"), (IDS[1], "cp2")})), "do not name cp3"),
        (replace(CENSUS, endpoints=CENSUS.endpoints | {"10.0.0.4"}), "Endpoints name .*: 10.0.0.4"),
        (replace(CENSUS, endpoints=frozenset({"10.0.0.1"})), "do not name 10.0.0.2"),
        (replace(CENSUS, control_plane_nodes=frozenset({"cp1", "cp7"})), "Node cp7"),
    ],
)
def test_a_source_that_knows_more_or_less_is_named(census: Census, message: str, tmp_path: Path) -> None:
    import re

    assert re.search(message, disagreement(census, servers(tmp_path), probes()))


def test_one_process_behind_two_addresses_is_seen(tmp_path: Path) -> None:
    twice = [*probes()[:2], replace(probes()[1], name="cp3")]
    assert "cp2 and cp3 are one process" in disagreement(CENSUS, servers(tmp_path), twice)


def test_without_hostnames_the_ids_tie_servers_to_their_leases(tmp_path: Path) -> None:
    nameless = [replace(server, hostname=None) for server in servers(tmp_path)]
    assert disagreement(CENSUS, nameless, probes()) == ""
    more = replace(CENSUS, leases=CENSUS.leases | {("apiserver-four", "cp4")})
    assert "cp4" in disagreement(more, nameless, probes())
    unknown = [replace(probe, id_hash=None) for probe in probes()]
    assert "identity.hostname is missing" in disagreement(CENSUS, nameless, unknown)


def test_a_server_without_an_address_cannot_be_tied_to_the_endpoints(tmp_path: Path) -> None:
    nowhere = [replace(server, advertise_address=None, url_host="cp.example") for server in servers(tmp_path)]
    assert "identity.advertiseAddress is missing" in disagreement(CENSUS, nowhere, probes())
    by_url = [replace(server, advertise_address=None) for server in servers(tmp_path)]
    assert disagreement(CENSUS, by_url, probes()) == ""
