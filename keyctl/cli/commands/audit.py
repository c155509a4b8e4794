"""`keyctl audit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import completed, redacting, report_files, terminal
from keyctl.cli.options import Connection, fail_on_option, output_option, report_option
from keyctl.cli.redacting import redact_options
from keyctl.errors import WrongUsageError
from keyctl.findings import Report, Severity

if TYPE_CHECKING:
    from keyctl.audit.baseline import Known
    from keyctl.audit.facts import Facts, Placed
    from keyctl.audit.waivers import Waiver

_LARGEST_REPORT = 16 * 1024 * 1024


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--profile",
    default="ci-static",
    show_default=True,
    metavar="NAME",
    shell_complete=completed.profiles,
    help="Which checks, by whose ids.",
)
@fail_on_option(Severity.HIGH)
@click.option(
    "--waivers", type=click.Path(path_type=Path), help="A file of waivers, each with owner, reason and expiry."
)
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="An earlier report as JSON: its failures do not count."
)
@click.option(
    "--cluster",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Look at the running cluster that this cluster file describes, too.",
)
@click.option(
    "--snapshot",
    "snapshots",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Read this snapshot of etcd, or this copy of a data directory, too. Repeatable.",
)
@click.option(
    "--backups",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Look through this directory of backups, too: every snapshot below it is read. Repeatable.",
)
@click.option(
    "--identity",
    metavar="IDENTITY",
    help="With --backups: look into encrypted ones with this age identity, too; - is stdin.",
)
@click.option("--canary", is_flag=True, help="With --cluster: write a Secret through each API server, and delete it.")
@click.option("--processes", is_flag=True, help="Look at the kube-apiservers and etcds that run here, too.")
@click.option(
    "--unreachable",
    multiple=True,
    metavar="HOST[:PORT]",
    help="This machine must not reach etcd there: try 2379 and 2380, or PORT. Repeatable.",
)
@redact_options
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when the exit code is 0.")
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    paths: tuple[Path, ...],
    profile: str,
    fail_on: Severity | None,
    waivers: Path | None,
    baseline: Path | None,
    cluster: Path | None,
    snapshots: tuple[Path, ...],
    backups: tuple[Path, ...],
    identity: str | None,
    canary: bool,
    processes: bool,
    unreachable: tuple[str, ...],
    redact: bool,
    redact_salt: Path | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Check what PATHs say of encryption, etcd, keys, TLS, files and logs, and what a cluster shows.

    PATH is a file or a directory: a Git repository, or /etc/kubernetes on a host; the default
    is the current directory, and none with an option that names something else to look at. Without
    --cluster no cluster is asked; with it every stored value is read, every API server and member of
    etcd asked, and each port of etcd tried as a stranger would, which its log shows. Nothing is
    changed, but for the Secrets of --canary. A snapshot tells of itself only.

    Exits 0 when everything that is required was judged and is right, 20 for a failed check at
    or above --fail-on, 21 when a required check could not be judged or nothing was there to be
    judged, 22 for a waiver that is expired or malformed. -o wide also lists what is right.
    What a check means: keyctl explain KC-ENC-007.

    \b
    Examples:
      keyctl audit .
      keyctl audit manifests clusters/prod/kubeadm.yaml --fail-on medium
      keyctl audit . --profile cis-1.12 --waivers waivers.yaml -o wide
      keyctl audit . --report junit=audit.xml --report json=audit.json
      keyctl audit . --report sarif-github=audit.sarif --report markdown=summary.md
      keyctl audit . --baseline audit.json
      keyctl audit . --redact --report oscal=results.json
      keyctl audit /etc/kubernetes --cluster keyctl.yaml --profile minimal
      keyctl audit --snapshot backup.db --profile all
      keyctl audit --backups /var/backups/etcd --cluster keyctl.yaml --profile host
    """  # noqa: D301 — click reads the \b
    _check_usage(profile, cluster, snapshots, backups, unreachable, canary=canary, opens=identity is not None)
    connection = Connection(cluster, None, None, None, None, None) if cluster else None
    targets = report_files.checked(reports, [waivers, baseline, redact_salt, *snapshots], connection)
    salt = redacting.salt(redact=redact, file=redact_salt)
    today = datetime.now(UTC).date()
    judged = _judging(profile, fail_on, waivers, baseline, today)
    alone = not (cluster or snapshots or backups or processes or unreachable)
    facts = _collected(paths or ((Path(),) if alone else ()), today)
    here = _here(unreachable, facts.found, processes=processes)
    live = () if alone else _live(cluster, snapshots, backups, identity, canary=canary, quiet=quiet)
    done = redacting.redacted(judged(_with(facts, (*here, *live))), salt)
    ctx.exit(report_files.deliver(done, targets, lambda: terminal.show(done, output), quiet=quiet))


