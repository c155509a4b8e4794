"""What is hard to rewrite, on real servers: immutable Secrets, ending namespaces, custom resources, refusals."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal
from keyctl.kube.servers import HttpApiServer
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support.cluster_copy import cluster_copy
from tests.support.hints import wrong_hints
from tests.support.plane import control_planes
from tests.support.raw_etcd import heads_of
from tests.support.real_kube import api_server, ask, create_secret, refusing_webhook
from tests.support.seeded import seed
from tests.support.shell import Shell

pytestmark = pytest.mark.live

_WIDGETS = "/apis/stable.example.test/v1/namespaces/default/widgets"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_POLICIES = "/apis/admissionregistration.k8s.io/v1"
_KIND = {"apiVersion": "stable.example.test/v1", "kind": "Widget"}
_SECONDS = 30.0


@pytest.fixture(scope="module")
def lab(etcd_server: EtcdAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with control_planes(etcd_server, tmp_path_factory.mktemp("plane")) as start:
        made = start(1)
        _define_widgets(made)
        yield made


@pytest.fixture
def api(lab: Lab) -> Iterator[HttpApiServer]:
    made = api_server(lab, "cp1")
    yield made
    made.close()


def _define_widgets(lab: Lab) -> None:
    """A custom resource, with one object."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": "stable.example.test",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    assert ask(lab, "POST", _DEFINITIONS, {"metadata": {"name": "widgets.stable.example.test"}, "spec": spec})[0] == 201
    widget = {**_KIND, "metadata": {"name": "left-handed"}, "spec": {"token": "hunter2"}}
    deadline = time.monotonic() + _SECONDS
    while not _created(lab, widget):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _created(lab: Lab, widget: object) -> bool:
    try:
        return ask(lab, "POST", _WIDGETS, widget)[0] == 201
    except ValueError:
        # A path that is not served yet is answered in plain text.
        return False


def _widget(lab: Lab) -> ObjectRef:
    metadata = ask(lab, "GET", f"{_WIDGETS}/left-handed")[1]["metadata"]
    assert isinstance(metadata, dict)
    return ObjectRef("widgets.stable.example.test", "default", "left-handed", str(metadata["uid"]))


