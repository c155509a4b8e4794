"""`keyctl keys import`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keyctl.cli import wiring
from keyctl.cli.commands.keys_escrow import read_escrow
from keyctl.cli.options import cluster_option
from keyctl.errors import InterruptedEarlyError, RefusedError
from keyctl.keys.shown import shown_ref


@click.command("import")
@cluster_option
@click.option(
    "--escrow",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that keyctl keys escrow wrote.",
)
@click.option(
    "-i",
    "--identity",
    required=True,
    metavar="FILE",
    help="The secret side of one of its recipients, as age-keygen writes it; - is stdin.",
)
@click.option("--dry-run", is_flag=True, help="Open it and say what is in it; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
def import_keys(cluster: Path | None, file: Path, identity: str, dry_run: bool, yes: bool) -> None:
    """Bring every key back into an empty key store, with its life and the register of backups.

    The escrow is opened in memory; each key is written for its owner alone, read back,
    and its fingerprint compared. Refused where the key store has keys of its own. A run
    that was cut off is completed by running it again.

    \b
    Examples:
      keyctl keys import --escrow /mnt/usb/prod.age --identity escrow.identity --dry-run
      age -d identity.age | keyctl keys import --escrow prod.age --identity - --yes
    """  # noqa: D301 — click reads the \b
    from keyctl.keys import escrow as escrows

    settings = wiring.require_cluster(cluster)
    store = wiring.key_store(settings, only_read=dry_run)
    found, _ = read_escrow(file, settings, identity)
    escrows.check_room(store, found)
    click.echo(f"{file}: of {settings.name}, made at {found.at}", err=True)
    for record in found.records:
        click.echo(f"  {shown_ref(record.ref)}  {record.state}  {record.fingerprint}", err=True)
    if dry_run:
        click.echo(f"{len(found.keys)} keys would be brought back into {store.location}; nothing was changed")
        return
    if not yes:
        _ask(store.location)
    escrows.restore(store, found)
    click.echo(
        f"{len(found.keys)} keys are back in {store.location}, and {len(found.register)} backups in its register"
    )
    click.echo("see that they open what is stored: keyctl verify-secrets, keyctl snapshot restore-test FILE")


def _ask(location: str) -> None:
    if not sys.stdin.isatty():
        raise RefusedError("this writes keys and nobody is there to ask", hint="say --yes, or --dry-run")
    try:
        agreed = click.confirm(f"Bring them back into {location}?", err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")
