"""R11: who says what about the API servers, and what does not agree."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.kube.interface import Census, ServerProbe
from keyctl.rotation.membership import Disagreement, Processes, disagreement
from keyctl.rotation.world import Server
from tests.support.sim_server import SimServer
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, SCENES, assert_done, begin, stops

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


def said(found: Disagreement | None) -> str:
    return "" if found is None else " | ".join((found.message, *found.hints))


def test_sources_that_agree_leave_nothing_to_say(tmp_path: Path) -> None:
    assert disagreement(CENSUS, servers(tmp_path), probes()) is None


@pytest.mark.parametrize(
    ("census", "message", "hint"),
    [
        (replace(CENSUS, leases=frozenset()), "no identity Lease", "APIServerIdentity=false"),
        (
            replace(CENSUS, leases=CENSUS.leases | {("apiserver-four", "cp4")}),
            "identity Leases name .*: cp4",
            "copy /etc/kubernetes/enc/enc.yaml of cp1 there",
        ),
        (
            replace(CENSUS, leases=frozenset({(IDS[0], "cp1"), (IDS[1], "cp2")})),
            "do not name cp3",
            "APIServerIdentity=false",
        ),
        (
            replace(CENSUS, endpoints=CENSUS.endpoints | {"10.0.0.4"}),
            "Endpoints name .*: 10.0.0.4",
            "list it by its own address",
        ),
        (replace(CENSUS, endpoints=frozenset({"10.0.0.1"})), "do not name 10.0.0.2", "--advertise-address"),
        (
            replace(CENSUS, control_plane_nodes=frozenset({"cp1", "cp7"})),
            "Node cp7 .* it is ready, and renews no identity Lease",
            "bring its kube-apiserver up",
        ),
        (
            replace(CENSUS, control_plane_nodes=frozenset({"cp1", "cp7"}), unready_nodes=frozenset({"cp7"})),
            "Node cp7 .* is not ready, and renews no identity Lease",
            "if it is gone for good: kubectl delete node cp7",
        ),
    ],
)
def test_a_source_that_knows_more_or_less_is_named_with_what_to_do(
    census: Census, message: str, hint: str, tmp_path: Path
) -> None:
    found = disagreement(census, servers(tmp_path), probes())
    assert found is not None
    assert re.search(message, found.message)
    assert hint in "".join(found.hints)


def test_a_listed_node_that_is_not_ready_while_its_server_answers_is_no_disagreement(tmp_path: Path) -> None:
    sick = replace(CENSUS, unready_nodes=frozenset({"cp2"}))
    assert disagreement(sick, servers(tmp_path), probes()) is None


def test_one_process_behind_two_addresses_is_seen(tmp_path: Path) -> None:
    twice = [*probes()[:2], replace(probes()[1], name="cp3")]
    found = said(disagreement(CENSUS, servers(tmp_path), twice))
    assert "cp2 and cp3 are one process" in found
    assert "not by a load balancer's" in found


def test_a_process_that_answers_again_after_another_one_is_behind_a_load_balancer() -> None:
    processes, first = Processes(), probes()[0]
    other = replace(first, start_time=5.0, certificate_serial=9)
    assert processes.several([first]) is None
    assert processes.several([replace(first, start_time=0.0)]) is None, "one that says nothing of itself"
    assert processes.several([first]) is None
    assert processes.several([other]) is None, "it may have been restarted"
    assert "more than one process answers at the address of cp1" in said(processes.several([first]))


def test_without_hostnames_the_ids_tie_servers_to_their_leases(tmp_path: Path) -> None:
    nameless = [replace(server, hostname=None) for server in servers(tmp_path)]
    assert disagreement(CENSUS, nameless, probes()) is None
    more = replace(CENSUS, leases=CENSUS.leases | {("apiserver-four", "cp4")})
    assert "cp4" in said(disagreement(more, nameless, probes()))
    fewer = replace(CENSUS, leases=frozenset({(IDS[0], "cp1"), (IDS[2], "cp3")}))
    assert "no identity Lease is renewed by cp2" in said(disagreement(fewer, nameless, probes()))
    unlabelled = replace(CENSUS, leases=frozenset((name, "") for name in IDS))
    assert disagreement(replace(unlabelled, control_plane_nodes=frozenset()), nameless, probes()) is None
    unknown = [replace(probe, id_hash=None) for probe in probes()]
    assert "identity.hostname is missing" in said(disagreement(CENSUS, nameless, unknown))


def test_the_leases_of_servers_without_hostnames_tie_them_to_their_nodes(tmp_path: Path) -> None:
    nameless = [replace(server, hostname=None) for server in servers(tmp_path)]
    more = replace(CENSUS, control_plane_nodes=CENSUS.control_plane_nodes | {"cp7"})
    assert "control-plane Node cp7" in said(disagreement(more, nameless, probes()))


def test_a_server_without_an_address_cannot_be_tied_to_the_endpoints(tmp_path: Path) -> None:
    nowhere = [replace(server, advertise_address=None, url_host="cp.example") for server in servers(tmp_path)]
    assert "identity.advertiseAddress is missing" in said(disagreement(CENSUS, nowhere, probes()))
    by_url = [replace(server, advertise_address=None) for server in servers(tmp_path)]
    assert disagreement(CENSUS, by_url, probes()) is None


def test_a_rotation_through_a_load_balancer_with_two_servers_behind_it_stops(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cp2 = cluster.server("cp2")
    one, turns = (cp2.start_time, cp2.serial), itertools.count()
    cluster.clock.every(0.5, lambda: take_turns(cp2, one, next(turns)), first=30.0)
    error = stops(cluster)
    assert error.rule == "R11"
    assert "more than one process answers at the address of cp2" in str(error)


@pytest.mark.parametrize("look", range(1, 12))
def test_a_server_that_somebody_restarts_while_it_is_asked_for_the_others_is_waited_for(
    look: int, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    looks = itertools.count(1)

    def take_away(name: str, ready: bool) -> None:
        # NOTE: after the last probe of a look, and before the census, which is asked of cp1.
        underway = ready and name == "cp3" and cluster.journal().unfinished()
        if underway and next(looks) == look:
            cluster.server("cp1").restart()

    cluster.on_probe = take_away
    begin(cluster.session(), ROTATE)
    assert_done(cluster, SCENES[4])
    assert next(looks) > look + 1, "it was restarted, and looked at again"


def test_a_server_that_stays_up_and_does_not_tell_who_the_servers_are_stops_it_with_its_own_words(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path)
    tell = cluster.census

    def census() -> Census:
        if cluster.journal().unfinished():
            raise UnreachableError("API server cp1 does not let us list leases.coordination.k8s.io")
        return tell()

    cluster.census = census  # type: ignore[method-assign]
    assert "does not let us list leases" in f"{(error := stops(cluster))} {error.cause}"


def take_turns(server: SimServer, one: tuple[float, int], turn: int) -> None:
    server.start_time, server.serial = one if turn % 2 else (one[0] + 7, one[1] + 50)
