"""`keyctl rotate`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import changing, rotating
from keyctl.cli.options import cluster_option, report_option
from keyctl.keys.key import STATIC_PROVIDERS, Provider
from keyctl.rotation.plan import State


@click.command()
@cluster_option
@click.option(
    "--provider",
    type=click.Choice([p.value for p in (*STATIC_PROVIDERS, Provider.KMS)]),
    help="Change to this provider.",
)
@click.option("--kms-name", metavar="NAME", help="With --provider kms: what the plugin is called in stored values.")
@click.option(
    "--kms-endpoint", metavar="ENDPOINT", help="With --provider kms: its socket, unix:///PATH, on every host."
)
@click.option("--kms-timeout", metavar="DURATION", help="With --provider kms: of one call. [default: 3s, the server's]")
@click.option("--resources", multiple=True, metavar="R", help="Only the entries that name R. Repeatable.")
@click.option("--rename-to", metavar="NAME", help="No new key: the bytes that write now, under another name.")
@click.option("--remove-identity", is_flag=True, help="No new key: no plaintext is read any more, once there is none.")
@click.option(
    "--compromised",
    metavar="KEY",
    help="KEY (PROVIDER:NAME) has leaked: change it wherever it is, and list all that it ever encrypted.",
)
@changing.history_option
@click.option("--resume", is_flag=True, help="Go on with the rotation that was begun.")
@click.option("--abort", is_flag=True, help="Go back to the old key, from wherever the rotation stands.")
@click.option(
    "--if-due",
    is_flag=True,
    help="Only when a key that writes is older than policy.keyMaxAge, and within policy.window. For timers.",
)
@click.option("--ignore-window", is_flag=True, help="With --if-due: at any time of the day.")
@click.option(
    "--verify-evidence",
    "evidence",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Check the evidence of a finished rotation; needs no cluster.",
)
@report_option
@changing.pause_option(State.RETIRED)
@changing.change_options
def rotate(cluster: Path | None, **given: object) -> None:
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

    --if-due is for a timer: it rotates only when a key has reached policy.keyMaxAge (or
    has leaked), within policy.window, and goes on in the next window with what it did not
    finish. Not due, or not now: exit 0, and nothing is changed.

    --provider kms moves the entry from static keys to a KMS v2 plugin that runs on every
    control-plane host already, and the plan says what that costs; a static provider with
    --resources leads back. Look at the plugin first: keyctl kms check ENDPOINT.

    A leaked key means leaked data: with --compromised the end is a list of every object
    that was ever stored under it, by whatever name its bytes had, live, in etcd's history,
    in freed pages and in the registered snapshots. What those objects hold has to be
    changed where it was issued.

    \b
    Examples:
      keyctl rotate --dry-run
      keyctl rotate --yes
      keyctl rotate --dry-run --plan-file rotation.plan
      keyctl rotate --apply rotation.plan --yes
      keyctl rotate --provider secretbox --pause-after verified
      keyctl rotate --provider kms --kms-name vault --kms-endpoint unix:///run/kms/kms.sock
      keyctl rotate --provider aescbc --resources secrets --yes
      keyctl rotate --remove-identity --yes
      keyctl rotate --rename-to key-2026
      keyctl rotate --compromised aescbc:key1 --yes
      keyctl rotate --engine svm --second-pass --yes
      keyctl rotate --if-due --yes
      keyctl rotate --if-due --dry-run
      keyctl rotate --resume
      keyctl rotate --abort
      keyctl rotate --verify-evidence ~/.local/state/keyctl/prod/evidence/20261121t101500z-3f2a
      keyctl rotate --verify-evidence evidence/20261121t101500z-3f2a --report html=rotation.html
    """  # noqa: D301 — click reads the \b
    rotating.rotate(cluster, rotating.Asked.from_options(given), changing.Change.from_options(given))
