"""`keyctl snapshot restore-test`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import kept_backups, report_files, sealed_snapshots, terminal, wiring
from keyctl.cli.options import cluster_option, output_option, report_option
from keyctl.cli.snapshot_names import read_one
from keyctl.errors import RefusedError, WrongUsageError
from keyctl.stored.display import display

if TYPE_CHECKING:
    from keyctl.backup.restore_test import Plane, RestoreTest
    from keyctl.cluster_file.settings import ClusterSettings
    from keyctl.encryption_config.model import EncryptionConfig
    from keyctl.findings import Report
    from keyctl.keys.interface import KeyStore

_KIND = "RestoreTestReport"
_PREFIX = "/registry"
_NO_KEYS = "name the cluster file with --cluster, or a file that has the keys with --encryption-config"
_OFFLINE = "--offline was given"
_NO_PROGRAMS = "etcd, etcdutl and kube-apiserver are not at hand; --build makes them"


@click.command("restore-test")
@click.argument("file", type=click.Path(), callback=read_one)
@cluster_option
@click.option(
    "--encryption-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Open values with the keys of this file, too.",
)
@click.option(
    "--etcd-prefix", help=f"kube-apiserver's storage prefix. Default: that of the cluster file, else {_PREFIX}."
)
@click.option("--offline", is_flag=True, help="Start no servers: integrity and keys only.")
@click.option("--build", is_flag=True, help="Build etcd and kube-apiserver where they are missing (minutes, once).")
@sealed_snapshots.identity_options
@click.option(
    "--write-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the EncryptionConfiguration that it needs, with the keys, to this new file (0600).",
)
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, and nothing on stdout when all is right.")
@click.pass_context
def restore_test(
    ctx: click.Context,
    /,
    file: Path,
    cluster: Path | None,
    encryption_config: Path | None,
    etcd_prefix: str | None,
    offline: bool,
    build: bool,
    identity: str | None,
    scratch: Path | None,
    write_config: Path | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Prove that FILE can be restored: with the keys that are kept, by a real API server.

    Reads every byte of FILE, opens every encrypted value with the keys of the key store
    (and of --encryption-config), and says which EncryptionConfiguration an API server
    needs to read it. Where etcd and kube-apiserver are at hand, restores FILE into an
    etcd of its own on loopback, starts an API server on it, and lists every encrypted
    resource; all of that is gone afterwards. The key store's register keeps the result.
    Exits 3 when FILE is damaged, 12 when a value does not come back, 15 when only a KMS
    plugin could tell, 10 when nothing is in it.

    FILE may be a directory: then it is the newest backup there. An encrypted one is opened
    with --identity. What lies open meanwhile is below --scratch: room for three times FILE.

    \b
    Examples:
      keyctl snapshot restore-test /backup/prod-1.db
      keyctl snapshot restore-test /backup --identity backup.identity --report openmetrics=drill.prom
      keyctl snapshot restore-test /backup/prod-1.db --write-config enc.yaml
      keyctl snapshot restore-test /backup/prod-1.db --offline -o json | jq .configuration
    """  # noqa: D301 — click reads the \b
    from keyctl.backup.manifest import beside

    if offline and (build or (scratch and identity is None)):
        raise WrongUsageError("--offline starts no servers", hint="leave out --build and --scratch, or --offline")
    of_identity = None if identity is None else Path(identity)
    own = () if kept_backups.is_directory(file) else (file, beside(file))
    targets = report_files.checked(reports, (*own, encryption_config, write_config, of_identity))
    if write_config is not None and write_config.exists():
        raise RefusedError(f"{write_config} exists already", hint="choose another name; nothing was written")
    settings = _settings(cluster)
    store = None if settings is None else wiring.key_store(settings)
    if store is None and encryption_config is None:
        raise WrongUsageError("no keys to open the values with", hint=_NO_KEYS)
    with kept_backups.told_when_it_fails(_KIND, targets, file, store):
        chosen = kept_backups.newest_in(file, wiring.SystemClock().now()) if kept_backups.is_directory(file) else file
        report_files.keep_apart(targets, (chosen, beside(chosen)))
        work = _Work(chosen, etcd_prefix or (settings.etcd.prefix if settings else _PREFIX), store)
        plane = None if offline else _plane(quiet=quiet, scratch=scratch, may_build=build)
        config = _config(encryption_config)
        identities = sealed_snapshots.read_identity(identity)
        found = _noting_damage(work, lambda: _tested(work, config, plane, identities, scratch, offline, quiet))
        report = _report(work, found, config, write_config)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))


