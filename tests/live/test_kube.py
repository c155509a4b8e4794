"""Rewriting, refusals and trust on real kube-apiservers."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from keyctl.errors import UnreachableError
from keyctl.kube.client import connect
from keyctl.kube.interface import ObjectRef, Outcome
from keyctl.kube.servers import HttpApiServer
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support.binaries import binary
from tests.support.etcd_process import write_secret
from tests.support.kubeconfig import write_kubeconfig
from tests.support.plane import control_planes
from tests.support.real_kube import api_server, ask, create_secret, write_with

pytestmark = pytest.mark.live

_SECONDS = 30.0


@pytest.fixture(scope="module")
def lab(etcd_server: EtcdAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with control_planes(etcd_server, tmp_path_factory.mktemp("kube")) as start:
        made = start(2, reload=True)
        write_with(made, "old")
        yield made


@pytest.fixture
def api(lab: Lab) -> Iterator[HttpApiServer]:
    made = api_server(lab, "cp1")
    yield made
    made.close()


def _etcdctl(lab: Lab, verb: str, ref: ObjectRef, *flags: str, value: bytes | None = None) -> bytes:
    """What etcdctl says when it does `verb` to the stored value of a Secret."""
    etcd = lab.etcd
    access = (f"--endpoints={etcd.endpoints[0]}", f"--cacert={etcd.cacert}", f"--cert={etcd.cert}", f"--key={etcd.key}")
    key = f"{lab.topology.settings.prefix}/secrets/{ref.namespace}/{ref.name}"
    command = (str(binary("etcdctl")), *access, verb, *flags, key)
    return subprocess.run(command, check=True, capture_output=True, timeout=30, input=value).stdout


def _raw(lab: Lab, ref: ObjectRef) -> bytes:
    return _etcdctl(lab, "get", ref, "--print-value-only").removesuffix(b"\n")


def _whole(lab: Lab, ref: ObjectRef) -> dict[str, object]:
    """A Secret as the API shows it to its user."""
    code, document = ask(lab, "GET", f"/api/v1/namespaces/{ref.namespace}/secrets/{ref.name}")
    assert code == 200
    return document


def test_rewriting_moves_every_value_to_the_new_key_and_changes_nothing_else(lab: Lab, api: HttpApiServer) -> None:
    metadata = {"labels": {"app": "shop"}, "annotations": {"note": "kept"}}
    refs = [create_secret(lab, "default", f"rewritten-{number}", **metadata) for number in range(60)]
    before = {ref.name: _whole(lab, ref) for ref in refs}
    write_with(lab, "new", "old")
    assert {_raw(lab, ref).partition(b":v1:")[2][:4] for ref in refs} == {b"old:"}
    results = api.patch_empty(refs, workers=8)
    assert {result.ref for result in results} == set(refs)
    assert {result.outcome for result in results} == {Outcome.SENT}
    assert {_raw(lab, ref).partition(b":v1:")[2][:4] for ref in refs} == {b"new:"}
    versions = {result.ref.name: str(result.resource_version) for result in results}
    for ref in refs:
        then, now = before[ref.name], _whole(lab, ref)
        old, new = then["metadata"], now["metadata"]
        assert isinstance(old, dict)
        assert isinstance(new, dict)
        assert new.pop("resourceVersion") == versions[ref.name] != old.pop("resourceVersion")
        assert now == then
        assert "keyctl" not in json.dumps(new)


def test_a_value_that_the_server_cannot_open_is_a_problem_of_that_object(lab: Lab, api: HttpApiServer) -> None:
    ref = create_secret(lab, "default", "unreadable")
    _etcdctl(lab, "put", ref, value=_raw(lab, ref).replace(b":aescbc:v1:", b":aescbc:v1:unknown-"))
    try:
        read = api.get_metadata(ref)
        (patched,) = api.patch_empty([ref], workers=1)
    finally:
        _etcdctl(lab, "del", ref)
    assert read.count == 0
    assert read.problem.startswith("HTTP 500: Internal error occurred")
    assert patched.outcome is Outcome.SLOWER


def test_two_servers_are_told_apart_and_each_has_its_own_configuration_loaded(lab: Lab, api: HttpApiServer) -> None:
    write_with(lab, "third", "new", "old", server="cp2")
    with contextlib.closing(api_server(lab, "cp2")) as other:
        first, second = api.probe(), other.probe()
        assert first.ready
        assert second.ready
        assert first.loaded_hash != second.loaded_hash
        assert (first.start_time, first.certificate_serial) != (second.start_time, second.certificate_serial)
        assert api.probe() == first
        assert api.kube_system_uid() == other.kube_system_uid()
    _await_endpoints(api, 2)


def _await_endpoints(api: HttpApiServer, count: int) -> None:
    """A server that goes takes its endpoint along, and writes it anew a moment after it is ready."""
    deadline = time.monotonic() + _SECONDS
    while len(api.census().endpoints) != count:
        assert time.monotonic() < deadline, f"never {count} endpoints"
        time.sleep(0.2)


def test_a_restart_between_two_requests_goes_unnoticed_but_for_the_probe(lab: Lab, api: HttpApiServer) -> None:
    before = api.probe()
    uid = api.kube_system_uid()
    lab.restart("cp1")
    canary = api.create_canary("default", "keyctl-canary-restart")
    lab.restart("cp1")
    api.delete_canary(canary)
    assert api.kube_system_uid() == uid
    assert api.probe().start_time > before.start_time


def test_a_user_without_rights_is_told_which_one_is_missing(lab: Lab, tmp_path: Path) -> None:
    account = "/api/v1/namespaces/default/serviceaccounts"
    assert ask(lab, "POST", account, {"metadata": {"name": "nobody"}})[0] == 201
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    code, answer = ask(lab, "POST", f"{account}/nobody/token", request)
    assert code == 201
    status = answer["status"]
    assert isinstance(status, dict)
    path = _kubeconfig(lab, tmp_path, {"token": status["token"]})
    url = lab.topology.server("cp1").url
    link = connect(path, None, url=url, server_name=None, ca=None, timeout=10)
    api = HttpApiServer("cp1", link)
    assert not api.may("patch", "secrets")
    with pytest.raises(UnreachableError) as caught:
        api.list_metadata("secrets")
    assert str(caught.value) == f"you may not list secrets at {url}"
    assert "authorisation: HTTP 403" in str(caught.value.cause)
    assert "system:serviceaccount:default:nobody" in str(caught.value.cause)
    seen = api.probe()
    assert seen.loaded_hash is None
    assert "its metrics cannot be read: HTTP 403" in seen.problem
    (patched,) = api.patch_empty([ObjectRef("secrets", "default", "x", "u")], workers=1)
    assert patched.outcome is Outcome.REFUSED
    link.close()


# Mutual TLS: the right certificates pass in all tests above.


@pytest.mark.parametrize("foreign", [True, False], ids=["a foreign certificate", "no certificate"])
def test_a_client_that_the_servers_authority_does_not_know_gets_nothing(
    lab: Lab, tmp_path: Path, foreign: bool
) -> None:
    authority = trustme.CA()
    url = lab.topology.server("cp1").url
    path = write_kubeconfig(tmp_path, authority, url) if foreign else _kubeconfig(lab, tmp_path, {})
    link = connect(path, None, url=url, server_name=None, ca=_server_ca(lab, tmp_path), timeout=10)
    with pytest.raises(UnreachableError) as caught:
        HttpApiServer("cp1", link).list_metadata("secrets")
    assert "authorisation: HTTP 40" in str(caught.value.cause)
    link.close()


def test_a_server_of_another_authority_is_not_spoken_to(lab: Lab, tmp_path: Path) -> None:
    ca = write_secret(tmp_path / "other.crt", trustme.CA().cert_pem)
    url = lab.topology.server("cp1").url
    link = connect(lab.layout.kubeconfig, None, url=url, server_name=None, ca=ca, timeout=10)
    with pytest.raises(UnreachableError) as caught:
        HttpApiServer("cp1", link).kube_system_uid()
    assert "tls of the server" in str(caught.value.cause)


def test_a_server_that_is_not_who_it_should_be_is_not_spoken_to(lab: Lab) -> None:
    url = lab.topology.server("cp1").url
    link = connect(lab.layout.kubeconfig, None, url=url, server_name="cp9.example", ca=None, timeout=10)
    with pytest.raises(UnreachableError) as caught:
        HttpApiServer("cp1", link).kube_system_uid()
    assert "not valid for 'cp9.example'" in str(caught.value.cause)


def _server_ca(lab: Lab, folder: Path) -> Path:
    cluster = yaml.safe_load(lab.layout.kubeconfig.read_text())["clusters"][0]["cluster"]
    content = base64.b64decode(cluster["certificate-authority-data"])
    return write_secret(folder / "server-ca.crt", trustme.Blob(content))


def _kubeconfig(lab: Lab, folder: Path, user: dict[str, object]) -> Path:
    """The lab's kubeconfig with another user in it."""
    document = yaml.safe_load(lab.layout.kubeconfig.read_text())
    document["users"][0]["user"] = user
    return write_secret(folder / "user.kubeconfig", trustme.Blob(yaml.safe_dump(document).encode()))