def _end_namespace(lab: Lab, name: str) -> None:
    """A namespace with a Secret in it that is being deleted and cannot be."""
    assert ask(lab, "POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    create_secret(lab, name, "held", finalizers=["example.test/hold"])
    assert ask(lab, "DELETE", f"/api/v1/namespaces/{name}/secrets/held")[0] in (200, 202)
    assert ask(lab, "DELETE", f"/api/v1/namespaces/{name}")[0] in (200, 202)


def _heads(lab: Lab, resource: str = "secrets") -> set[bytes]:
    return heads_of(lab, resource)


def test_a_rotation_leaves_nothing_behind_of_what_is_hard_to_rewrite(lab: Lab, tmp_path: Path) -> None:
    seeded = seed(lab, tmp_path / "state", 12)
    settings = cluster_copy(lab, tmp_path / "keyctl.yaml", lambda cluster: cluster["policy"].update(settle="10s"))
    shell = Shell(tmp_path)
    resources = ("--resources", "secrets", "--resources", "widgets.stable.example.test")
    always = ("--yes", "--allow-downtime", "--cluster", settings)
    enabled = shell.keyctl("enable", *resources, *always)
    assert enabled.code == 0, enabled.stderr
    _make_immutable(lab, "frozen")
    _end_namespace(lab, "ending")
    create_secret(lab, "default", "stubborn", labels={"keep": "as-it-is"})
    old = lab.layout.server("cp1").encryption_config.read_bytes()
    with refusing_webhook(lab, tmp_path):
        stopped = shell.keyctl("rotate", "--second-pass", "-o", "json", *always)
        assert stopped.code == 6, stopped.stderr
    told = [json.loads(line) for line in stopped.stdout.splitlines()]
    (refused,) = [one for one in told if one["event"] == "refused"]
    assert (refused["class"], refused["by"], refused["objects"]) == ("webhook-denied", "deny.policy.test", 1)
    assert refused["first"][0]["object"] == "default/stubborn"
    assert "hint: let webhook deny.policy.test allow updates that change nothing" in stopped.stderr
    journal = next((tmp_path / "state").rglob("journal.jsonl")).read_text()
    assert "stubborn" not in journal
    assert wrong_hints([stopped.stderr]) == []
    kept = lab.layout.server("cp1").encryption_config.read_bytes()
    assert kept != old
    assert all(line in kept for line in old.splitlines() if b"name: " in line), "the old key stays"
    finished = shell.keyctl("rotate", "--resume", "--cluster", settings)
    assert finished.code == 0, finished.stderr
    (secrets,) = _heads(lab)
    (widgets,) = _heads(lab, "stable.example.test/widgets")
    assert secrets == widgets
    assert seeded.changed() == {}
    assert '"of": "second-pass"' in next((tmp_path / "state").rglob("journal.jsonl")).read_text()
    spec = ask(lab, "GET", f"{_WIDGETS}/left-handed")[1]["spec"]
    assert spec == {"token": "hunter2"}


def _make_immutable(lab: Lab, name: str) -> None:
    secret = {"metadata": {"name": name}, "immutable": True, "stringData": {"value": "for ever"}}
    assert ask(lab, "POST", "/api/v1/namespaces/default/secrets", secret)[0] == 201


# -- what the server says of each obstacle, by class


def test_a_policy_that_denies_is_named(lab: Lab, api: HttpApiServer) -> None:
    rule = {"operations": ["UPDATE"], "apiGroups": ["stable.example.test"], "apiVersions": ["*"], "resources": ["*"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "frozen for the audit"}],
    }
    policy = {"metadata": {"name": "frozen"}, "spec": spec}
    binding = {"metadata": {"name": "frozen"}, "spec": {"policyName": "frozen", "validationActions": ["Deny"]}}
    assert ask(lab, "POST", f"{_POLICIES}/validatingadmissionpolicies", policy)[0] == 201
    assert ask(lab, "POST", f"{_POLICIES}/validatingadmissionpolicybindings", binding)[0] == 201
    try:
        patched = _until_refused(api, _widget(lab))
    finally:
        ask(lab, "DELETE", f"{_POLICIES}/validatingadmissionpolicybindings/frozen")
        ask(lab, "DELETE", f"{_POLICIES}/validatingadmissionpolicies/frozen")
    _until(api, _widget(lab), lambda one: one.outcome is Outcome.SENT)
    assert (patched.refusal, patched.by) == (Refusal.POLICY_DENIED, "frozen")
    assert "frozen for the audit" in patched.message


