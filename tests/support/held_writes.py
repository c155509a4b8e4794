"""Writes of Secrets that hang in a stalled link to etcd, each in a thread of its own; and what became of them."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.plane import Lab
from keyctl.lab.seed import SeededSecret, differences
from tests.support.raw_etcd import raw_values
from tests.support.real_kube import ask
from tests.support.seeded import NAMESPACES
from tests.support.stalling_link import StallingLink

_SECONDS = 5.0
# So large that their bytes stand out among those that a server sends all the time.
_FILLER = 20_000
_MADE = (200, 201)


@dataclass
class HeldWrites:
    """Creates and updates through `server`, whose way to etcd is `link`."""

    lab: Lab
    server: str
    link: StallingLink
    _sent: dict[SeededSecret, Future[int]] = field(default_factory=dict)
    _updates: set[str] = field(default_factory=set)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    def create(self, name: str) -> None:
        """Send a create, and return when it is in the link, which must hold it."""
        secret = SeededSecret(NAMESPACES[0], name)
        self._send(secret, "POST", _path(secret), _body(secret))

    def prepare(self, name: str) -> None:
        """Make a Secret with another content, for `update`."""
        secret = SeededSecret(NAMESPACES[0], name)
        body = _body(secret) | {"stringData": {"password": "as it was before the update"}}
        code, document = ask(self.lab, "POST", _path(secret), body)
        assert code in _MADE, document

    def update(self, name: str) -> None:
        """Send an update of a Secret made by `prepare`, and return when it is in the link, which must hold it."""
        secret = SeededSecret(NAMESPACES[0], name)
        self._updates.add(name)
        self._send(secret, "PATCH", f"{_path(secret)}/{name}", _body(secret))

    def statuses(self) -> list[int]:
        """The answer to every write, 0 where the connection broke; waits for them."""
        return [sent.result() for sent in self._sent.values()]

    def standing(self) -> list[str]:
        """The names of those that are stored in etcd."""
        stored = {key.rpartition(b"/")[2].decode() for key, _ in raw_values(self.lab, "secrets")}
        return [secret.name for secret in self._sent if secret.name in stored]

    def lost(self) -> dict[str, tuple[str, ...]]:
        """By server, the writes that it does not give back although they were answered with success or are creates that
        stand in etcd. Raises when a server cannot read its Secrets at all.
        """
        standing = set(self.standing()) - self._updates
        wanted = tuple(s for s, sent in self._sent.items() if sent.result() in _MADE or s.name in standing)
        context = admin_credentials(self.lab.layout).context()
        found = {server.name: differences(server.url, context, wanted) for server in self.lab.topology.servers}
        return {name: different for name, different in found.items() if different}

    def _send(self, secret: SeededSecret, method: str, path: str, body: dict[str, object]) -> None:
        before = self.link.piled()
        self._sent[secret] = self._pool.submit(self._ask, method, path, body)
        deadline = time.monotonic() + _SECONDS
        while self.link.piled() - before < _FILLER:
            assert time.monotonic() < deadline, f"{secret.name} did not reach the link"
            time.sleep(0.02)
        # The rest of the same request.
        time.sleep(0.1)

    def _ask(self, method: str, path: str, body: dict[str, object]) -> int:
        try:
            code, _ = ask(self.lab, method, path, body, server=self.server)
        except (OSError, http.client.HTTPException):
            return 0
        return code


def _path(secret: SeededSecret) -> str:
    return f"/api/v1/namespaces/{secret.namespace}/secrets"


def _body(secret: SeededSecret) -> dict[str, object]:
    annotations = {"filler": "x" * _FILLER}
    return {
        "metadata": {"name": secret.name, "annotations": annotations},
        "stringData": {"password": secret.password},
    }
