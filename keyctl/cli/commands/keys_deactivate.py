"""`keyctl keys deactivate`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keyctl.cli import wiring
from keyctl.cli.key_names import parse_key
from keyctl.cli.options import cluster_option
from keyctl.cli.progress import PlainLines
from keyctl.errors import InterruptedEarlyError, RefusedError
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.keys.shown import shown_ref


@click.command()
@cluster_option
@click.argument("key", metavar="PROVIDER:NAME")
@click.option("--dry-run", is_flag=True, help="Look everywhere and say what stands in the way; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
def deactivate(cluster: Path | None, key: str, dry_run: bool, yes: bool) -> None:
    """Note that a key is out of use: no server's file has it, and no live value stands under it.

    A rotation notes that by itself. This is for a key that left the files by hand, by
    another tool or with a run that was killed, or that was generated and is not wanted.
    Refused, with every reason, while a file or a value has it, while a rotation is under
    way, and while a part of the cluster cannot be seen. The key stays in the store, for
    backups may need it, and etcd's history does; keyctl keys destroy erases it later.

    \b
    Examples:
      keyctl keys deactivate aescbc:key1 --dry-run
      keyctl keys deactivate aescbc:key1
    """  # noqa: D301 — click reads the \b
    ref = parse_key(key)
    if not (dry_run or yes or sys.stdin.isatty()):
        raise RefusedError("this changes the ledger and nobody is there to ask", hint="say --yes, or --dry-run")
    with wiring.rotation(cluster) as parts:
        deactivation = parts.deactivation(PlainLines(), ref)
        if dry_run or not yes:
            record = deactivation.check()
            if record.state is KeyState.DEACTIVATED:
                _say(record, f"is deactivated already, since {record.history[-1].at}, and nothing uses it")
                return
            if dry_run:
                _say(record, f"would be deactivated; it stays {record.state}, and nothing was changed")
                return
            _ask(record)
        _say(deactivation.carry_out(), "is deactivated: nothing uses it")


def _ask(record: KeyRecord) -> None:
    try:
        agreed = click.confirm(f"Nothing uses {shown_ref(record.ref)}. Note it as deactivated?", err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")


def _say(record: KeyRecord, what: str) -> None:
    click.echo(f"{shown_ref(record.ref)}, fingerprint {record.fingerprint}, {what}")
