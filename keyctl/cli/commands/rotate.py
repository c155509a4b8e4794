"""`keyctl rotate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from keyctl.cli import changing
from keyctl.cli.options import cluster_option
from keyctl.errors import WrongUsageError
from keyctl.keys.key import STATIC_PROVIDERS
from keyctl.rotation.plan import Goal, State


@click.command()
@cluster_option
@click.option("--provider", type=click.Choice([p.value for p in STATIC_PROVIDERS]), help="Change to this provider.")
@click.option("--resources", multiple=True, metavar="R", help="Only the entries that name R. Repeatable.")
@click.option("--rename-to", metavar="NAME", help="No new key: the bytes that write now, under another name.")
@click.option("--remove-identity", is_flag=True, help="No new key: no plaintext is read any more, once there is none.")
@changing.history_option
@click.option("--resume", is_flag=True, help="Go on with the rotation that was begun.")
@click.option("--abort", is_flag=True, help="Go back to the old key, from wherever the rotation stands.")
@click.option(
    "--verify-evidence",
    "evidence",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Check the evidence of a finished rotation; needs no cluster.",
)
@changing.pause_option(State.RETIRED)
@changing.change_options
def rotate(
    cluster: Path | None,
    provider: str | None,
    resources: tuple[str, ...],
    rename_to: str | None,
    remove_identity: bool,
    resume: bool,
    abort: bool,
    evidence: Path | None,
    **given: object,
) -> None:
    """Change the key of an encrypted cluster, safely, and take the old one away.

    Adds a new key on every API server, proves that each has loaded it, makes it the
    writing key, rewrites every value through the API, and proves in raw etcd that
    nothing is left under the old key. Then the old key leaves the files, and the
    proof is made once more, for what may have been under way. It stays in the key
    store, because snapshots need it: keyctl keys destroy says which.

    Stop it at any moment; --resume goes on from what it then finds, and --abort
    leads back from every state. `--pause-after verified` keeps the old key as a
    read key for as long as you like.

    `enable` leaves plaintext readable. --remove-identity takes that away by the same
    proofs: then a value that somebody puts into etcd in plaintext is no longer served.

    \b
    Examples:
      keyctl rotate --dry-run
      keyctl rotate --yes
      keyctl rotate --dry-run --plan-file rotation.plan
      keyctl rotate --apply rotation.plan --yes
      keyctl rotate --provider secretbox --pause-after verified
      keyctl rotate --remove-identity --yes
      keyctl rotate --rename-to key-2026
      keyctl rotate --resume
      keyctl rotate --abort
      keyctl rotate --verify-evidence ~/.local/state/keyctl/prod/evidence/20261121t101500z-3f2a
    """  # noqa: D301 — click reads the \b
    change = changing.Change.from_options(given)
    wished = bool(
        provider or resources or rename_to or remove_identity or change.allow_downtime or change.template_updated
    )
    planned = bool(change.plan_file or change.apply)
    if sum((resume, abort, evidence is not None)) > 1:
        raise WrongUsageError("--resume, --abort and --verify-evidence exclude each other")
    if evidence is not None:
        if wished or planned or change.dry_run or change.pause_after or change.history or change.yes:
            raise WrongUsageError("--verify-evidence takes no other flag than -o and -q")
        _verify(evidence, change)
    elif resume:
        if wished or planned or change.dry_run:
            raise WrongUsageError(
                "--resume goes on with the plan that was agreed to",
                hint="of the other flags it takes --cluster, --pause-after, --history, -o, -q and --yes",
            )
        changing.resume(cluster, change)
    elif abort:
        if wished or planned or change.pause_after or change.history:
            raise WrongUsageError(
                "--abort goes all the way back",
                hint="of the other flags it takes --cluster, --dry-run, -o, -q and --yes",
            )
        changing.abort(cluster, change)
    elif remove_identity:
        if provider or rename_to:
            raise WrongUsageError(
                "--remove-identity leaves the key that writes as it is", hint="do one after the other"
            )
        changing.start(cluster, change, change.wish(Goal.REMOVE_IDENTITY, None, resources))
    else:
        if provider and rename_to:
            raise WrongUsageError(
                "another provider needs a new key, with a name of its own", hint="leave one of them out"
            )
        wish = replace(change.wish(Goal.ROTATE, provider, resources), new_name=rename_to)
        changing.start(cluster, change, wish)


def _verify(directory: Path, change: changing.Change) -> None:
    from keyctl.rotation.evidence_check import check

    checked = check(directory)
    if change.output == "json":
        click.echo(json.dumps(checked.to_record()))
    else:
        lines = checked.lines()
        click.echo("\n".join((lines[0], lines[-1]) if change.quiet else lines))
