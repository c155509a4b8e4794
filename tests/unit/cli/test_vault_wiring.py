"""One client for all that a command does with one Vault: a wrapped secret id logs in once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import pytest

from keyctl.cli import vault_wiring
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import AgentHostSettings, FileKeySettings, VaultKeySettings
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


_CLUSTER = """\
apiVersion: keyctl/v1
kind: Cluster
name: prod
etcd: {{}}
keys: {keys}
apiServers:
- name: cp1
  url: https://10.0.0.1:6443
  encryptionConfig: /enc.yaml
  manifest: /kube-apiserver.yaml
  host: {host}
  activation: reload
"""
_IN_VAULT = '{store: vault, address: "https://vault:8200"}'


@pytest.mark.parametrize(
    ("keys", "host", "known"),
    [(_IN_VAULT, "{type: agent}", True), (_IN_VAULT, "{type: local}", True), ("{store: file}", "{type: local}", False)],
    ids=["agents", "keys alone", "a disk"],
)
def test_what_nodes_fetch_is_looked_at_wherever_there_is_a_vault(
    tmp_path: Path, keys: str, host: str, known: bool
) -> None:
    file = tmp_path / "keyctl.yaml"
    file.write_text(_CLUSTER.format(keys=keys, host=host))
    settings = load(file)
    with click.Context(click.Command("keys")):
        assert (vault_wiring.nodes(settings) is not None) is known
        on_disk = vault_wiring.nodes(replace(settings, keys=FileKeySettings(tmp_path)))
    assert (on_disk is not None) is ("agent" in host)
