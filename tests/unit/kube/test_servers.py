"""One API server: what is asked of it, and what its answers mean."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from keyctl.errors import UnreachableError
from keyctl.kube.grants import BINDINGS, CLUSTER_BINDINGS, CLUSTER_ROLES, ROLES
from keyctl.kube.interface import Listed, ObjectRef, ServerProbe
from keyctl.kube.servers import HttpApiServer
from tests.support.scripted_api import Reply, Request, ScriptedApi, reply, scripted_api, status_reply

_REF = ObjectRef("secrets", "kube-system", "keyctl-canary-1", "uid-1")
_ALL = ["get", "list", "patch"]
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_INFO = 'apiserver_encryption_config_controller_last_config_info{apiserver_id_hash="sha256:aa",hash="sha256:bb"} 1'


def _discovery(group: str, resources: Mapping[str, list[str]]) -> Reply:
    entries = [{"resource": name, "verbs": verbs} for name, verbs in resources.items()]
    version = {"version": "v1", "resources": entries}
    items = [{"metadata": {"name": group}, "versions": [version]}]
    return reply({"kind": "APIGroupDiscoveryList", "items": items})


def _usual() -> dict[str, Reply]:
    """The answers of a healthy server, by path."""
    return {
        "/readyz": Reply(200, b"ok"),
        "/metrics": Reply(200, f"{_INFO}\nprocess_start_time_seconds 17.5\n".encode()),
        "/version": reply({"gitVersion": "v1.37.1"}),
        "/api": _discovery("", {"secrets": _ALL, "bindings": ["create"]}),
        "/apis": _discovery("apps", {"deployments": _ALL}),
        "/api/v1/secrets": reply({"items": [{}, {}]}),
        "/api/v1/namespaces/kube-system": reply({"metadata": {"uid": "uid-of-kube-system"}}),
        "/api/v1/namespaces/kube-system/secrets": reply({"metadata": {"uid": "uid-1"}}, 201),
        "/api/v1/namespaces/kube-system/secrets/keyctl-canary-1": reply({"metadata": {"resourceVersion": "5"}}),
        "/apis/apiregistration.k8s.io/v1/apiservices": reply(
            {"items": [{"spec": {"group": "a.io", "service": {"name": "s"}}}, {"spec": {"group": "apps"}}]}
        ),
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": reply({"status": {"allowed": True}}, 201),
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases": reply({"items": []}),
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices": reply(
            {"items": [{"endpoints": [{"addresses": ["10.0.0.1"]}]}]}
        ),
        "/api/v1/nodes": reply({"items": [{"metadata": {"name": "cp1"}}]}),
        **dict.fromkeys((CLUSTER_ROLES, CLUSTER_BINDINGS, ROLES, BINDINGS), reply({"items": []})),
    }


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., tuple[HttpApiServer, ScriptedApi]]:
    """Start a server that answers as usual but for what is given by path; a list is given out one by one."""

    def begin(changes: Mapping[str, Reply | list[Reply]] | None = None) -> tuple[HttpApiServer, ScriptedApi]:
        answers: dict[str, Reply | list[Reply]] = {**_usual(), **(changes or {})}

        def answer(asked: Request) -> Reply:
            said = answers.get(urlsplit(asked.path).path, status_reply(404, "not found"))
            return said.pop(0) if isinstance(said, list) else said

        running = scripted_api(tmp_path, answer)
        api = running.__enter__()
        request.addfinalizer(lambda: running.__exit__(None, None, None))
        return HttpApiServer("cp1", api.connect(), sleep=lambda _: None), api

    return begin


_Start = Callable[..., tuple[HttpApiServer, ScriptedApi]]


def test_no_call_ever_asks_for_more_of_an_object_than_its_metadata(start: _Start) -> None:
    server, api = start()
    server.probe()
    server.list_metadata("secrets")
    list(server.list_objects("secrets"))
    server.get_metadata(_REF)
    server.kube_system_uid()
    server.census()
    server.own_network()
    server.grants()
    server.transformed()
    server.discover()
    server.aggregated_groups()
    server.may("patch", "secrets")
    server.patch_empty([_REF], workers=1)
    server.patch_empty([_REF], workers=1, dry_run=True)
    server.create_canary("kube-system", "keyctl-canary-1")
    server.delete_canary(_REF)
    # A StorageVersionMigration carries no data.
    others = {"name", "close", "migrations"}
    public = {name for name in vars(HttpApiServer) if not name.startswith("_")} - others
    assert len(public) == 15, "call the new method here too"
    about_objects = [r for r in api.requests if re.search(r"/secrets\b|/namespaces/[^/]+$", r.path)]
    assert {(r.method, r.headers["Accept"]) for r in about_objects} == {
        ("GET", _METADATA),
        ("GET", _METADATA_LIST),
        ("PATCH", _METADATA),
        ("POST", _METADATA),
        ("DELETE", _METADATA),
    }
    assert all("watch" not in r.path and "," not in r.headers["Accept"] for r in about_objects)
    harmless = (
        r"/readyz|/metrics|/version|/apis?$|/leases\?|/endpointslices\?|/nodes\?|/apiservices\?"
        r"|/selfsubjectaccessreviews$|/services\?|/ingresses\?"
        r"|/rbac\.authorization\.k8s\.io/v1/(namespaces/kube-system/)?(cluster)?role(binding)?s\?"
    )
    assert all(re.search(harmless, r.path) for r in api.requests if r not in about_objects)


def test_a_probe_tells_everything_from_one_new_connection(start: _Start) -> None:
    server, api = start()
    seen = server.probe()
    serial = seen.certificate_serial
    assert serial > 0
    assert seen == ServerProbe(
        "cp1",
        ready=True,
        loaded_hash="sha256:bb",
        id_hash="sha256:aa",
        start_time=17.5,
        certificate_serial=serial,
        version="v1.37.1",
    )
    assert seen.ahead is not None
    assert abs(seen.ahead) < 2
    assert seen.begun is not None
    assert abs((time.monotonic() - seen.begun) - (time.time() - 17.5)) < 2
    server.kube_system_uid()
    server.probe()
    first, *_, last = (r.connection for r in api.requests)
    assert first != last
    assert len({r.connection for r in api.requests[:3]}) == 1


def test_a_server_that_is_not_ready_names_its_failed_checks_and_nothing_else(start: _Start) -> None:
    body = b"[+]ping ok\n[-]informer-sync failed: reason withheld\n[-]etcd failed: hunter2\nreadyz check failed\n"
    seen = start({"/readyz": Reply(500, body)})[0].probe()
    assert (seen.ready, seen.problem) == (False, "not ready: informer-sync, etcd")
    assert seen.loaded_hash == "sha256:bb"


def test_metrics_that_may_not_be_read_are_a_problem_not_a_server_without_encryption(start: _Start) -> None:
    seen = start({"/metrics": status_reply(403, "forbidden: no metrics")})[0].probe()
    assert (seen.ready, seen.loaded_hash) == (True, None)
    assert seen.problem == "its metrics cannot be read: HTTP 403: forbidden: no metrics"


def test_counters_that_may_not_be_read_are_not_none(start: _Start) -> None:
    with pytest.raises(UnreachableError, match="get metrics"):
        start({"/metrics": status_reply(403, "forbidden: no metrics")})[0].transformed()


def test_a_server_that_is_down_is_an_answer_to_a_probe_and_an_error_to_all_else(start: _Start) -> None:
    server, _ = start(dict.fromkeys(_usual(), Reply(drop=True)))
    seen = server.probe()
    assert not seen.ready
    assert seen.problem
    for call in (server.kube_system_uid, server.census, server.discover, server.aggregated_groups):
        with pytest.raises(UnreachableError, match="cannot be reached"):
            call()


def _page(count: int, token: str = "") -> Reply:
    return reply({"items": [{}] * count, "metadata": {"continue": token}})


def test_all_pages_of_a_list_are_counted(start: _Start) -> None:
    server, api = start({"/api/v1/secrets": [_page(500, "a/b=="), _page(500, "c"), _page(3)]})
    assert server.list_metadata("secrets") == Listed("secrets", 1003)
    asked = [parse_qs(urlsplit(r.path).query) for r in api.requests if r.path.startswith("/api/v1/secrets")]
    assert asked == [
        {"limit": ["500"]},
        {"limit": ["500"], "continue": ["a/b=="]},
        {"limit": ["500"], "continue": ["c"]},
    ]


def test_a_list_that_expired_between_pages_is_started_again_once(start: _Start) -> None:
    expired = status_reply(410, "The provided continue parameter is too old")
    server, _ = start({"/api/v1/secrets": [_page(500, "a"), expired, _page(500, "b"), _page(1)]})
    assert server.list_metadata("secrets") == Listed("secrets", 501)


def test_a_list_that_keeps_expiring_is_a_problem(start: _Start) -> None:
    expired = status_reply(410, "too old")
    server, _ = start({"/api/v1/secrets": [_page(500, "a"), expired, _page(500, "b"), expired]})
    assert server.list_metadata("secrets") == Listed("secrets", 500, "HTTP 410: too old")


def test_a_list_that_the_server_cannot_answer_is_a_problem_that_says_why(start: _Start) -> None:
    failed = status_reply(500, 'unable to transform key "/registry/secrets/ns/a": no matching prefix found')
    told = start({"/api/v1/secrets": failed})[0].list_metadata("secrets")
    assert told.problem == f"HTTP 500: {json.loads(failed.body)['message']}"


def test_a_resource_that_is_not_served_is_looked_for_anew_and_then_a_problem(start: _Start) -> None:
    later = _discovery("apps", {"deployments": _ALL, "daemonsets": _ALL})
    answers = {"/apis": [_usual()["/apis"], _usual()["/apis"], later], "/apis/apps/v1/daemonsets": _page(1)}
    server, _ = start(answers)
    server.discover()
    assert server.list_metadata("daemonsets.apps") == Listed("daemonsets.apps", 0, "no API serves daemonsets.apps")
    assert server.list_metadata("daemonsets.apps") == Listed("daemonsets.apps", 1)


@pytest.mark.parametrize("code", [401, 403])
def test_what_we_may_not_do_is_an_error_that_names_the_stage(start: _Start, code: int) -> None:
    no = status_reply(code, 'User "alice" cannot')
    server, _ = start({"/api/v1/secrets": no, "/api/v1/namespaces/kube-system/secrets/keyctl-canary-1": no})
    with pytest.raises(UnreachableError) as listing:
        server.list_metadata("secrets")
    with pytest.raises(UnreachableError) as getting:
        server.get_metadata(_REF)
    for caught in (listing, getting):
        assert str(caught.value.cause).startswith(f'authorisation: HTTP {code}: User "alice" cannot')


def test_a_server_that_is_too_busy_is_asked_again(start: _Start) -> None:
    busy = status_reply(429, "later", Retry_After="1")
    assert start({"/api/v1/secrets": [busy, busy, _page(2)]})[0].list_metadata("secrets").count == 2


def test_a_server_that_stays_too_busy_is_given_up(start: _Start) -> None:
    server, api = start({"/api/v1/secrets": status_reply(429, "later")})
    assert server.list_metadata("secrets").problem == "HTTP 429: later"
    assert len([r for r in api.requests if r.path.startswith("/api/v1/secrets")]) == 4


def test_getting_an_object_says_there_gone_or_why_not(start: _Start) -> None:
    path = "/api/v1/namespaces/kube-system/secrets/keyctl-canary-1"
    answers = [reply({}), status_reply(404, "not found"), status_reply(500, "Internal error occurred")]
    server, api = start({path: answers})
    assert [server.get_metadata(_REF) for _ in range(3)] == [
        Listed("secrets", 1),
        Listed("secrets", 0),
        Listed("secrets", 0, "HTTP 500: Internal error occurred"),
    ]
    assert {r.path for r in api.requests if "canary" in r.path} == {path}, "no resourceVersion: etcd itself answers"


def test_discovery_that_is_not_aggregated_is_an_error_not_an_empty_cluster(start: _Start) -> None:
    with pytest.raises(UnreachableError, match="what it serves"):
        start({"/apis": reply({"kind": "APIGroupList", "groups": []})})[0].discover()


def test_discovery_knows_what_can_be_listed_and_patched(start: _Start) -> None:
    assert start()[0].discover() == {"secrets": "v1", "deployments.apps": "apps/v1"}


def test_groups_that_another_process_serves(start: _Start) -> None:
    assert start()[0].aggregated_groups() == {"a.io"}


def test_the_census_falls_back_to_endpoints_without_slices(start: _Start) -> None:
    endpoints = reply({"items": [{"subsets": [{"addresses": [{"ip": "10.0.0.9"}]}]}]})
    server, _ = start(
        {
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices": reply({"items": []}),
            "/api/v1/namespaces/default/endpoints": endpoints,
        }
    )
    census = server.census()
    assert (set(census.endpoints), set(census.control_plane_nodes)) == ({"10.0.0.9"}, {"cp1"})
    assert census.unready_nodes == {"cp1"}, "its kubelet has not said that it is ready"


@pytest.mark.parametrize("kind", ["leases", "nodes"])
def test_a_census_that_may_not_be_taken_is_an_error_not_an_empty_one(start: _Start, kind: str) -> None:
    (path,) = (path for path in _usual() if path.endswith(f"/{kind}"))
    with pytest.raises(UnreachableError, match="you may not list"):
        start({path: status_reply(403, "no")})[0].census()


@pytest.mark.parametrize("allowed", [True, False, None, "true"])
def test_only_a_plain_yes_is_a_permission(start: _Start, allowed: object) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server, api = start({path: reply({"status": {"allowed": allowed}}, 201)})
    assert server.may("patch", "deployments.apps", namespace="ns") is (allowed is True)
    asked = json.loads(api.requests[0].body)["spec"]["resourceAttributes"]
    assert asked == {"verb": "patch", "group": "apps", "resource": "deployments", "namespace": "ns"}


def test_a_canary_has_no_data_and_is_deleted_only_if_it_is_the_same_object(start: _Start) -> None:
    server, api = start()
    canary = server.create_canary("kube-system", "keyctl-canary-1")
    assert canary == _REF
    server.delete_canary(canary)
    created, deleted = (json.loads(r.body) for r in api.requests)
    assert created["metadata"] == {"name": "keyctl-canary-1", "labels": {"app.kubernetes.io/managed-by": "keyctl"}}
    assert not {"data", "stringData"} & set(created)
    assert deleted == {"preconditions": {"uid": "uid-1"}}


@pytest.mark.parametrize("code", [404, 409])
def test_a_canary_that_is_gone_or_another_object_now_needs_no_deletion(start: _Start, code: int) -> None:
    path = "/api/v1/namespaces/kube-system/secrets/keyctl-canary-1"
    start({path: status_reply(code, "no")})[0].delete_canary(_REF)


@pytest.mark.parametrize("code", [403, 500])
def test_a_canary_that_cannot_be_deleted_is_an_error(start: _Start, code: int) -> None:
    path = "/api/v1/namespaces/kube-system/secrets/keyctl-canary-1"
    with pytest.raises(UnreachableError, match="delete secrets"):
        start({path: status_reply(code, "no")})[0].delete_canary(_REF)


_LEFT = {"metadata": {"uid": "uid-old", "labels": {"app.kubernetes.io/managed-by": "keyctl"}}}


def test_a_canary_left_behind_is_deleted_and_created_anew_once(start: _Start) -> None:
    path = "/api/v1/namespaces/kube-system/secrets"
    there = status_reply(409, "already exists")
    server, api = start({path: [there, _usual()[path], there, there], f"{path}/keyctl-canary-1": reply(_LEFT)})
    assert server.create_canary("kube-system", "keyctl-canary-1") == _REF
    assert [r.method for r in api.requests] == ["POST", "GET", "DELETE", "POST"]
    assert b"uid-old" in api.requests[2].body
    with pytest.raises(UnreachableError, match="create secrets"):
        server.create_canary("kube-system", "keyctl-canary-1")


def test_a_secret_of_somebody_else_with_a_canarys_name_is_never_deleted(start: _Start) -> None:
    path = "/api/v1/namespaces/kube-system/secrets"
    foreign = reply({"metadata": {"uid": "uid-theirs", "labels": {"app.kubernetes.io/managed-by": "helm"}}})
    server, api = start({path: status_reply(409, "already exists"), f"{path}/keyctl-canary-1": foreign})
    with pytest.raises(UnreachableError, match="create secrets"):
        server.create_canary("kube-system", "keyctl-canary-1")
    assert "DELETE" not in [r.method for r in api.requests]


@pytest.mark.parametrize("code", [403, 500])
def test_a_canary_that_cannot_be_created_is_an_error(start: _Start, code: int) -> None:
    with pytest.raises(UnreachableError, match="create secrets"):
        start({"/api/v1/namespaces/kube-system/secrets": status_reply(code, "no")})[0].create_canary(
            "kube-system", "keyctl-canary-1"
        )


def test_only_canaries_are_created_and_deleted(start: _Start) -> None:
    server, api = start()
    with pytest.raises(ValueError, match="canary"):
        server.create_canary("kube-system", "db-pass")
    with pytest.raises(ValueError, match="canary"):
        server.delete_canary(ObjectRef("secrets", "ns", "db-pass", "u"))
    assert api.requests == []


def test_kube_system_without_a_uid_is_no_cluster(start: _Start) -> None:
    with pytest.raises(UnreachableError):
        start({"/api/v1/namespaces/kube-system": reply({})})[0].kube_system_uid()
