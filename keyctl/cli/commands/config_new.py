"""`keyctl config new`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from keyctl.cli import files, wiring
from keyctl.cli.options import chosen_store, store_option
from keyctl.cluster_file.settings import ClusterSettings, PolicySettings
from keyctl.errors import RefusedError, WrongUsageError
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import STATIC_PROVIDERS, Provider


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--provider",
    type=click.Choice([p.value for p in STATIC_PROVIDERS]),
    help=f"Default: policy.provider of the --cluster, or {Provider.AESCBC}.",
)
@click.option(
    "--resources",
    multiple=True,
    metavar="R",
    help="Repeatable. Default: policy.resources of the --cluster, or secrets.",
)
@click.option(
    "--cluster",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put the key into the key store of this cluster file first, as enable does.",
)
@store_option
@click.option(
    "--key-store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Without a cluster file: also keep the key in this directory (its keys.directory later).",
)
@click.option("--cluster-name", help="The cluster's name, as its cluster file will have it; goes with --key-store.")
def new(
    file: Path,
    provider: str | None,
    resources: tuple[str, ...],
    cluster: Path | None,
    key_store: Path | None,
    cluster_name: str | None,
) -> None:
    """Write the EncryptionConfiguration for a cluster's first start to FILE.

    The file has a new key that writes, and identity last. Put the same file on every
    control-plane host before the first start, and point --encryption-provider-config
    at it. For a cluster that is up already, use `keyctl enable`.

    With --cluster the key is in that cluster's key store, a directory or Vault, before
    it is in FILE: a key that is in no store is lost with the hosts.

    \b
    Examples:
      keyctl config new enc.yaml --cluster keyctl.yaml
      keyctl config new enc.yaml --cluster keyctl.yaml --store vault
      keyctl config new enc.yaml --provider secretbox --resources secrets --resources configmaps
      keyctl config new enc.yaml --key-store keys --cluster-name prod-eu1
    """  # noqa: D301 — click reads the \b
    _check_usage(cluster, key_store, cluster_name)
    if str(file) == "-":
        raise WrongUsageError("the new file holds a key and is not written to stdout", hint="name the file")
    from keyctl.cli.resources import existing
    from keyctl.encryption_config.editing.edit import new_document
    from keyctl.keys.generate import generate

    settings = None if cluster is None else wiring.require_cluster(cluster)
    policy = PolicySettings() if settings is None else settings.policy
    key = generate(Provider(provider) if provider else policy.provider, now=datetime.now(UTC))
    names = tuple(dict.fromkeys(map(existing, resources or policy.resources)))
    content = new_document(names, key, key_first=True)
    if file.exists():
        raise RefusedError(f"{file} exists already", hint="choose another name; nothing was written")
    store = _store(settings, key_store, cluster_name)
    if store is not None:
        store.put(key, origin="generated")
    files.write_new(file, content)
    click.echo(f"{file}: {key.ref} writes {', '.join(names)}; fingerprint {key.fingerprint}")
    if store is not None:
        click.echo(f"the key is in the key store {store.location}, too", err=True)


def _check_usage(cluster: Path | None, key_store: Path | None, cluster_name: str | None) -> None:
    if (key_store is None) != (cluster_name is None):
        raise WrongUsageError(
            "a key store belongs to one cluster", hint="give both --key-store and --cluster-name, or neither"
        )
    if cluster is not None and key_store is not None:
        raise WrongUsageError(
            "the key store is the one of the cluster file", hint="leave --key-store and --cluster-name out"
        )
    if cluster is None and chosen_store():
        raise WrongUsageError("--store names a key store of a cluster file", hint="name that file with --cluster")


def _store(settings: ClusterSettings | None, directory: Path | None, cluster: str | None) -> KeyStore | None:
    if settings is not None:
        return wiring.key_store(settings)
    if directory is None or cluster is None:
        return None
    from keyctl.keys.file_store import FileKeyStore

    return FileKeyStore(directory, cluster=cluster, clock=lambda: datetime.now(UTC))