def _collected(paths: tuple[Path, ...], today: date) -> Facts:
    from keyctl.audit.collect import collect

    return collect(paths, today=today)


def _judging(
    profile: str, bar: Severity | None, waivers: Path | None, baseline: Path | None, today: date
) -> Callable[[Facts], Report]:
    """What makes a report of facts; the files it needs are read now, before anything is looked at."""
    from keyctl.audit.baseline import NOTHING
    from keyctl.audit.engine import audit as judge
    from keyctl.audit.profiles.catalogue import PROFILES
    from keyctl.audit.report import report

    excused = _waivers(waivers, today) if waivers else ()
    known = _baseline(baseline) if baseline else NOTHING
    return lambda facts: report(judge(facts, PROFILES[profile], excused, bar=bar, baseline=known), facts)


def _with(facts: Facts, more: tuple[Placed, ...]) -> Facts:
    from keyctl.audit.inputs import InputFile

    looked = facts.looked + sum(isinstance(one, InputFile) for one in more)
    return replace(facts, found=(*facts.found, *more), looked=looked)


def _live(
    cluster: Path | None,
    snapshots: tuple[Path, ...],
    backups: tuple[Path, ...],
    identity: str | None,
    *,
    canary: bool,
    quiet: bool,
) -> tuple[Placed, ...]:
    from keyctl.cli.audited_backups import looked_into
    from keyctl.cli.auditing import observed
    from keyctl.cli.sealed_snapshots import read_identity

    identities = read_identity(identity)
    kept = looked_into(backups, cluster, identities=identities, quiet=quiet)
    return (*observed(cluster, snapshots, with_canary=canary), *kept)


def _here(unreachable: tuple[str, ...], found: tuple[Placed, ...], *, processes: bool) -> tuple[Placed, ...]:
    if not (unreachable or processes):
        return ()
    from keyctl.cli.audited_members import this_machine

    return tuple(this_machine(unreachable, found, with_processes=processes))


def _check_usage(
    profile: str,
    cluster: Path | None,
    snapshots: tuple[Path, ...],
    backups: tuple[Path, ...],
    unreachable: tuple[str, ...],
    *,
    canary: bool,
    opens: bool,
) -> None:
    from keyctl.audit.checks import catalogue, etcd_ports, stored_values
    from keyctl.audit.checks.backups import CHECKS
    from keyctl.audit.facts import About
    from keyctl.audit.profiles.catalogue import PROFILES

    if opens and not backups:
        raise WrongUsageError("--identity is for encrypted backups", hint="name where they are: --backups DIR")
    if canary and not cluster:
        raise WrongUsageError("--canary writes to a running cluster", hint="name its cluster file: --cluster FILE")
    if profile not in PROFILES:
        raise WrongUsageError(f"no profile {profile!r}", hint=f"known: {', '.join(PROFILES)}")
    controls = PROFILES[profile].controls
    # What is read and not judged looks as if it had been.
    if backups and not any(one.rule.id in controls for one in CHECKS):
        raise WrongUsageError(f"profile {profile} judges no backups", hint="choose another one: --profile host")
    if unreachable and etcd_ports.REACHABLE.id not in controls:
        told = f"profile {profile} does not judge whether etcd is reached"
        raise WrongUsageError(told, hint="choose another one: --profile nsa")
    if canary and stored_values.CANARY.id not in controls:
        raise WrongUsageError(f"profile {profile} judges no canary", hint="choose another one: --profile nsa")
    judged = {one.about for one in catalogue.CHECKS if one.rule.id in controls}
    of_cluster = {About.STORED_VALUES, About.RUNNING_SERVER, About.MEMBER, About.BACKUP, About.KEY}
    if cluster and not judged & of_cluster:
        raise WrongUsageError(f"profile {profile} judges no cluster", hint="choose another one: --profile minimal")
    if snapshots and About.STORED_VALUES not in judged:
        raise WrongUsageError(f"profile {profile} judges no stored values", hint="choose another: --profile minimal")


def _waivers(path: Path, today: date) -> tuple[Waiver, ...]:
    from keyctl.audit.checks.catalogue import RULES
    from keyctl.audit.waivers import read
    from keyctl.cli.files import name_of, read_regular

    content = read_regular(path, "the file of waivers")
    return read(content, name=name_of(path), today=today, known={rule.id for rule in RULES})


def _baseline(path: Path) -> Known:
    from keyctl.audit.baseline import read
    from keyctl.cli.files import name_of, read_regular

    return read(read_regular(path, "the baseline", limit=_LARGEST_REPORT), name=name_of(path))
