"""What others do to a real control plane of the lab: create objects, change the key, refuse updates."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from keyctl.kube.client import Connection, connect
from keyctl.kube.interface import ObjectRef
from keyctl.kube.servers import HttpApiServer
from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.plane import Lab
from tests.support.scripted_api import Reply, Request, authority, reply, scripted_api

_SECONDS = 20.0
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def connection(lab: Lab, server: str) -> Connection:
    """A connection of the code under test to one server of the lab."""
    url = lab.topology.server(server).url
    return connect(lab.layout.kubeconfig, None, url=url, server_name=None, ca=None, timeout=10)


def api_server(lab: Lab, server: str) -> HttpApiServer:
    """The code under test, for one server of the lab."""
    return HttpApiServer(server, connection(lab, server))


def ask(lab: Lab, method: str, path: str, body: object = None, *, server: str = "cp1") -> tuple[int, dict[str, object]]:
    """One request as administrator, independent of the code under test: the status and the JSON object."""
    parts = urlsplit(lab.topology.server(server).url)
    context = admin_credentials(lab.layout).context()
    link = http.client.HTTPSConnection(str(parts.hostname), parts.port, context=context, timeout=30)
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    with contextlib.closing(link):
        link.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
        response = link.getresponse()
        document = json.loads(response.read())
        assert isinstance(document, dict)
        return response.status, document


def create_secret(lab: Lab, namespace: str, name: str, **metadata: object) -> ObjectRef:
    """Create a Secret with a value in it."""
    secret = {"metadata": {"name": name, **metadata}, "stringData": {"value": f"the value of {name}"}}
    code, document = ask(lab, "POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    assert code == 201, document
    made = document["metadata"]
    assert isinstance(made, dict)
    return ObjectRef("secrets", namespace, name, str(made["uid"]))


def write_with(lab: Lab, *keys: str, server: str = "cp1") -> None:
    """Restart a server with an EncryptionConfiguration for Secrets: one aescbc key per name, the first writes."""
    ring = [{"name": name, "secret": base64.b64encode(name.encode().ljust(32, b"-")).decode()} for name in keys]
    config = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"aescbc": {"keys": ring}}, {"identity": {}}]}],
    }
    lab.layout.server(server).encryption_config.write_text(json.dumps(config))
    lab.restart(server)


@contextlib.contextmanager
def refusing_webhook(lab: Lab, folder: Path) -> Iterator[None]:
    """While it lasts, an admission webhook denies every update of a Secret labelled `keep: as-it-is`."""

    def deny(request: Request) -> Reply:
        uid = json.loads(request.body)["request"]["uid"]
        answer = {"uid": uid, "allowed": False, "status": {"message": "label owner missing", "code": 403}}
        return reply({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})

    with scripted_api(folder, deny) as hook:
        ca = base64.b64encode(authority().cert_pem.bytes()).decode()
        webhook = {
            "name": "deny.policy.test",
            "clientConfig": {"url": f"{hook.url}/deny", "caBundle": ca},
            "rules": [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}],
            "objectSelector": {"matchLabels": {"keep": "as-it-is"}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        code, document = ask(lab, "POST", _WEBHOOKS, {"metadata": {"name": "deny"}, "webhooks": [webhook]})
        assert code == 201, document
        try:
            _wait_until_asked(lab, hook.requests)
            yield
        finally:
            ask(lab, "DELETE", f"{_WEBHOOKS}/deny")


def _wait_until_asked(lab: Lab, requests: list[Request]) -> None:
    """A new webhook takes effect a moment later."""
    create_secret(lab, "default", "webhook-trial", labels={"keep": "as-it-is"})
    path = "/api/v1/namespaces/default/secrets/webhook-trial"
    deadline = time.monotonic() + _SECONDS
    while not requests:
        assert time.monotonic() < deadline, "the webhook was never called"
        ask(lab, "PATCH", f"{path}?dryRun=All", {"metadata": {"labels": {"a": "b"}}})
        time.sleep(0.1)
    assert ask(lab, "DELETE", path)[0] == 200
