"""Key stores on a real OpenBao."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keyctl.keys.vault.client import VaultClient
from keyctl.keys.vault.login import Login
from keyctl.keys.vault.memory import LedgerMemory
from keyctl.keys.vault.settings import VaultAuth, VaultPlace, VaultServer
from keyctl.keys.vault.store import VaultKeyStore
from keyctl.keys.vault.transport import Transport
from tests.support.openbao import RunningBao

NOW = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)


def client(
    bao: RunningBao,
    mount: str,
    *,
    token: str | None = None,
    server: VaultServer | None = None,
    transport: Callable[[VaultServer], Transport] = Transport,
) -> VaultClient:
    """A client with `token`, else as root."""
    sender = transport(server or VaultServer(bao.address, ca_file=bao.cacert))
    given = bao.root if token is None else token
    login = Login(sender, VaultAuth(), given=lambda: given, monotonic=time.monotonic)
    return VaultClient(sender, login, mount=mount, namespace=None)


def store(
    bao: RunningBao,
    mount: str,
    folder: Path,
    *,
    token: str | None = None,
    server: VaultServer | None = None,
    only_read: bool = False,
    cluster: str = "prod",
    now: datetime = NOW,
    transport: Callable[[VaultServer], Transport] = Transport,
) -> VaultKeyStore:
    """A key store of a machine whose state is in `folder`."""
    vault = client(bao, mount, token=token, server=server, transport=transport)
    place = VaultPlace(mount, "clusters/prod")
    memory = LedgerMemory(folder / "vault-ledger.json", location=f"{vault.location}/{place.path}")
    return VaultKeyStore(vault, place, cluster=cluster, clock=lambda: now, memory=memory, only_read=only_read)
