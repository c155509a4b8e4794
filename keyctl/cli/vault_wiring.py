"""Builds the key store in Vault or OpenBao, from cluster file and environment; a part of `keyctl.cli.wiring`."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cluster_file.settings import VaultKeySettings
from keyctl.keys.vault.settings import VaultPlace

if TYPE_CHECKING:
    from keyctl.keys.vault.client import VaultClient
    from keyctl.keys.vault.store import VaultKeyStore


def place(settings: VaultKeySettings, cluster: str) -> VaultPlace:
    """Where the entries of `cluster` are."""
    return VaultPlace(settings.mount, settings.path or f"clusters/{cluster}")


def client(settings: VaultKeySettings) -> VaultClient:
    """A client that gives its token back when the command ends; connects nowhere yet."""
    from keyctl.keys.vault import environment
    from keyctl.keys.vault.client import VaultClient
    from keyctl.keys.vault.login import Login
    from keyctl.keys.vault.transport import Transport

    server = environment.server(
        os.environ,
        address=settings.address,
        namespace=settings.namespace,
        ca_file=settings.cacert,
        server_name=settings.server_name,
        timeout=settings.timeout.total_seconds(),
        auth=settings.auth,
    )
    transport = Transport(server)
    login = Login(
        transport,
        settings.auth,
        given=lambda: environment.token(os.environ, Path.home()),
        has_certificate=server.cert is not None,
        monotonic=time.monotonic,
    )
    made = VaultClient(transport, login, mount=settings.mount, namespace=server.namespace)
    _at_the_end(made.close)
    return made


def vault_store(settings: VaultKeySettings, cluster: str, *, state: Path, only_read: bool) -> VaultKeyStore:
    """The key store of `cluster`; what this machine has seen of its ledger is kept in the folder `state`."""
    from keyctl.keys.vault.memory import LedgerMemory
    from keyctl.keys.vault.store import VaultKeyStore

    vault, where = client(settings), place(settings, cluster)
    memory = LedgerMemory(state / "vault-ledger.json", location=f"{vault.location}/{where.path}")
    return VaultKeyStore(
        vault, where, cluster=cluster, clock=lambda: datetime.now(UTC), memory=memory, only_read=only_read
    )


def _at_the_end(close: Callable[[], None]) -> None:
    """Have `close` called when the command is over, however it ends."""
    context = click.get_current_context(silent=True)
    if context:
        context.find_root().call_on_close(close)
    else:
        atexit.register(close)
