"""`keyctl disable`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import changing
from keyctl.cli.options import cluster_option
from keyctl.rotation.plan import Goal, State


@click.command()
@cluster_option
@click.option("--resources", multiple=True, metavar="R", help="Only the entries that name nothing but R. Repeatable.")
@changing.history_option
@changing.pause_option(State.RETIRED)
@changing.change_options
def disable(cluster: Path | None, resources: tuple[str, ...], **given: object) -> None:
    """Turn encryption at rest off: every value back to plaintext, then the key out of every file.

    The same steps and proofs as `keyctl rotate`, with plaintext in the place of the
    new key. The encryption flag and the file stay. Begun once, `keyctl rotate
    --resume` goes on with it after any interruption, and `keyctl rotate --abort`
    goes back.

    --resources turns whole entries off: one that names other resources, too, is refused,
    for those would become plaintext with it.

    \b
    Examples:
      keyctl disable --dry-run
      keyctl disable --yes
      keyctl disable --resources configmaps
    """  # noqa: D301 — click reads the \b
    change = changing.Change.from_options(given)
    changing.start(cluster, change, change.wish(Goal.DISABLE, None, resources))
