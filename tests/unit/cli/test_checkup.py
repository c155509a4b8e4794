"""What doctor makes of etcd members, certificates and API servers that answer one thing or another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyctl.cli.checkup import etcds, servers
from keyctl.etcd.interface import EndpointStatus
from keyctl.kube.interface import ServerProbe
from keyctl.pki.inspect import Certificate
from keyctl.reports.checklist import Mark
from keyctl.rotation.diagnosis.facts import ServerSeen
from keyctl.rotation.diagnosis.look import Look, Place
from tests.support.sim_server import SimApi
from tests.support.simulator import SimCluster

FINE = EndpointStatus(
    endpoint="https://10.0.0.1:2379",
    version="3.7.3",
    cluster_id="c",
    member_id="1",
    revision=9,
    db_size=1_000_000,
    quota=2_000_000_000,
    in_use=900_000,
    leader="1",
)


def told(status: EndpointStatus) -> dict[str, Mark]:
    return {item.finding.id: item.mark for item in etcds._member("10.0.0.1:2379", status)}


def test_a_healthy_member_is_fine() -> None:
    assert told(FINE) == {"KC-DOC-012": Mark.OK}
    assert told(replace(FINE, quota=0)) == {"KC-DOC-012": Mark.OK}


@pytest.mark.parametrize("broken", [{"leader": "0"}, {"leader": ""}, {"learner": True}, {"errors": ("corrupt",)}])
def test_a_member_without_leader_a_learner_and_one_with_errors_fail(broken: dict[str, object]) -> None:
    fields = {"leader": FINE.leader, "learner": False, "errors": ()} | broken
    status = replace(
        FINE,
        leader=str(fields["leader"]),
        learner=bool(fields["learner"]),
        errors=("corrupt",) if fields["errors"] else (),
    )
    assert told(status)["KC-DOC-011"] is Mark.FAILED


def test_a_nearly_full_database_and_an_old_etcd_are_warnings() -> None:
    assert told(replace(FINE, db_size=1_700_000_000))["KC-DOC-012"] is Mark.WARNING
    assert told(replace(FINE, version="3.4.30"))["KC-DOC-013"] is Mark.WARNING
    assert "KC-DOC-013" not in told(replace(FINE, version="3.5.0"))


def test_endpoints_of_two_clusters_fail() -> None:
    (item,) = etcds._apart([FINE, replace(FINE, cluster_id="other")])
    assert item.mark is Mark.FAILED
    assert list(etcds._apart([FINE, FINE])) == []


@pytest.mark.parametrize(("days", "mark"), [(-1, Mark.WARNING), (10, Mark.WARNING), (200, Mark.OK)])
def test_a_certificate_is_told_before_it_expires(days: int, mark: Mark) -> None:
    now = datetime.now(UTC)
    certificate = Certificate("client", "ca", (), now - timedelta(days=300), now + timedelta(days=days, hours=1), 1)
    item = etcds._expiry("client certificate", "", certificate)
    assert item.mark is mark
    assert '"client"' in item.finding.message


def test_what_a_strange_server_shows_does_nothing_to_a_terminal() -> None:
    now = datetime.now(UTC)
    for days in (-9, 9, 99):
        shown = Certificate("\x1b[2Jetcd", "ca", (), now - timedelta(days=100), now + timedelta(days=days), 1)
        assert "\x1b" not in etcds._expiry("server certificate", "", shown).finding.message


@pytest.fixture
def api(tmp_path: object) -> SimApi:
    assert hasattr(tmp_path, "joinpath")
    return SimApi(SimCluster(tmp_path.joinpath("sim")).servers[0])


def reach(api: SimApi, probe: ServerProbe, *, loaded_by: str = "hash") -> dict[str, Mark]:
    seen = ServerSeen("cp1", "/enc.yaml", flag=True, answers=True, ready=probe.ready, loaded_by=loaded_by, doubt="why")
    look = Look(Place("cp1", "/enc.yaml", api=api), seen, probe)
    return {item.finding.id: item.mark for item in servers.look_at_servers((look,))}


def test_an_api_server_that_is_ready_and_tells_its_hash_is_fine(api: SimApi) -> None:
    assert reach(api, ServerProbe("cp1", ready=True, loaded_hash="sha256:x", ahead=0.3)) == {
        "KC-DOC-020": Mark.OK,
        "KC-DOC-021": Mark.OK,
        "KC-DOC-023": Mark.OK,
    }


def test_a_server_that_refuses_us_is_told_from_one_that_is_down(api: SimApi) -> None:
    refused = ServerProbe("cp1", ready=False, refuses_us=True, problem="401 Unauthorized")
    assert reach(api, refused) == {"KC-DOC-020": Mark.FAILED}
    assert reach(api, ServerProbe("cp1", ready=False, problem="tcp: refused"))["KC-DOC-020"] is Mark.FAILED


def test_a_clock_that_is_apart_a_reload_that_was_refused_and_a_silent_server_are_warnings(api: SimApi) -> None:
    assert reach(api, ServerProbe("cp1", ready=True, ahead=-9.0))["KC-DOC-023"] is Mark.WARNING
    assert reach(api, ServerProbe("cp1", ready=True, reload_failures=2))["KC-DOC-021"] is Mark.WARNING
    assert reach(api, ServerProbe("cp1", ready=True), loaded_by="")["KC-DOC-021"] is Mark.WARNING


def test_a_server_that_there_is_no_way_to_is_not_checked() -> None:
    look = Look(
        Place("cp1", "/enc.yaml", no_api="no kubeconfig"), ServerSeen("cp1", "/enc.yaml"), ServerProbe("", ready=False)
    )
    (item,) = servers.look_at_servers((look,))
    assert item.mark is Mark.NOT_CHECKED
    assert "no kubeconfig" in item.finding.message
    (none,) = servers.look_at_servers(())
    assert none.mark is Mark.NOT_CHECKED
