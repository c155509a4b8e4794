"""`keyctl status`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from keyctl.cli import report_files, terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option

if TYPE_CHECKING:
    from keyctl.cli.checkup.examine import Seen
    from keyctl.keys.backups import Backup
    from keyctl.keys.key import KeyRef
    from keyctl.keys.ledger import KeyRecord
    from keyctl.rotation.standing import Standing


@click.command()
@cluster_option
@etcd_options
@click.option("--no-scan", is_flag=True, help="Do not read the stored values: faster, and says less.")
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when all is right; the exit code stays the same.")
@click.pass_context
def status(
    ctx: click.Context, /, no_scan: bool, output: str, reports: tuple[str, ...], quiet: bool, **given: object
) -> None:
    """Show on one screen what each API server has loaded, and which key holds how many values.

    For each server: the hash of the file on its host, the key that it writes with, the
    hash that it has loaded and what shows it, whether it reloads by itself and is ready.
    For each key: its age, live values, the registered snapshots that need it, its state
    in the ledger. Then the rotation under way, if there is one, and when the next is due.

    Exits 0 when everything agrees, 20 when it does not, 4 when something could not be
    looked at. What to do about it: keyctl doctor.

    \b
    Examples:
      keyctl status
      keyctl status --no-scan -q && echo in step
      keyctl status -o wide
      keyctl status -o json | jq '.keys[] | {name, values, role}'
    """  # noqa: D301 — click reads the \b
    connection = Connection.from_options(given)
    targets = report_files.checked(reports, (), connection)
    from keyctl.cli.checkup import subject
    from keyctl.cli.checkup.examine import Given, see
    from keyctl.rotation import standing

    report = standing.report(_standing(see(subject.find(connection), Given(), values=not no_scan), scanned=not no_scan))
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))


def _standing(seen: Seen, *, scanned: bool) -> Standing:
    from keyctl.cli.checkup import rules
    from keyctl.cli.checkup.item import Area, Checks
    from keyctl.cli.wiring import SystemClock
    from keyctl.errors import KeyctlError
    from keyctl.findings import Status
    from keyctl.reports.checklist import Mark
    from keyctl.rotation.diagnosis.diagnose import diagnose
    from keyctl.rotation.standing import Standing

    problems = [item for item in seen.store_items if item.mark is Mark.FAILED]
    records: tuple[KeyRecord, ...] = ()
    backups: tuple[Backup, ...] = ()
    try:
        if seen.store is not None:
            records, backups = seen.store.records(), seen.store.backups()
    except KeyctlError as error:
        problems = problems or [Checks(Area.KEYS).of_error(rules.STORE, "key store", error)]
    return Standing(
        facts=seen.facts,
        found=diagnose(seen.facts),
        at=SystemClock().now(),
        records=records,
        backups=backups,
        held=_held(seen, backups),
        changed={
            look.place.name: look.file.changed for look in seen.looks if look.file and look.file.changed is not None
        },
        key_max_age=seen.subject.settings.policy.key_max_age if seen.subject.described else None,
        scanned=scanned,
        of_store=tuple(replace(one.finding, status=Status.UNKNOWN) if one.gap else one.finding for one in problems),
    )


def _held(seen: Seen, backups: tuple[Backup, ...]) -> frozenset[KeyRef]:
    """The keys that etcd's own history needs, as far as it is registered and etcd still has it."""
    from keyctl.cli import wiring
    from keyctl.errors import KeyctlError
    from keyctl.keys.backups import BackupKind

    held: set[KeyRef] = set()
    for backup in backups:
        if backup.kind is not BackupKind.HISTORY:
            continue
        for etcd in seen.etcds:
            if backup.location not in etcd.connection.endpoints:
                continue
            client = wiring.etcd(etcd.connection)
            try:
                held |= set() if client.is_compacted(backup.revision) else set(backup.needs)
            except KeyctlError:
                # NOTE: what cannot be told is not gone.
                held |= set(backup.needs)
            finally:
                client.close()
    return frozenset(held)
