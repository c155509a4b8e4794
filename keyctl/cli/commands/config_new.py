"""`keyctl config new`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from keyctl.cli import files
from keyctl.errors import RefusedError, WrongUsageError
from keyctl.keys.key import STATIC_PROVIDERS, Key, Provider


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--provider",
    type=click.Choice([p.value for p in STATIC_PROVIDERS]),
    default=Provider.AESCBC.value,
    show_default=True,
)
@click.option("--resources", multiple=True, default=("secrets",), show_default=True, metavar="R", help="Repeatable.")
@click.option(
    "--key-store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also keep the key in this key store (the cluster file's keys.directory).",
)
@click.option("--cluster-name", help="The cluster's name, as its cluster file will have it; goes with --key-store.")
def new(
    file: Path, provider: str, resources: tuple[str, ...], key_store: Path | None, cluster_name: str | None
) -> None:
    """Write the EncryptionConfiguration for a cluster's first start to FILE.

    The file has a new key that writes, and identity last. Put the same file on every
    control-plane host before the first start, and point --encryption-provider-config
    at it. For a cluster that is up already, use `keyctl enable`.

    \b
    Examples:
      keyctl config new enc.yaml
      keyctl config new enc.yaml --provider secretbox --resources secrets --resources configmaps
      keyctl config new enc.yaml --key-store keys --cluster-name prod-eu1
    """  # noqa: D301 — click reads the \b
    if (key_store is None) != (cluster_name is None):
        raise WrongUsageError(
            "a key store belongs to one cluster", hint="give both --key-store and --cluster-name, or neither"
        )
    if str(file) == "-":
        raise WrongUsageError("the new file holds a key and is not written to stdout", hint="name the file")
    from keyctl.cli.resources import existing
    from keyctl.encryption_config.editing.edit import new_document
    from keyctl.keys.generate import generate

    key = generate(Provider(provider), now=datetime.now(UTC))
    names = tuple(dict.fromkeys(map(existing, resources)))
    content = new_document(names, key, key_first=True)
    if file.exists():
        raise RefusedError(f"{file} exists already", hint="choose another name; nothing was written")
    if key_store is not None and cluster_name is not None:
        _keep(key, key_store, cluster_name)
    files.write_new(file, content)
    click.echo(f"{file}: {key.ref} writes {', '.join(names)}; fingerprint {key.fingerprint}")


def _keep(key: Key, directory: Path, cluster: str) -> None:
    from keyctl.keys.file_store import FileKeyStore

    FileKeyStore(directory, cluster=cluster, clock=lambda: datetime.now(UTC)).put(key, origin="generated")
