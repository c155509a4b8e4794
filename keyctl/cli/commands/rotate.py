"""`keyctl rotate`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import changing
from keyctl.cli.options import cluster_option
from keyctl.errors import WrongUsageError
from keyctl.keys.key import STATIC_PROVIDERS
from keyctl.rotation.plan import Goal


@click.command()
@cluster_option
@click.option("--provider", type=click.Choice([p.value for p in STATIC_PROVIDERS]), help="Change to this provider.")
@click.option("--resources", multiple=True, metavar="R", help="Only the entries that name R. Repeatable.")
@click.option("--resume", is_flag=True, help="Go on with the rotation that was begun.")
@changing.change_options
def rotate(
    cluster: Path | None, provider: str | None, resources: tuple[str, ...], resume: bool, **given: object
) -> None:
    """Change the key of an encrypted cluster, safely.

    Adds a new key on every API server, proves that each has loaded it, makes it the
    writing key, proves that, rewrites every value through the API, and proves in raw
    etcd that nothing is left under the old key. The old key stays as a read key.

    Stop it at any moment; `--resume` goes on from what it then finds.

    \b
    Examples:
      keyctl rotate --dry-run
      keyctl rotate --yes
      keyctl rotate --provider secretbox --pause-after readable
      keyctl rotate --resume
    """  # noqa: D301 — click reads the \b
    change = changing.Change.from_options(given)
    if resume:
        if provider or resources or change.dry_run or change.allow_downtime or change.template_updated:
            raise WrongUsageError(
                "--resume goes on with the plan that was agreed to",
                hint="of the other flags it takes --cluster, --pause-after, -o, -q and --yes",
            )
        changing.resume(cluster, change)
        return
    changing.start(cluster, change, change.wish(Goal.ROTATE, provider, resources))
