"""One client for all that a command does with one Vault: a wrapped secret id logs in once."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import vault_wiring
from keyctl.cluster_file.settings import AgentHostSettings, VaultKeySettings
from keyctl.keys.vault.settings import VaultAuth

_VAULT = VaultKeySettings("https://vault:8200", auth=VaultAuth(token_file=Path("/token")))


def test_a_command_has_one_client_for_each_vault() -> None:
    with click.Context(click.Command("rotate")):
        first = vault_wiring.client(_VAULT)
        assert vault_wiring.client(VaultKeySettings("https://vault:8200", auth=_VAULT.auth)) is first
        assert vault_wiring.client(VaultKeySettings("https://other:8200")) is not first
        with click.Context(click.Command("below"), parent=click.get_current_context()):
            assert vault_wiring.client(_VAULT) is first
    with click.Context(click.Command("rotate")):
        assert vault_wiring.client(_VAULT) is not first


def test_a_host_with_an_agent_goes_by_the_vault_and_the_cluster_of_its_file() -> None:
    with click.Context(click.Command("rotate")):
        host = vault_wiring.agent_host("cp1", AgentHostSettings(_VAULT, "prod"), "/enc.yaml")
        shared = vault_wiring.distribution(_VAULT, "prod", ("cp1",))
    assert host.name == "cp1"
    assert shared.location == "https://vault:8200 keyctl/clusters/prod"
