"""A kubeconfig with credentials signed by a test's own authority."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import trustme

from tests.support.etcd_process import write_secret


def write_kubeconfig(folder: Path, authority: trustme.CA, url: str, *, signer: trustme.CA | None = None) -> Path:
    """A kubeconfig for `url` with an embedded client certificate, by `signer` if not by the server's authority."""
    pair = (signer or authority).issue_cert("user.test", common_name="user")
    chain = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
    cluster = {"server": url, "certificate-authority-data": _base64(authority.cert_pem.bytes())}
    user = {"client-certificate-data": _base64(chain), "client-key-data": _base64(pair.private_key_pem.bytes())}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "user"}}],
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
    }
    return write_secret(folder / "user.kubeconfig", trustme.Blob(json.dumps(document).encode()))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
