"""A real kube-apiserver on loopback over a running etcd, for live tests of keyctl/kube."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.support.etcd_process import RunningEtcd, free_port, lab_binary, write_secret

_START_SECONDS = 60.0
_HOST = "127.0.0.1"


def encryption_config(*names: str) -> bytes:
    """An EncryptionConfiguration for Secrets: aescbc with one key per name, the first writes, then identity."""
    keys = [{"name": name, "secret": base64.b64encode(name.encode().ljust(32, b"-")).decode()} for name in names]
    providers = [{"aescbc": {"keys": keys}}, {"identity": {}}]
    return json.dumps(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": providers}],
        }
    ).encode()


@dataclass(slots=True)
class RunningKube:
    """One kube-apiserver, an admin's kubeconfig for it, and its encryption configuration file."""

    url: str
    folder: Path
    authority: trustme.CA
    kubeconfig: Path
    ca: Path
    _flags: Mapping[str, object]
    _context: ssl.SSLContext
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self, config: bytes) -> None:
        """Start it with this encryption configuration and wait until it is ready."""
        (self.folder / "encryption.json").unlink(missing_ok=True)
        write_secret(self.folder / "encryption.json", trustme.Blob(config))
        flags = (f"--{name}={value}" for name, value in self._flags.items())
        with (self.folder / "apiserver.log").open("wb") as log:
            self._process = subprocess.Popen(
                [lab_binary("kube-apiserver"), *flags], stdout=log, stderr=subprocess.STDOUT
            )
        deadline, answer = time.monotonic() + _START_SECONDS, ""
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, body = self.request("GET", "/readyz")
                answer = f"{status} {body!r}"
                if status == 200:
                    return
            time.sleep(0.2)
        tail = (self.folder / "apiserver.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"kube-apiserver did not become ready (last answer {answer}):\n{tail}")

    def stop(self) -> None:
        """Stop it at once; it has no state of its own."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request as admin on a connection of its own, independent of the code under test."""
        host, port = self.url.removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(host, int(port), context=self._context, timeout=30)
        patch = {"PATCH": "application/merge-patch+json"}
        try:
            headers = {"Content-Type": patch.get(method, "application/json")}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """The JSON object of a request that must succeed."""
        status, answer = self.request(method, path, body)
        assert 200 <= status < 300, (method, path, status, answer)
        document = json.loads(answer)
        assert isinstance(document, dict)
        return document


@contextlib.contextmanager
def running_kube(folder: Path, etcd: RunningEtcd, *, prefix: str, config: bytes) -> Generator[RunningKube]:
    """Start a kube-apiserver with its files in `folder` and its values under `prefix`; stop it in the end."""
    authority, port = trustme.CA(), free_port()
    serving = authority.issue_cert(_HOST, "localhost", common_name="kube-apiserver")
    ca = write_secret(folder / "ca.crt", authority.cert_pem)
    key = write_secret(folder / "server.key", serving.private_key_pem)
    flags = {
        "etcd-servers": etcd.url,
        "etcd-cafile": etcd.tls.ca,
        "etcd-certfile": etcd.tls.cert,
        "etcd-keyfile": etcd.tls.key,
        "etcd-prefix": prefix,
        "bind-address": _HOST,
        # NOTE: Endpoints may not hold loopback addresses; nobody connects to this one.
        "advertise-address": "10.99.0.1",
        "endpoint-reconciler-type": "lease",
        "secure-port": port,
        "tls-cert-file": write_secret(folder / "server.crt", *serving.cert_chain_pems),
        "tls-private-key-file": key,
        "client-ca-file": ca,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": key,
        "service-account-signing-key-file": key,
        "service-cluster-ip-range": "10.96.0.0/24",
        "authorization-mode": "RBAC",
        "disable-admission-plugins": "ServiceAccount",
        "encryption-provider-config": folder / "encryption.json",
    }
    url = f"https://{_HOST}:{port}"
    kubeconfig, context = write_kubeconfig(folder, "admin", authority, url, organization="system:masters")
    kube = RunningKube(url, folder, authority, kubeconfig, ca, flags, context)
    try:
        kube.start(config)
        yield kube
    finally:
        kube.stop()


def write_kubeconfig(
    folder: Path, user: str, authority: trustme.CA, url: str, *, organization: str, signer: trustme.CA | None = None
) -> tuple[Path, ssl.SSLContext]:
    """A kubeconfig with a client certificate for `user` embedded, and the same credentials as an SSL context."""
    pair = (signer or authority).issue_cert(f"{user}.test", common_name=user, organization_name=organization)
    chain = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "clusters": [
            {"name": "lab", "cluster": {"server": url, "certificate-authority-data": _b64(authority.cert_pem.bytes())}}
        ],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": _b64(chain), "client-key-data": _b64(pair.private_key_pem.bytes())},
            }
        ],
    }
    path = write_secret(folder / f"{user}.kubeconfig", trustme.Blob(json.dumps(document).encode()))
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with pair.private_key_and_cert_chain_pem.tempfile() as name:
        context.load_cert_chain(os.fspath(name))
    return path, context


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
