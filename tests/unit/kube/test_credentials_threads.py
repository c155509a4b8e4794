"""Kubeconfigs that several threads load at once, as those of an exporter do."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
import yaml

from keyctl.kube import credentials

_TOGETHER_SECONDS = 1.0


def kubeconfig(folder: Path) -> Path:
    authority = trustme.CA()
    pair = authority.issue_cert("admin.test", common_name="admin")
    chain = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
    text = {name: base64.b64encode(content).decode() for name, content in (
        ("ca", authority.cert_pem.bytes()), ("cert", chain), ("key", pair.private_key_pem.bytes())
    )}  # fmt: skip
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "https://x", "certificate-authority-data": text["ca"]}}],
        "users": [{"name": "x", "user": {"client-certificate-data": text["cert"], "client-key-data": text["key"]}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return file


def test_two_threads_do_not_write_embedded_keys_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, together, load = threading.Barrier(2), [], credentials._load

    def noticed(*arguments, **words):
        try:
            both.wait(_TOGETHER_SECONDS)
            together.append(True)
        except threading.BrokenBarrierError:
            # Nobody else was in here all the time.
            pass
        return load(*arguments, **words)

    monkeypatch.setattr(credentials, "_load", noticed)
    file = kubeconfig(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        loading = [pool.submit(credentials.load_credentials, file, None, ca=None) for _ in range(2)]
        assert all(one.result().context for one in loading)
    assert together == []