def test_a_webhook_that_does_not_answer_is_named(lab: Lab, api: HttpApiServer) -> None:
    rule = {"operations": ["UPDATE"], "apiGroups": ["stable.example.test"], "apiVersions": ["*"], "resources": ["*"]}
    hook = {
        "name": "nobody.example.test",
        "clientConfig": {"url": "https://127.0.0.1:9/x", "caBundle": base64.b64encode(_authority(lab)).decode()},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    path = f"{_POLICIES}/validatingwebhookconfigurations"
    assert ask(lab, "POST", path, {"metadata": {"name": "nobody"}, "webhooks": [hook]})[0] == 201
    try:
        patched = _until_refused(api, _widget(lab))
    finally:
        ask(lab, "DELETE", f"{path}/nobody")
    _until(api, _widget(lab), lambda one: one.outcome is Outcome.SENT)
    assert (patched.refusal, patched.by) == (Refusal.WEBHOOK_FAILED, "nobody.example.test")


def test_a_rule_that_wants_a_change_is_told_by_its_field_and_not_by_its_value(lab: Lab, api: HttpApiServer) -> None:
    with _schema(lab, {"x-kubernetes-validations": [{"rule": "self.token != oldSelf.token"}]}):
        patched = _until_refused(api, _widget(lab))
    _until(api, _widget(lab), lambda one: one.outcome is Outcome.SENT)
    assert patched.refusal is Refusal.INVALID
    assert patched.message == "HTTP 422: invalid, spec FieldValueInvalid"
    assert "hunter2" not in repr(patched)


def test_an_object_that_no_longer_passes_validation_is_rewritten_all_the_same(lab: Lab, api: HttpApiServer) -> None:
    """The server looks only at what an update changes."""
    other = {"metadata": {"name": "too-long"}, "spec": {"token": "hunter3"}}
    with _schema(lab, {"properties": {"token": {"type": "string", "maxLength": 3}}}):
        deadline = time.monotonic() + _SECONDS
        while ask(lab, "POST", f"{_WIDGETS}?dryRun=All", {**_KIND, **other})[0] != 422:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (patched,) = api.patch_empty([_widget(lab)], workers=1)
    assert patched.outcome is Outcome.SENT


@contextlib.contextmanager
def _schema(lab: Lab, spec: dict[str, object]) -> Iterator[None]:
    """While it lasts, the `spec` of widgets has this schema."""
    path = f"{_DEFINITIONS}/widgets.stable.example.test"
    before = ask(lab, "GET", path)[1]["spec"]
    assert isinstance(before, dict)
    typed = {"type": "object", "properties": {"token": {"type": "string", "maxLength": 99}}, **spec}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": typed}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    code, document = ask(lab, "PATCH", path, {"spec": {"versions": [version]}})
    assert code == 200, document
    try:
        yield
    finally:
        assert ask(lab, "PATCH", path, {"spec": {"versions": before["versions"]}})[0] == 200


def test_a_conversion_webhook_that_does_not_answer_is_named(lab: Lab, api: HttpApiServer) -> None:
    path = f"{_DEFINITIONS}/widgets.stable.example.test"
    before = ask(lab, "GET", path)[1]["spec"]
    assert isinstance(before, dict)
    schema = before["versions"][0]["schema"]
    old = {"name": "v1", "served": True, "storage": False, "schema": schema}
    new = {"name": "v2", "served": True, "storage": True, "schema": schema}
    client = {"url": "https://127.0.0.1:9/convert", "caBundle": base64.b64encode(_authority(lab)).decode()}
    webhook = {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}
    ref = _widget(lab)
    assert ask(lab, "PATCH", path, {"spec": {"versions": [old, new], "conversion": webhook}})[0] == 200
    try:
        api.discover()
        patched = _until_refused(api, ref)
    finally:
        restored = {"versions": [{**old, "storage": True}], "conversion": {"strategy": "None", "webhook": None}}
        ask(lab, "PATCH", f"{path}/status", {"status": {"storedVersions": ["v1"]}})
        assert ask(lab, "PATCH", path, {"spec": restored})[0] == 200
    assert patched.refusal is Refusal.CONVERSION_FAILED
    assert patched.by.startswith("stable.example.test/v")


def _authority(lab: Lab) -> bytes:
    return (lab.layout.pki / "ca.crt").read_bytes()


def _until_refused(api: HttpApiServer, ref: ObjectRef) -> Patched:
    return _until(api, ref, lambda one: one.outcome is Outcome.REFUSED)


def _until(api: HttpApiServer, ref: ObjectRef, wanted: Callable[[Patched], bool]) -> Patched:
    """What an empty patch of `ref` is answered, once that is as wanted: what was just changed takes a moment."""
    deadline = time.monotonic() + _SECONDS
    while True:
        (patched,) = api.patch_empty([ref], workers=1)
        if wanted(patched):
            return patched
        assert time.monotonic() < deadline, patched
        time.sleep(0.2)
