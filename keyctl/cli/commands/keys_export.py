"""`keyctl keys export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keyctl.cli import files, wiring
from keyctl.cli.key_names import parse_key
from keyctl.cli.options import cluster_option
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.ledger import KeyState
from keyctl.keys.shown import shown_ref


@click.command()
@cluster_option
@click.argument("key", metavar="PROVIDER:NAME")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(cluster: Path | None, key: str, file: Path) -> None:
    """Write a key to the new file FILE, as an element of `providers` in an EncryptionConfiguration.

    FILE is 0600 from its creation on and never written over another. With - as FILE it
    goes to stdout, where that is no terminal. The key is compared with its fingerprint in
    the ledger first. To keep all keys for a bad day, use keyctl keys escrow: an export is
    not encrypted.

    \b
    Examples:
      keyctl keys export aescbc:key1 key1.yaml
      keyctl keys export aescbc:key1 - | age -r age1... > key1.age
    """  # noqa: D301 — click reads the \b
    from keyctl.encryption_config.editing.edit import provider_element
    from keyctl.keys import ledger

    ref = parse_key(key)
    to_stdout = str(file) == files.STDIN
    if to_stdout and sys.stdout.isatty():
        raise RefusedError("a key is not shown on a terminal", hint="name a file, or pipe it to where it belongs")
    if not to_stdout and file.exists():
        raise RefusedError(f"{file} exists already", hint="choose another name; nothing was written")
    store = wiring.key_store(wiring.require_cluster(cluster), only_read=True)
    record = ledger.find(store.records(), ref)
    if record is None or record.state is KeyState.DESTROYED:
        what = "was destroyed" if record else "is not there"
        raise UnusableInputError(
            f"{shown_ref(ref)} {what} in the key store {store.location}", hint="see them all: keyctl keys list"
        )
    found = store.get(ref)
    if found is None:
        raise UnusableInputError(
            f"the key store {store.location} has {shown_ref(ref)} in its ledger, and not its bytes",
            hint="bring them back from an escrow: keyctl keys import --escrow FILE --identity FILE",
        )
    content = provider_element(found)
    if to_stdout:
        click.echo(content.decode(), nl=False)
    else:
        files.write_new(file, content)
    if record.state is KeyState.COMPROMISED:
        click.echo(f"{shown_ref(ref)} is compromised: use it to read old values only", err=True)
    where = "stdout" if to_stdout else files.name_of(file)
    click.echo(f"{where}: {shown_ref(ref)}, fingerprint {record.fingerprint}, not encrypted", err=to_stdout)