@dataclass(frozen=True, slots=True)
class _Work:
    """What is tested, with which keys, and whose register is told."""

    file: Path
    prefix: str
    store: KeyStore | None


def _report(work: _Work, found: RestoreTest, config: EncryptionConfig | None, write_config: Path | None) -> Report:
    from keyctl.backup.restore_report import to_report

    notes = (*_noted(work.store, found), *_written(write_config, found, work.store, config))
    return replace(to_report(found, notes), gauges=kept_backups.gauges(work.file.parent, work.store))


def _noting_damage(work: _Work, test: Callable[[], RestoreTest]) -> RestoreTest:
    """What `test` gives. A backup that it found damaged has failed the test, and the register is told that, too."""
    from keyctl.backup.register import note_test
    from keyctl.backup.restore_test import UnsoundError
    from keyctl.keys.age_stream import DamagedStreamError
    from keyctl.keys.backups import Proof, Proven

    try:
        return test()
    except (UnsoundError, DamagedStreamError):
        if work.store is not None:
            note_test(work.store, work.file, "", Proven(wiring.SystemClock().now().isoformat(), Proof.FAILED))
        raise


def _settings(cluster: Path | None) -> ClusterSettings | None:
    """The cluster file's, None where there is none: the keys of a file that is named are enough."""
    return wiring.require_cluster(cluster) if wiring.find_cluster_file(cluster) is not None else None


def _config(path: Path | None) -> EncryptionConfig | None:
    from keyctl.cli import configurations
    from keyctl.encryption_config.server import NEWEST_SERVER

    return None if path is None else configurations.read(str(path), NEWEST_SERVER)[0].config


def _plane(*, quiet: bool, scratch: Path | None, may_build: bool) -> Plane | None:
    from keyctl.cli.restored_plane import plane

    return plane(lambda line: None if quiet else click.echo(line, err=True), scratch=scratch, may_build=may_build)


def _tested(
    work: _Work,
    config: EncryptionConfig | None,
    plane: Plane | None,
    identities: bytes | None,
    scratch: Path | None,
    offline: bool,
    quiet: bool,
) -> RestoreTest:
    from keyctl.backup.every_key import kept
    from keyctl.backup.interface import Unwatched
    from keyctl.backup.restore_test import restore_test as test
    from keyctl.cli.watching import Lines
    from keyctl.etcd_files.source import SnapshotSource

    file, store = work.file, work.store
    with ExitStack() as closing:
        watch = Unwatched() if quiet else closing.enter_context(Lines(display(file.name)))
        content = closing.enter_context(sealed_snapshots.opened(file, identities, scratch, watch.reading))
        return test(
            file,
            prefix=work.prefix,
            keys=() if store is None else kept(store),
            config=config,
            records=() if store is None else store.records(),
            open_snapshot=SnapshotSource,
            plane=plane,
            untried=_OFFLINE if offline else "" if plane else _NO_PROGRAMS,
            progress=watch.reading,
            content=None if content == file else content,
        )


def _noted(store: KeyStore | None, found: RestoreTest) -> tuple[str, ...]:
    """Write the result into the register; a sentence on that."""
    from keyctl.backup.register import note_test
    from keyctl.keys.backups import Proven

    if store is None:
        return ("no register was told of it: there is no cluster file",)
    if found.proof is None:
        return ("the register keeps what it knew: this test has proven nothing of the whole file",)
    tested = Proven(wiring.SystemClock().now().isoformat(), found.proof)
    if note_test(store, found.path, found.checked.sha256, tested):
        return (f"the register of the key store {display(store.location)} keeps the result",)
    told = "the register does not know this file, and so does not hold back the keys that it needs; to register it"
    return (f"{told}: keyctl snapshot inspect FILE --register",)


def _written(
    path: Path | None, found: RestoreTest, store: KeyStore | None, config: EncryptionConfig | None
) -> tuple[str, ...]:
    from keyctl.backup.every_key import every_key, kept
    from keyctl.backup.restore_test import with_keys
    from keyctl.cli import files
    from keyctl.encryption_config import effective

    if path is None:
        return ()
    if found.unopened or not found.entries:
        why = "nothing in it is encrypted" if not found.entries else "not every key that it needs is at hand"
        return (f"{display(str(path))} was not written: {why}",)
    known = effective.static_keys(every_key(() if store is None else kept(store), config))
    files.write_new(path, with_keys(found.entries, {key.ref: key for key in known}).encode())
    return (f"{display(str(path))} has key bytes: 0600, for the API servers alone",)
