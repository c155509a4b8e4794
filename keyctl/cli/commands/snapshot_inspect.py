"""`keyctl snapshot inspect`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from keyctl.cli import report_files, sealed_snapshots, terminal, wiring
from keyctl.cli.options import cluster_option, output_option, report_option
from keyctl.cli.snapshot_names import read_one
from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.stored.display import display

if TYPE_CHECKING:
    from keyctl.encryption_config.model import EncryptionConfig
    from keyctl.keys.backups import Backup
    from keyctl.keys.key import KeyRef

_PREFIX = "/registry"


@click.command()
@click.argument("file", type=click.Path(), callback=read_one)
@click.option(
    "--encryption-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Open the values with the keys of this file, and show their fingerprints.",
)
@click.option("--etcd-prefix", default=_PREFIX, show_default=True, help="kube-apiserver's storage prefix in that etcd.")
@click.option(
    "--register",
    is_flag=True,
    help="Tell the register of the cluster file's key store, so that no key is destroyed which FILE needs.",
)
@sealed_snapshots.identity_options
@cluster_option
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="No progress; the result and errors still show.")
@click.pass_context
def inspect(
    ctx: click.Context,
    /,
    file: Path,
    encryption_config: Path | None,
    etcd_prefix: str,
    register: bool,
    identity: str | None,
    scratch: Path | None,
    cluster: Path | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Show what is in FILE, a snapshot or a copied database: which keys it needs, and what it leaks.

    Resources with their counts, live, in history and in freed pages; what stands in
    plaintext; the keys that values name; members, alarms, compaction, versions; etcd's
    users and roles (their password hashes are in the file, and are not shown). Judges
    nothing: that is keyctl verify-secrets with --snapshot. Changes nothing, but with
    --register: a snapshot that another tool saved then holds back the destruction of the
    keys that it needs, found by opening its values with every key of the key store. An
    encrypted FILE is decrypted into a private directory, with --identity.

    \b
    Examples:
      keyctl snapshot inspect /backup/prod-1.db
      keyctl snapshot inspect /backup/prod-1.db --encryption-config enc.yaml
      keyctl snapshot inspect /backup/prod-1.db.age --identity backup.identity
      keyctl snapshot inspect /backup/prod-1.db -o json | jq .keys
      keyctl snapshot inspect /backup/velero-7.db --register
    """  # noqa: D301 — click reads the \b
    from keyctl.backup import inspect as use_case
    from keyctl.backup.inspect_report import to_report
    from keyctl.backup.interface import Unwatched
    from keyctl.backup.manifest import beside
    from keyctl.cli.watching import Lines
    from keyctl.etcd_files.source import SnapshotSource

    _check_cluster(ctx, register=register)
    of_identity = () if identity is None else (Path(identity),)
    targets = report_files.checked(reports, (file, beside(file), encryption_config, *of_identity))
    identities = sealed_snapshots.read_identity(identity)
    config = _config(encryption_config)
    with ExitStack() as work:
        watch = Unwatched() if quiet else work.enter_context(Lines(display(file.name)))
        content = work.enter_context(sealed_snapshots.opened(file, identities, scratch, watch.reading))
        found = use_case.inspect(
            content, prefix=etcd_prefix, config=config, open_snapshot=SnapshotSource, progress=watch.reading
        )
        notes = _registered(file, content, etcd_prefix, config, cluster) if register else ()
    options = (("--encryption-config", encryption_config), ("--etcd-prefix", etcd_prefix))
    # NOTE: verify-secrets takes the prefix from the cluster file where none is given, so only another one is told.
    flags = [str(word) for option in options if option[1] not in (None, _PREFIX) for word in option]
    report = to_report(replace(found, path=file), flags, notes)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output)))


def _config(path: Path | None) -> EncryptionConfig | None:
    from keyctl.cli import configurations
    from keyctl.encryption_config.server import NEWEST_SERVER

    return None if path is None else configurations.read(str(path), NEWEST_SERVER)[0].config


def _check_cluster(ctx: click.Context, *, register: bool) -> None:
    if not register and ctx.get_parameter_source("cluster") is ParameterSource.COMMANDLINE:
        raise WrongUsageError("--cluster names the register, and nothing is registered", hint="add --register")


def _registered(
    file: Path, content: Path, prefix: str, config: EncryptionConfig | None, cluster: Path | None
) -> tuple[str, ...]:
    """Tell the register of the key store; what it was told, in a sentence. `content` is where `file` lies open."""
    from keyctl.backup.check import check_snapshot
    from keyctl.backup.contents import read_live
    from keyctl.backup.every_key import every_key, kept
    from keyctl.backup.key_needs import key_needs
    from keyctl.backup.register import entry, register
    from keyctl.etcd_files.source import SnapshotSource

    store = wiring.key_store(wiring.require_cluster(cluster))
    checked = check_snapshot(file, SnapshotSource, content=None if content == file else content)
    if not checked.sound:
        cause = "; ".join(finding.message for finding in checked.findings)
        raise UnusableInputError(f"{display(str(file))} is not sound, and not registered", cause=cause)
    known = every_key(kept(store), config)
    contents = read_live(SnapshotSource(content), prefix=prefix, config=known)
    needs = key_needs(contents, known)
    at = wiring.SystemClock().now()
    noted = entry(file, needs, at=at, revision=contents.info.revision, sha256=checked.sha256)
    register(store, noted, needs)
    told = ", ".join(_needed(noted, ref) for ref in noted.needs) or "no key"
    return (f"the register of the key store {display(store.location)} knows it, and that it needs {told}",)


def _needed(noted: Backup, ref: KeyRef) -> str:
    """A key that it needs; of a plugin also what it called its own keys."""
    from keyctl.keys.shown import shown_ref

    ids = ", ".join(display(key_id) for of, key_id in noted.key_ids if of == ref)
    return f"{shown_ref(ref)} (key id {ids})" if ids else shown_ref(ref)
