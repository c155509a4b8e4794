"""`keyctl enable`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import changing
from keyctl.cli.options import cluster_option
from keyctl.keys.key import STATIC_PROVIDERS
from keyctl.rotation.plan import Goal, State


@click.command()
@cluster_option
@click.option(
    "--provider",
    type=click.Choice([p.value for p in STATIC_PROVIDERS]),
    help="Default: policy.provider of the cluster file, or aescbc.",
)
@click.option("--resources", multiple=True, metavar="R", help="Repeatable. Default: policy.resources, or secrets.")
@changing.pause_option(State.VERIFIED)
@changing.change_options
def enable(cluster: Path | None, provider: str | None, resources: tuple[str, ...], **given: object) -> None:
    """Turn encryption at rest on, on every API server.

    Writes a configuration that reads plaintext and a new key, gives each server the
    flag where it is missing (in its manifest), proves that every server has loaded it,
    makes the key the writing key, rewrites every value, and proves it in raw etcd.
    The identity provider stays as the last one. Begun once, `keyctl rotate --resume`
    goes on with it after any interruption.

    Where something is encrypted already, name what is not yet: it gets an entry and a key
    of its own, and all its values are rewritten.

    \b
    Examples:
      keyctl enable --dry-run
      keyctl enable --yes
      keyctl enable --provider secretbox --resources secrets --resources configmaps
    """  # noqa: D301 — click reads the \b
    change = changing.Change.from_options(given)
    changing.start(cluster, change, change.wish(Goal.ENABLE, provider, resources))
