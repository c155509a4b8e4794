"""Builds what works with Vault or OpenBao, from cluster file and environment; a part of `keyctl.cli.wiring`.

The key store, the hosts whose agents fetch their files from there, and such an agent.
"""

from __future__ import annotations

import atexit
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from keyctl.cluster_file.settings import AgentHostSettings, ClusterSettings, VaultKeySettings
from keyctl.keys.vault.settings import VaultPlace, VaultServer

if TYPE_CHECKING:
    from keyctl.hosts.agent import AgentHost
    from keyctl.hosts.node_agent import NodeAgent
    from keyctl.keys.vault.client import VaultClient
    from keyctl.keys.vault.distribution import VaultDistribution
    from keyctl.keys.vault.store import VaultKeyStore
    from keyctl.kube.interface import NetworkView
    from keyctl.rotation.world import StoreServer


# NOTE: kept with the click context, for stores and hosts are built one by one.
_CLIENTS = "keyctl.vault-clients"
_HTTPS = 443


def place(settings: VaultKeySettings, cluster: str) -> VaultPlace:
    """Where the entries of `cluster` are."""
    return VaultPlace(settings.mount, settings.path or f"clusters/{cluster}")


def client(settings: VaultKeySettings) -> VaultClient:
    """The client of this command, which gives its token back when that ends; connects nowhere yet.

    One for all that a command does with one Vault: a wrapped secret id logs in once.
    """
    context = click.get_current_context(silent=True)
    known: dict[VaultKeySettings, VaultClient] = context.find_root().meta.setdefault(_CLIENTS, {}) if context else {}
    if settings not in known:
        known[settings] = _new_client(settings)
    return known[settings]


def _server(settings: VaultKeySettings) -> VaultServer:
    from keyctl.keys.vault import environment

    return environment.server(
        os.environ,
        address=settings.address,
        namespace=settings.namespace,
        ca_file=settings.cacert,
        server_name=settings.server_name,
        timeout=settings.timeout.total_seconds(),
        auth=settings.auth,
    )


def store_server(settings: VaultKeySettings, network: NetworkView) -> StoreServer:
    """Where the Vault of the key store is; its name is looked up when that is asked."""
    from keyctl.rotation.world import NetworkPlace, StoreServer

    def locate() -> NetworkPlace:
        parts = urlsplit(_server(settings).address)
        host, port = parts.hostname or "", parts.port or _HTTPS
        try:
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            # Whoever asks it for a key will be told.
            known = []
        return NetworkPlace(host, port, tuple(dict.fromkeys(str(address[0]) for *_, address in known)))

    return StoreServer(locate, network)


def _new_client(settings: VaultKeySettings) -> VaultClient:
    from keyctl.keys.vault import environment
    from keyctl.keys.vault.client import VaultClient
    from keyctl.keys.vault.login import Login
    from keyctl.keys.vault.transport import Transport

    server = _server(settings)
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


def distribution(settings: VaultKeySettings, cluster: str, servers: tuple[str, ...]) -> VaultDistribution:
    """What a rotation and the agents of the nodes share; `servers` are those with an agent, for a rotation."""
    from keyctl.keys.vault.distribution import VaultDistribution

    return VaultDistribution(client(settings), place(settings, cluster), cluster=cluster, servers=servers)


def nodes(settings: ClusterSettings) -> VaultDistribution | None:
    """What the nodes of a cluster fetch and report; None where neither keys nor files are in a Vault.

    Also where no server has an agent now: what was published for one, or reported, is there until somebody erases it.
    """
    agents = {one.name: one.host.keys for one in settings.api_servers if isinstance(one.host, AgentHostSettings)}
    for keys in (settings.keys, *agents.values()):
        if isinstance(keys, VaultKeySettings):
            return distribution(keys, settings.name, tuple(agents))
    return None


def agent_host(server: str, settings: AgentHostSettings, config_path: str) -> AgentHost:
    """The host of `server`, whose agent keeps the file at `config_path`."""
    from keyctl.encryption_config.openers import openers
    from keyctl.hosts.agent import AgentHost

    return AgentHost(
        server,
        distribution(settings.keys, settings.cluster, settings.servers),
        config_path=config_path,
        wait=settings.wait.total_seconds(),
        openers=openers,
        now=lambda: datetime.now(UTC),
    )


def node_agent(
    server: str,
    settings: VaultKeySettings,
    cluster: str,
    *,
    config_path: str,
    manifest_path: str | None,
    allow_rollback: bool,
) -> NodeAgent:
    """The agent of `server` on this machine."""
    from keyctl.encryption_config.openers import openers
    from keyctl.hosts.local import LocalHost
    from keyctl.hosts.node_agent import NodeAgent
    from keyctl.keys.vault.rendition import digest

    return NodeAgent(
        server,
        distribution(settings, cluster, ()),
        LocalHost(server, restart_command=None, restart_wait=0.0),
        cluster=cluster,
        config_path=config_path,
        manifest_path=manifest_path,
        openers=openers,
        digest_of=lambda rendition: digest(rendition, cluster=cluster),
        now=lambda: datetime.now(UTC),
        allow_rollback=allow_rollback,
    )


def _at_the_end(close: Callable[[], None]) -> None:
    """Have `close` called when the command is over, however it ends."""
    context = click.get_current_context(silent=True)
    if context:
        context.find_root().call_on_close(close)
    else:
        atexit.register(close)
