"""`keyctl kms check`."""

from __future__ import annotations

import secrets
import shlex
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import report_files, terminal
from keyctl.cli.options import output_option, report_option
from keyctl.errors import RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyctl.kms.endpoint import Endpoint
    from keyctl.kms.examine import Seen
    from keyctl.kms.kept import Kept

_FILE = click.Path(dir_okay=False, path_type=Path)
# gRPC's names for "nobody there" and "no answer in time".
_NOBODY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_WHAT = "the sealed value"


@click.command()
@click.argument("endpoint")
@click.option(
    "--old", "olds", type=_FILE, multiple=True, metavar="FILE", help="A value that --keep kept must open. Repeatable."
)
@click.option("--keep", type=_FILE, metavar="FILE", help="Keep a value that the plugin sealed in this new file.")
@click.option(
    "--calls", type=click.IntRange(1, 1000), default=20, show_default=True, help="How often to ask each thing."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="The time limit of a call: the provider's timeout in the encryption configuration.",
)
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when the exit code is 0.")
@click.pass_context
def check(
    ctx: click.Context,
    /,
    endpoint: str,
    olds: tuple[Path, ...],
    keep: Path | None,
    calls: int,
    timeout: float,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Ask the KMS v2 plugin at ENDPOINT what kube-apiserver asks it, and see that it keeps the contract.

    ENDPOINT is that of the encryption configuration: unix:///PATH, or unix:///@NAME for
    an abstract socket. Run this on the host of the plugin, as the user of kube-apiserver.

    Looked at: version, health, and whether health is honest; that Status and Encrypt
    name the same key, which stays the same; the limits of key ids, ciphertexts and
    annotations; that sealed bytes come back, and altered ones are refused; who can reach
    the socket; how long it takes. Only random bytes are sealed, and nothing is changed.

    The worst failure shows years later: --keep a value now, and give it with --old after
    each rotation of the key at the KMS.

    Exits 0 when the contract is kept, 3 when kube-apiserver cannot work with the plugin
    or data would be lost, 20 for what it takes without a word and is wrong, 4 when nobody
    answers. What a finding means: keyctl explain KC-KMS-001.

    \b
    Examples:
      keyctl kms check unix:///run/kms/kms.sock
      keyctl kms check unix:///run/kms/kms.sock --keep kms-2026-11.json
      keyctl kms check unix:///run/kms/kms.sock --old kms-2026-11.json
      keyctl kms check unix:///run/kms/kms.sock -o json | jq .usable
    """  # noqa: D301 — click reads the \b
    from keyctl.cli.files import read_file
    from keyctl.kms import checks, kept
    from keyctl.kms import endpoint as endpoints
    from keyctl.kms.report import to_report
    from keyctl.kms.socket_file import look_at

    place = endpoints.parse(endpoint)
    targets = report_files.checked(reports, (*olds, keep))
    earlier = [kept.parse(read_file(str(path), _WHAT), str(path)) for path in olds]
    if keep is not None and keep.exists():
        raise RefusedError(f"{keep} exists already", hint=f"give {_WHAT} a new name, or move the old one away")
    socket = None if place.path is None else look_at(place.path)
    subject = checks.Subject(_asked(place, timeout, calls, earlier), socket, timeout)
    steps = () if keep is None else _kept(subject.seen, endpoint, keep)
    report = to_report(checks.judge(subject), subject, endpoint, steps)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))


def _asked(place: Endpoint, timeout: float, calls: int, olds: Sequence[Kept]) -> Seen:
    """What the plugin at `place` answers. Raises `UnreachableError` where nothing at all is answered."""
    from keyctl.kms.client import PluginClient
    from keyctl.kms.examine import SEED_BYTES, examine
    from keyctl.kms.interface import Failed
    from keyctl.stored.display import display

    with PluginClient(place, timeout=timeout) as plugin:
        seen = examine(
            plugin,
            rounds=calls,
            olds=olds,
            new_seed=lambda: secrets.token_bytes(SEED_BYTES),
            new_uid=lambda: str(uuid.uuid4()),
        )
    first = seen.rounds[0].status
    if isinstance(first, Failed) and first.code in _NOBODY:
        raise UnreachableError(
            f"no KMS plugin answers at {place.text}",
            cause=f"no answer within {timeout:g} s" if first.timed_out else display(str(first)),
            hint="see that the plugin runs on this host, and that this user may connect to its socket",
        )
    return seen


def _kept(seen: Seen, endpoint: str, path: Path) -> tuple[str, ...]:
    """Write a value that was seen to open to `path`; returns what to do with it."""
    from keyctl.cli.checkup.writing import write_new
    from keyctl.kms.interface import Timed
    from keyctl.kms.kept import keep

    for one in seen.rounds:
        if isinstance(one.sealed, Timed) and isinstance(one.opened, Timed) and one.opened.value == one.seed:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            found = keep(one.seed, one.sealed.value, name=str(path), endpoint=endpoint, at=at)
            write_new(path, found.to_text().encode(), _WHAT)
            command = shlex.join(("keyctl", "kms", "check", endpoint, "--old", str(path)))
            return (f"after the next rotation of the key at the KMS: {command}",)
    return (f"nothing was kept in {path}: the plugin opened nothing that it had sealed",)
