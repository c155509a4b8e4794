"""`keyctl keys policies`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import wiring
from keyctl.cli.options import cluster_option
from keyctl.cluster_file.settings import VaultKeySettings
from keyctl.keys.vault.policies import EVERYDAY, Role, policy


@click.command()
@cluster_option
@click.argument("role", type=click.Choice([role.value for role in Role]), required=False)
def policies(cluster: Path | None, role: str | None) -> None:
    """Print policies for Vault or OpenBao that permit what each role needs, and no more.

    Three without ROLE: rotator (whoever runs keyctl), node-reader (control-plane
    nodes), auditor (sees everything about keys except keys). The destroyer's, for
    keyctl keys destroy, is printed only when it is asked for. Mount and path are
    those of the cluster file. Asks no server.

    \b
    Examples:
      keyctl keys policies rotator | bao policy write keyctl-rotator -
      keyctl keys policies
    """  # noqa: D301 — click reads the \b
    from keyctl.cli.vault_wiring import place

    settings = wiring.require_cluster(cluster)
    keys = settings.keys if isinstance(settings.keys, VaultKeySettings) else VaultKeySettings()
    where = place(keys, settings.name)
    chosen = (Role(role),) if role else EVERYDAY
    click.echo("\n".join(policy(one, where) for one in chosen), nl=False)
