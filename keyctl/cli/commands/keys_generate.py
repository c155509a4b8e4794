"""`keyctl keys generate`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import wiring
from keyctl.cli.options import cluster_option
from keyctl.keys.key import STATIC_PROVIDERS, Provider


@click.command()
@cluster_option
@click.option(
    "--provider",
    type=click.Choice([p.value for p in STATIC_PROVIDERS]),
    help="Default: policy.provider of the cluster file, or aescbc.",
)
def generate(cluster: Path | None, provider: str | None) -> None:
    """Make a new key and put it into the key store. No server gets it, nothing is rotated.

    For a key that is to be in an escrow before anything is written under it, or that
    keyctl keys export takes to where it is needed. It is read back and compared before
    its name is told. A rotation needs none: it makes its own.

    \b
    Examples:
      keyctl keys generate
      keyctl keys generate --provider secretbox --store vault
    """  # noqa: D301 — click reads the \b
    from keyctl.keys.generate import generate as new_key

    settings = wiring.require_cluster(cluster)
    store = wiring.key_store(settings)
    chosen = Provider(provider) if provider else settings.policy.provider
    record = store.put(new_key(chosen, now=wiring.SystemClock().now()), origin="generated")
    click.echo(f"{record.ref}, fingerprint {record.fingerprint}, is {record.state} in the key store {store.location}")
