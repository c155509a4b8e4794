"""`keyctl keys`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from keyctl.cli import wiring
from keyctl.cli.commands.keys_deactivate import deactivate
from keyctl.cli.commands.keys_escrow import escrow
from keyctl.cli.commands.keys_export import export
from keyctl.cli.commands.keys_generate import generate
from keyctl.cli.commands.keys_import import import_keys
from keyctl.cli.commands.keys_policies import policies
from keyctl.cli.commands.keys_show import show
from keyctl.cli.key_documents import backup_document, escrow_document, key_document, needed_by
from keyctl.cli.key_names import parse_key
from keyctl.cli.options import cluster_option, store_option
from keyctl.cli.progress import PlainLines
from keyctl.errors import InterruptedEarlyError, RefusedError
from keyctl.keys.backups import Backup, BackupKind, escrows
from keyctl.keys.interface import KeyStore
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.rotation.obstacles import argument
from keyctl.stored.display import display

_HEADS = ("KEY", "STATE", "SINCE", "FINGERPRINT", "ORIGIN", "ESCROW", "MAY BE NEEDED BY")


@click.group()
def keys() -> None:
    """The key store of the cluster file: every key there ever was, and what needs it.

    \b
    Examples:
      keyctl keys list
      keyctl keys show aescbc:key1
      keyctl keys generate --provider secretbox
      keyctl keys export aescbc:key1 key1.yaml
      keyctl keys escrow /mnt/usb/prod.age --recipient age1...
      keyctl keys deactivate aescbc:key1
      keyctl keys destroy aescbc:key1 --dry-run
      keyctl keys list --store vault
      keyctl keys policies
    """  # noqa: D301 — click reads the \b


@keys.command(name="list")
@cluster_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format on stdout.")
def list_keys(cluster: Path | None, output: str) -> None:
    """List the keys, and the registered backups that may need each.

    Reads the key store only: whether a backup still exists is not looked at. A
    snapshot is shown by its file name; -o json has its whole path. ESCROW: whether an
    escrow that was tested holds the key. No key bytes are shown.

    \b
    Examples:
      keyctl keys list
      keyctl keys list -o json | jq '.keys[] | select(.state == "deactivated")'
    """  # noqa: D301 — click reads the \b
    store = wiring.key_store(wiring.require_cluster(cluster))
    records, backups = store.records(), store.backups()
    if output == "json":
        click.echo(json.dumps(_document(store, records, backups), indent=2))
        return
    if not records:
        click.echo(f"no key was ever put into the key store {store.location}", err=True)
        return
    click.echo(_table([_HEADS, *(_row(record, backups) for record in records)]))


@keys.command()
@cluster_option
@click.argument("key", metavar="PROVIDER:NAME")
@click.option(
    "--forget-backup",
    "forget",
    multiple=True,
    metavar="LOCATION",
    help="This registered backup and every copy of it are gone, or may become unreadable. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Look everywhere and say what stands in the way; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
def destroy(cluster: Path | None, key: str, forget: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Erase the bytes of a key that nothing needs any more. There is no way back.

    Refused, with every reason, while anything needs it: a server's file, one that a
    node is to fetch or has reported, a value in any etcd, a registered snapshot,
    etcd's history, a rotation under way; and while a part of the cluster cannot be
    seen. Its entry in the ledger stays.

    \b
    Examples:
      keyctl keys destroy aescbc:key1 --dry-run
      keyctl keys destroy aescbc:key1
      keyctl keys destroy aescbc:key1 --forget-backup /backup/prod-1.db --yes
    """  # noqa: D301 — click reads the \b
    ref = parse_key(key)
    if not (dry_run or yes or sys.stdin.isatty()):
        raise RefusedError("this destroys a key and nobody is there to ask", hint="say --yes, or --dry-run")
    with wiring.rotation(cluster) as parts:
        destruction = parts.destruction(PlainLines(), ref, forget=forget)
        if dry_run:
            _say(destruction.check(), forget, "would be destroyed; nothing was changed")
            return
        if not yes:
            _ask(destruction.check(), forget)
        destroyed = destruction.carry_out()
        _say(destroyed, forget, "is destroyed")
        for held in escrows(parts.world.store.backups(), ref, destroyed.fingerprint):
            click.echo(f"the escrow {held.location} still has its bytes: out of reach from here", err=True)


def _ask(record: KeyRecord, forget: tuple[str, ...]) -> None:
    for location in forget:
        click.echo(f"The backup {location} will be forgotten.", err=True)
    question = f"Destroy {record.ref}, fingerprint {record.fingerprint}? There is no way back."
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")


def _say(record: KeyRecord, forget: tuple[str, ...], what: str) -> None:
    forgotten = f" (without regard to {', '.join(forget)})" if forget else ""
    click.echo(f"{record.ref}, fingerprint {record.fingerprint}, {what}{forgotten}")


def _short(backup: Backup) -> str:
    return f"history of {backup.location}" if backup.kind is BackupKind.HISTORY else Path(backup.location).name


def _row(record: KeyRecord, backups: tuple[Backup, ...]) -> tuple[str, ...]:
    since = record.history[-1].at
    needing = ", ".join(display(_short(backup)) for backup in needed_by(backups, record)) or "-"
    held = "yes" if escrows(backups, record.ref, record.fingerprint) else "no"
    kept = "-" if record.state is KeyState.DESTROYED else held
    return display(argument(record.ref)), record.state, since, record.fingerprint, record.origin, kept, needing


def _table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as they need to be; nothing is cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _document(store: KeyStore, records: tuple[KeyRecord, ...], backups: tuple[Backup, ...]) -> dict[str, object]:
    return {
        "apiVersion": "keyctl/v1",
        "kind": "KeyList",
        "store": store.location,
        "keys": [key_document(record, backups) for record in records],
        "backups": [backup_document(one) for one in backups if one.kind is not BackupKind.ESCROW],
        "escrows": [escrow_document(one) for one in backups if one.kind is BackupKind.ESCROW],
    }


for _command in (show, generate, export, escrow, import_keys, deactivate):
    keys.add_command(_command)
for _command in keys.commands.values():
    store_option(_command)
keys.add_command(policies)
