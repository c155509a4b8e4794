"""What every Kubernetes API does; run on the fake and on a real kube-apiserver."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.kube.client import connect
from keyctl.kube.interface import (
    ApiServer,
    Census,
    MigrationState,
    ObjectRef,
    Outcome,
    Patched,
    Refusal,
    RotationLease,
    Transformed,
)
from keyctl.kube.lease import Holder, KubeLease
from keyctl.kube.servers import HttpApiServer
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support.etcd_process import free_port
from tests.support.fake_kube import FakeApiServer, FakeCluster, FakeRotationLease, key_of, replaced
from tests.support.plane import control_planes
from tests.support.real_kube import api_server, connection, create_secret, refusing_webhook, write_with

_numbers = itertools.count(1)
_AESCBC = "k8s:enc:aescbc:v1:"


class _Scene(Protocol):
    """A server, and what others do to the cluster behind it."""

    api: ApiServer
    down: ApiServer

    def secret(self) -> ObjectRef: ...
    def make_stale(self) -> None: ...
    def counters(self) -> tuple[Transformed, ...]: ...
    def refusing(self, folder: Path) -> AbstractContextManager[ObjectRef]: ...
    def lease(self, place: str, run: str, *, through_down: bool = False) -> RotationLease: ...
    def let_leases_run_out(self) -> None: ...


class _Fake:
    def __init__(self) -> None:
        self.now = 0.0
        lease, address = ("apiserver-1", "host"), "10.0.0.1"
        self.cluster = FakeCluster(census=Census(frozenset({lease}), frozenset({address}), frozenset()))
        self.server = FakeApiServer("cp1", self.cluster, loaded_hash="sha256:aa", id_hash="sha256:bb")
        self.down_server = FakeApiServer("cp2", self.cluster, down=True)
        self.api: ApiServer = self.server
        self.down: ApiServer = self.down_server

    def secret(self) -> ObjectRef:
        return self.cluster.add("secrets", "default", f"s{next(_numbers)}")

    def make_stale(self) -> None:
        self.cluster.make_stale()

    def counters(self) -> tuple[Transformed, ...]:
        self.server.counters = (Transformed("secrets", written=True, prefix=_AESCBC, succeeded=True, count=1),)
        return self.server.transformed()

    @contextmanager
    def refusing(self, folder: Path) -> Iterator[ObjectRef]:
        ref = self.secret()
        self.server.answers[key_of(ref)] = (403, 'admission webhook "deny.policy.test" denied: label owner missing')
        yield ref

    def lease(self, place: str, run: str, *, through_down: bool = False) -> RotationLease:
        server = self.down_server if through_down else self.server
        return FakeRotationLease(self.cluster, (server,), lambda: self.now, place, run)

    def let_leases_run_out(self) -> None:
        self.now += 100


class _Real:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.keys = ["key1"]
        self.seconds = 0.0
        write_with(lab, *self.keys)
        self.http = api_server(lab, "cp1")
        self.api: ApiServer = self.http
        url = f"https://127.0.0.1:{free_port()}"
        self.nobody = connect(lab.layout.kubeconfig, None, url=url, server_name=None, ca=None, timeout=2)
        self.down: ApiServer = HttpApiServer("cp2", self.nobody)
        self.connections = [connection(lab, "cp1")]

    def secret(self) -> ObjectRef:
        return create_secret(self.lab, "default", f"s{next(_numbers)}")

    def counters(self) -> tuple[Transformed, ...]:
        return self.http.transformed()

    def make_stale(self) -> None:
        self.keys.insert(0, f"key{len(self.keys) + 1}")
        write_with(self.lab, *self.keys)

    @contextmanager
    def refusing(self, folder: Path) -> Iterator[ObjectRef]:
        with refusing_webhook(self.lab, folder):
            yield create_secret(self.lab, "default", f"s{next(_numbers)}", labels={"keep": "as-it-is"})

    def lease(self, place: str, run: str, *, through_down: bool = False) -> RotationLease:
        # A duration of a second: whoever checks renews, and what is left alone runs out soon.
        servers = [self.nobody] if through_down else self.connections
        return KubeLease(servers, Holder(place, run), monotonic=self._monotonic, duration=2)

    def let_leases_run_out(self) -> None:
        time.sleep(3.5)

    def close(self) -> None:
        self.http.close()
        for one in self.connections:
            one.close()

    def _monotonic(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.fixture(scope="module")
def real(etcd_server: EtcdAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Real]:
    with control_planes(etcd_server, tmp_path_factory.mktemp("kube")) as start:
        made = _Real(start(1, reload=True))
        yield made
        made.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.live)])
def scene(request: pytest.FixtureRequest) -> _Scene:
    if request.param == "fake":
        return _Fake()
    made: _Scene = request.getfixturevalue("real")
    return made


def _patch(scene: _Scene, ref: ObjectRef, *, dry_run: bool = False) -> Patched:
    (result,) = scene.api.patch_empty([ref], workers=1, dry_run=dry_run)
    return result


def test_a_probe_of_a_ready_server_tells_what_it_is(scene: _Scene) -> None:
    seen = scene.api.probe()
    assert (seen.name, seen.ready, seen.problem) == ("cp1", True, "")
    assert str(seen.loaded_hash).startswith("sha256:")
    assert str(seen.id_hash).startswith("sha256:")
    assert seen.start_time > 0
    assert seen.certificate_serial > 0
    assert seen.version.startswith("v1.")


def test_a_server_counts_what_it_has_encrypted(scene: _Scene) -> None:
    scene.secret()
    told = [one for one in scene.counters() if one.written and one.succeeded and one.resource == "secrets"]
    assert {one.prefix for one in told} & {_AESCBC, ""} == {_AESCBC}
    assert all(one.count > 0 for one in told)


def test_a_server_that_is_down_answers_a_probe_and_fails_all_else(scene: _Scene) -> None:
    seen = scene.down.probe()
    assert (seen.name, seen.ready, seen.loaded_hash) == ("cp2", False, None)
    assert "connection refused" in seen.problem
    for call in (scene.down.kube_system_uid, scene.down.census, scene.down.discover, scene.down.aggregated_groups):
        with pytest.raises(UnreachableError) as caught:
            call()
        assert "connection refused" in str(caught.value.cause)


def test_the_resources_that_can_be_rewritten_have_a_version(scene: _Scene) -> None:
    served = scene.api.discover()
    assert (served["secrets"], served["deployments.apps"]) == ("v1", "apps/v1")
    assert "bindings" not in served
    assert scene.api.aggregated_groups() == frozenset()


def test_the_cluster_has_one_uid_and_a_server(scene: _Scene) -> None:
    assert scene.api.kube_system_uid() == scene.api.kube_system_uid() != ""
    census = scene.api.census()
    ((name, hostname),) = census.leases
    assert name.startswith("apiserver-")
    assert hostname
    assert len(census.endpoints) == 1


def test_an_administrator_may(scene: _Scene) -> None:
    assert scene.api.may("patch", "secrets")
    assert scene.api.may("list", "deployments.apps", namespace="default")


def test_objects_are_counted_and_found_until_they_are_gone(scene: _Scene) -> None:
    before = scene.api.list_metadata("secrets")
    canary = scene.api.create_canary("default", f"keyctl-canary-{next(_numbers)}")
    assert scene.api.list_metadata("secrets").count == before.count + 1
    assert scene.api.get_metadata(canary).count == 1
    scene.api.delete_canary(canary)
    gone = scene.api.get_metadata(canary)
    assert (gone.count, gone.problem) == (0, "")
    assert scene.api.list_metadata("secrets").count == before.count
    scene.api.delete_canary(canary)


def test_a_canary_left_behind_by_an_interrupted_run_is_replaced(scene: _Scene) -> None:
    left = scene.api.create_canary("default", f"keyctl-canary-{next(_numbers)}")
    count = scene.api.list_metadata("secrets").count
    canary = scene.api.create_canary("default", left.name)
    assert (canary.name, scene.api.list_metadata("secrets").count) == (left.name, count)
    assert canary.uid != left.uid
    scene.api.delete_canary(canary)


def test_another_object_of_the_canarys_name_is_left_alone(scene: _Scene) -> None:
    canary = scene.api.create_canary("default", f"keyctl-canary-{next(_numbers)}")
    scene.api.delete_canary(replaced(canary))
    assert scene.api.get_metadata(canary).count == 1
    scene.api.delete_canary(canary)


def test_an_unserved_resource_is_a_problem(scene: _Scene) -> None:
    ref = ObjectRef("widgets.example.com", None, "w", "u")
    assert scene.api.list_metadata(ref.resource).problem == "no API serves widgets.example.com"
    assert scene.api.get_metadata(ref).problem == "no API serves widgets.example.com"
    assert _patch(scene, ref).outcome is Outcome.REFUSED


def test_only_a_stale_object_is_written_and_not_by_a_dry_run(scene: _Scene) -> None:
    ref = scene.secret()
    fresh = _patch(scene, ref)
    assert (fresh.outcome, fresh.status) == (Outcome.SENT, 200)
    assert _patch(scene, ref) == fresh
    scene.make_stale()
    assert _patch(scene, ref, dry_run=True).resource_version == fresh.resource_version
    written = _patch(scene, ref)
    assert written.outcome is Outcome.SENT
    assert written.resource_version is not None
    assert fresh.resource_version is not None
    assert written.resource_version > fresh.resource_version
    assert _patch(scene, ref) == written


def test_an_object_whose_uid_is_not_known_is_written_all_the_same(scene: _Scene) -> None:
    ref = scene.secret()
    nameless = replace(ref, uid="")
    scene.make_stale()
    before = _patch(scene, nameless, dry_run=True)
    written = _patch(scene, nameless)
    assert (before.outcome, written.outcome) == (Outcome.SENT, Outcome.SENT)
    assert written.resource_version is not None
    assert before.resource_version is not None
    assert written.resource_version > before.resource_version
    assert _patch(scene, ref) == replace(written, ref=ref)


def test_every_object_has_its_answer(scene: _Scene) -> None:
    refs = [scene.secret() for _ in range(30)]
    seen: list[Patched] = []
    results = scene.api.patch_empty(iter(refs), workers=4, on_result=seen.append)
    assert {result.ref for result in results} == set(refs)
    assert len(results) == len(refs)
    assert tuple(seen) == results


def test_a_gone_and_a_replaced_object_are_told_apart(scene: _Scene) -> None:
    ref = scene.secret()
    assert _patch(scene, replaced(ref)).outcome is Outcome.LOOK_AGAIN
    canary = scene.api.create_canary("default", f"keyctl-canary-{next(_numbers)}")
    scene.api.delete_canary(canary)
    assert _patch(scene, canary).outcome is Outcome.GONE


def test_every_object_is_listed_with_its_version(scene: _Scene) -> None:
    ref = scene.secret()
    (found,) = [one for one in scene.api.list_objects("secrets") if one.ref == ref]
    assert found.resource_version == _patch(scene, ref).resource_version
    assert len(list(scene.api.list_objects("secrets"))) == scene.api.list_metadata("secrets").count
    with pytest.raises(UnreachableError):
        list(scene.api.list_objects("widgets.example.com"))


def test_a_migration_is_created_once_found_and_deleted_by_its_uid(scene: _Scene) -> None:
    api, name = scene.api.migrations, f"keyctl-test-{next(_numbers)}-secrets"
    assert api.find(name) is None
    made = api.create(name, "secrets")
    assert (made.name, made.resource, made.state) == (name, "secrets", MigrationState.PENDING)
    assert api.create(name, "secrets") == api.find(name) == made
    with pytest.raises(RefusedError):
        api.create(name, "configmaps")
    api.delete(replace(made, uid="another"))
    assert api.find(name) == made
    api.delete(made)
    assert api.find(name) is None
    api.delete(made)


def test_a_migration_of_a_resource_with_a_group_keeps_its_name(scene: _Scene) -> None:
    api, name = scene.api.migrations, f"keyctl-test-{next(_numbers)}-deployments.apps"
    made = api.create(name, "deployments.apps")
    assert made.resource == "deployments.apps"
    api.delete(made)


def test_without_a_controller_manager_nobody_renews_its_lease(scene: _Scene) -> None:
    assert scene.api.migrations.manager_silent_for() is None


def test_a_refusal_by_a_webhook_is_named(scene: _Scene, tmp_path: Path) -> None:
    with scene.refusing(tmp_path) as ref:
        refused = _patch(scene, ref)
    assert refused.outcome is Outcome.REFUSED
    assert (refused.refusal, refused.by) == (Refusal.WEBHOOK_DENIED, "deny.policy.test")
    assert 'admission webhook "deny.policy.test" denied' in refused.message
    assert "label owner missing" in refused.message


def test_patches_through_a_server_that_is_down_are_all_answered(scene: _Scene) -> None:
    if isinstance(scene, _Real):
        scene.down.__dict__["_served"] = scene.api.discover()
    refs = [ObjectRef("secrets", "default", f"x{n}", "u") for n in range(20)]
    results = scene.down.patch_empty(refs, workers=2)
    assert {result.ref for result in results} == set(refs)
    assert {result.outcome for result in results} == {Outcome.SLOWER}


def test_one_rotation_at_a_time(scene: _Scene) -> None:
    ours, other = scene.lease("here", "1"), scene.lease("there", "2")
    ours.acquire()
    ours.check()
    with pytest.raises(RefusedError) as caught:
        other.acquire()
    assert caught.value.rule == "R8"
    assert "here#1" in str(caught.value.cause)
    ours.release()
    other.acquire()
    other.release()


def test_the_lease_of_a_dead_run_of_the_same_place_is_taken_over(scene: _Scene) -> None:
    dead, ours = scene.lease("here", "1"), scene.lease("here", "2")
    dead.acquire()
    ours.acquire()
    with pytest.raises(StoppedError) as caught:
        dead.check()
    assert caught.value.rule == "R8"
    ours.release()


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_stops(scene: _Scene) -> None:
    slow, other = scene.lease("here", "1"), scene.lease("there", "2")
    slow.acquire()
    scene.let_leases_run_out()
    other.acquire()
    with pytest.raises(StoppedError):
        slow.check()
    slow.release()
    other.check()
    other.release()


def test_a_lease_cannot_be_taken_through_a_server_that_is_down(scene: _Scene) -> None:
    lease = scene.lease("here", "1", through_down=True)
    with pytest.raises(UnreachableError):
        lease.acquire()
    lease.release()
