"""StorageVersionMigrations over HTTP: what is sent, and how their conditions are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keyctl.errors import RefusedError, UnreachableError
from keyctl.kube.interface import MIGRATIONS, Migration, MigrationState
from keyctl.kube.migration import KubeMigrations
from tests.support.scripted_api import Reply, Request, ScriptedApi, reply, scripted_api, status_reply

_V1 = "storagemigration.k8s.io/v1"
_COLLECTION = f"/apis/{_V1}/storageversionmigrations"
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"


def _object(*conditions: tuple[str, str, str], group: str = "", resource: str = "secrets") -> dict[str, object]:
    return {
        "metadata": {"name": "keyctl-r1", "uid": "u-1"},
        "spec": {"resource": {"group": group, "resource": resource}},
        "status": {"conditions": [{"type": t, "status": s, "message": m} for t, s, m in conditions]},
    }


def _migrations(api: ScriptedApi, version: str | None = _V1) -> KubeMigrations:
    return KubeMigrations(api.connect(), lambda resource: version if resource == MIGRATIONS else None)


def _answering(found: dict[str, object]) -> Callable[[Request], Reply]:
    return lambda _: reply(found)


def test_it_is_created_for_one_resource_and_marked_as_ours(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: reply(_object(group="apps", resource="deployments"), 201)) as api:
        made = _migrations(api).create("keyctl-r1", "deployments.apps")
    assert made == Migration("keyctl-r1", "u-1", "deployments.apps", MigrationState.PENDING)
    (asked,) = api.requests
    assert (asked.method, asked.path) == ("POST", _COLLECTION)
    assert json.loads(asked.body) == {
        "apiVersion": _V1,
        "kind": "StorageVersionMigration",
        "metadata": {"name": "keyctl-r1", "labels": {"app.kubernetes.io/managed-by": "keyctl"}},
        "spec": {"resource": {"group": "apps", "resource": "deployments"}},
    }


def test_the_older_usable_version_is_asked_for_where_only_that_is_served(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _answering(_object())) as api:
        _migrations(api, "storagemigration.k8s.io/v1beta1").find("x")
    assert api.requests[0].path == "/apis/storagemigration.k8s.io/v1beta1/storageversionmigrations/x"


@pytest.mark.parametrize("version", [None, "storagemigration.k8s.io/v1alpha1"])
def test_without_a_usable_version_nothing_is_asked(version: str | None, tmp_path: Path) -> None:
    with scripted_api(tmp_path, _answering(_object())) as api, pytest.raises(RefusedError) as caught:
        _migrations(api, version).find("x")
    assert api.requests == []
    assert caught.value.cause == (f"it serves {version}" if version else "it serves none")


@pytest.mark.parametrize(
    ("conditions", "state", "message"),
    [
        ((), MigrationState.PENDING, ""),
        ((("Running", "True", "on it"),), MigrationState.RUNNING, "on it"),
        ((("Running", "False", "no"),), MigrationState.PENDING, ""),
        ((("Running", "True", "on it"), ("Succeeded", "True", "done")), MigrationState.SUCCEEDED, "done"),
        ((("Succeeded", "False", ""), ("Failed", "True", "why")), MigrationState.FAILED, "why"),
        ((("Failed", "True", 'data: Invalid value: "hunter2"'),), MigrationState.FAILED, "data: "),
    ],
)
def test_its_state_is_its_furthest_true_condition_without_values(
    conditions: tuple[tuple[str, str, str], ...], state: MigrationState, message: str, tmp_path: Path
) -> None:
    with scripted_api(tmp_path, _answering(_object(*conditions))) as api:
        found = _migrations(api).find("keyctl-r1")
    assert found == Migration("keyctl-r1", "u-1", "secrets", state, message)


def test_one_that_is_there_already_is_gone_on_with_and_anothers_is_not(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        return status_reply(409, "exists") if request.method == "POST" else reply(_object(("Running", "True", "")))

    with scripted_api(tmp_path, answer) as api:
        assert _migrations(api).create("keyctl-r1", "secrets").state is MigrationState.RUNNING
        with pytest.raises(RefusedError, match="another StorageVersionMigration"):
            _migrations(api).create("keyctl-r1", "configmaps")


def test_none_of_that_name_is_none_and_a_refusal_names_the_right(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: status_reply(404, "not found")) as api:
        assert _migrations(api).find("x") is None
    with scripted_api(tmp_path, lambda _: status_reply(403, "no")) as api:
        with pytest.raises(UnreachableError, match=f"may not get {MIGRATIONS}"):
            _migrations(api).find("x")
        with pytest.raises(UnreachableError, match=f"may not create {MIGRATIONS}"):
            _migrations(api).create("x", "secrets")
        with pytest.raises(UnreachableError, match=f"may not delete {MIGRATIONS}"):
            _migrations(api).delete(Migration("x", "u", "secrets", MigrationState.PENDING))


@pytest.mark.parametrize("status", [200, 404, 409])
def test_it_is_deleted_by_its_uid(status: int, tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: reply({}, status)) as api:
        _migrations(api).delete(Migration("keyctl-r1", "u-1", "secrets", MigrationState.FAILED))
    (asked,) = api.requests
    assert (asked.method, urlsplit(asked.path).path) == ("DELETE", f"{_COLLECTION}/keyctl-r1")
    assert json.loads(asked.body) == {"preconditions": {"uid": "u-1"}}


@pytest.mark.parametrize(
    ("renewed", "date", "silent"),
    [
        ("2026-11-21T10:00:00.500000Z", "Sat, 21 Nov 2026 10:06:40 GMT", 399.5),
        ("2026-11-21T10:00:09.000000Z", "Sat, 21 Nov 2026 10:00:00 GMT", 0.0),
        ("", "Sat, 21 Nov 2026 10:06:40 GMT", None),
        ("yesterday", "Sat, 21 Nov 2026 10:06:40 GMT", None),
        ("2026-11-21T10:00:00Z", "not long ago", None),
    ],
)
def test_how_long_the_controller_manager_has_been_silent_is_told_by_the_servers_clock(
    renewed: str, date: str, silent: float | None, tmp_path: Path
) -> None:
    with scripted_api(tmp_path, lambda _: reply({"spec": {"renewTime": renewed}}, Date=date)) as api:
        assert _migrations(api).manager_silent_for() == silent
    assert api.requests[0].path == _LEASE


def test_a_lease_that_may_not_be_seen_tells_nothing(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: status_reply(403, "no")) as api:
        assert _migrations(api).manager_silent_for() is None
