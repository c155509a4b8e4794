"""`keyctl audit`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import report_files, terminal
from keyctl.cli.options import output_option, report_option
from keyctl.errors import WrongUsageError
from keyctl.findings import Severity

if TYPE_CHECKING:
    from keyctl.audit.baseline import Known
    from keyctl.audit.waivers import Waiver

_NEVER = "never"
_LARGEST_REPORT = 16 * 1024 * 1024


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--profile", default="ci-static", show_default=True, metavar="NAME", help="Which checks, by whose ids.")
@click.option(
    "--fail-on",
    type=click.Choice([*(one.value for one in Severity), _NEVER]),
    default=Severity.HIGH.value,
    show_default=True,
    help="The least severity of a failed check that makes the exit code 20.",
)
@click.option(
    "--waivers", type=click.Path(path_type=Path), help="A file of waivers, each with owner, reason and expiry."
)
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="An earlier report as JSON: its failures do not count."
)
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when the exit code is 0.")
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    paths: tuple[Path, ...],
    profile: str,
    fail_on: str,
    waivers: Path | None,
    baseline: Path | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Check what PATHs say of encryption, etcd, keys, TLS, files and logs. No cluster is asked.

    PATH is a file or a directory: a Git repository, or /etc/kubernetes on a host; the default
    is the current directory. Exits 0 when everything that is required was judged and is right,
    20 for a failed check at or above --fail-on, 21 when a required check could not be judged or
    nothing was there to be judged, 22 for a waiver that is expired or malformed. -o wide also
    lists what is right. What a check means: keyctl explain KC-ENC-007.

    \b
    Examples:
      keyctl audit .
      keyctl audit manifests clusters/prod/kubeadm.yaml --fail-on medium
      keyctl audit . --profile cis-1.12 --waivers waivers.yaml -o wide
      keyctl audit . --report junit=audit.xml --report json=audit.json
      keyctl audit . --baseline audit.json
    """  # noqa: D301 — click reads the \b
    from keyctl.audit.baseline import NOTHING
    from keyctl.audit.collect import collect
    from keyctl.audit.engine import audit as judge
    from keyctl.audit.profiles.catalogue import PROFILES
    from keyctl.audit.report import report

    if profile not in PROFILES:
        raise WrongUsageError(f"no profile {profile!r}", hint=f"known: {', '.join(PROFILES)}")
    targets = report_files.checked(reports, [waivers, baseline])
    today = datetime.now(UTC).date()
    excused = _waivers(waivers, today) if waivers else ()
    known = _baseline(baseline) if baseline else NOTHING
    facts = collect(paths or (Path(),), today=today)
    bar = None if fail_on == _NEVER else Severity(fail_on)
    done = report(judge(facts, PROFILES[profile], excused, bar=bar, baseline=known), facts)
    ctx.exit(report_files.deliver(done, targets, lambda: terminal.show(done, output), quiet=quiet))


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
