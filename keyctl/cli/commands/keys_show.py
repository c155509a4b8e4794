"""`keyctl keys show`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import wiring
from keyctl.cli.key_documents import key_document, needed_by
from keyctl.cli.key_names import parse_key
from keyctl.cli.options import cluster_option
from keyctl.errors import UnusableInputError
from keyctl.keys.shown import shown_ref
from keyctl.stored.display import display

if TYPE_CHECKING:
    from keyctl.keys.backups import Backup
    from keyctl.keys.ledger import KeyRecord


@click.command()
@cluster_option
@click.argument("key", metavar="PROVIDER:NAME")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format on stdout.")
def show(cluster: Path | None, key: str, output: str) -> None:
    """Show the life of one key: its states, since when and until when it wrote, and what may need it.

    Reads the key store only. No key bytes are shown.

    \b
    Example:
      keyctl keys show aescbc:key1
    """  # noqa: D301 — click reads the \b
    from keyctl.keys import ledger

    settings = wiring.require_cluster(cluster)
    store = wiring.key_store(settings)
    record = ledger.find(store.records(), parse_key(key))
    if record is None:
        raise UnusableInputError(
            f"there is no key {key} in the key store {store.location}", hint="see them all: keyctl keys list"
        )
    backups = store.backups()
    if output == "json":
        document = {"apiVersion": "keyctl/v1", "kind": "KeyShow", "store": store.location, "cluster": settings.name}
        click.echo(json.dumps(document | {"key": key_document(record, backups)}, indent=2))
        return
    for name, text in _lines(record, settings.name, backups):
        click.echo(f"{name:<13}{text}")


def _lines(record: KeyRecord, cluster: str, backups: tuple[Backup, ...]) -> Iterator[tuple[str, str]]:
    from keyctl.keys.backups import escrows

    yield "key", shown_ref(record.ref)
    yield "cluster", cluster
    yield "fingerprint", record.fingerprint
    yield "origin", record.origin
    for number, change in enumerate(record.history):
        yield "" if number else "life", f"{change.at}  {change.state}"
    for name, moment in (("first write", record.first_write), ("last write", record.last_write)):
        told = "not proven by a rotation" if moment is None else f"by revision {moment.revision}, {moment.at}"
        yield name, told
    needing = [f"{one.kind} {display(one.location)}, noted at {one.at}" for one in needed_by(backups, record)]
    for number, text in enumerate(needing or ["nothing that is registered"]):
        yield "" if number else "needed by", text
    held = [display(one.location) for one in escrows(backups, record.ref, record.fingerprint)]
    for number, text in enumerate(held or ["no escrow that was tested"]):
        yield "" if number else "held by", text
