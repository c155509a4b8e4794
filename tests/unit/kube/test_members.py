"""Who says it is an API server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keyctl.kube.members import ahead, endpoint_addresses, fresh_leases, names, slice_addresses, unready

_DATE = "Sat, 21 Nov 2026 09:10:00 GMT"


def _lease(name: str, renewed: str) -> dict[str, object]:
    labels = {"kubernetes.io/hostname": f"{name}-host"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"renewTime": renewed}}


def test_a_lease_renewed_within_a_minute_counts_with_its_host_name() -> None:
    leases = [_lease("a", "2026-11-21T09:09:58.100000Z"), _lease("b", "2026-11-21T09:09:02.000000Z")]
    assert fresh_leases(leases, _DATE) == {("a", "a-host"), ("b", "b-host")}


def test_the_lease_of_a_server_dead_for_longer_does_not_count() -> None:
    leases = [_lease("a", "2026-11-21T09:09:58Z"), _lease("dead", "2026-11-21T09:08:50Z")]
    assert fresh_leases(leases, _DATE) == {("a", "a-host")}


def test_a_server_whose_clock_is_ahead_does_not_hide_another() -> None:
    leases = [_lease("ahead", "2026-11-21T09:15:00Z"), _lease("right", "2026-11-21T09:09:55Z")]
    assert fresh_leases(leases, _DATE) == {("ahead", "ahead-host"), ("right", "right-host")}


def test_an_asked_server_whose_clock_is_ahead_does_not_hide_another() -> None:
    leases = [_lease("a", "2026-11-21T09:01:00Z"), _lease("b", "2026-11-21T09:01:20Z")]
    assert fresh_leases(leases, _DATE) == {("a", "a-host"), ("b", "b-host")}


def test_without_a_date_the_newest_renewal_is_now() -> None:
    leases = [_lease("a", "2026-11-21T09:01:00Z"), _lease("b", "2026-11-21T09:03:00Z")]
    assert fresh_leases(leases, None) == {("b", "b-host")}


def test_leases_without_a_renewal_time_do_not_count() -> None:
    assert fresh_leases([{"metadata": {"name": "x"}}, _lease("y", "soon"), 5], _DATE) == frozenset()


def test_addresses_come_from_slices_and_from_endpoints_ready_or_not() -> None:
    assert slice_addresses([{"endpoints": [{"addresses": ["10.0.0.1", "10.0.0.2"]}, {}]}]) == {"10.0.0.1", "10.0.0.2"}
    subsets = [{"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.3"}]}]
    assert endpoint_addresses([{"subsets": subsets}]) == {"10.0.0.1", "10.0.0.3"}


def test_names_of_nodes() -> None:
    assert names([{"metadata": {"name": "cp1"}}, {"metadata": {"name": "cp2"}}]) == {"cp1", "cp2"}


def _node(name: str, *conditions: tuple[str, str]) -> dict[str, object]:
    told = [{"type": kind, "status": status} for kind, status in conditions]
    return {"metadata": {"name": name}, "status": {"conditions": told}}


def test_a_node_is_ready_only_while_its_kubelet_says_so() -> None:
    nodes = [
        _node("cp1", ("DiskPressure", "False"), ("Ready", "True")),
        _node("cp2", ("Ready", "False"), ("DiskPressure", "True")),
        _node("cp3", ("Ready", "Unknown")),
        _node("cp4"),
    ]
    assert unready(nodes) == {"cp2", "cp3", "cp4"}


def test_the_clock_of_a_server_is_measured_against_the_middle_of_the_question() -> None:
    now = datetime(2026, 11, 21, 9, 10, tzinfo=UTC).timestamp()
    assert ahead(_DATE, now + 0.4, now + 0.6) == pytest.approx(0.0)
    assert ahead(_DATE, now - 60, now - 58) == pytest.approx(59.5)
    assert ahead(None, now, now) is None
    assert ahead("soon", now, now) is None
