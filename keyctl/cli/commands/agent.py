"""`keyctl agent`."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from keyctl.cli import wiring
from keyctl.cli.options import cluster_option
from keyctl.cli.signals import handled
from keyctl.cluster_file.settings import ClusterSettings, VaultKeySettings
from keyctl.errors import ExitCode, KeyctlError, UnreachableError, WrongUsageError

if TYPE_CHECKING:
    from keyctl.hosts.node_agent import NodeAgent, Turn

_SECONDS = {"s": 1.0, "m": 60.0}
_LONGEST_PAUSE = 30.0
_TICK = 0.5
_PATH = click.Path(dir_okay=False, path_type=Path)


def _interval(_context: click.Context, _option: click.Parameter, value: str) -> float:
    match = re.fullmatch(r"([1-9][0-9]{0,3})([sm])", value)
    if match is None:
        raise click.BadParameter("write it like 5s or 1m")
    return float(match[1]) * _SECONDS[match[2]]


@click.command()
@cluster_option
@click.option(
    "--server", metavar="NAME", required=True, help="The API server of this node, as the cluster file has it."
)
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--interval", default="5s", show_default=True, callback=_interval, help="How often to look.")
@click.option("--file", type=_PATH, help="The encryption configuration. Default: the cluster file's encryptionConfig.")
@click.option(
    "--manifest", type=_PATH, help="The static pod manifest, to report. Default: the cluster file's manifest."
)
@click.option(
    "--allow-rollback", is_flag=True, help="With --once: take an older rendition than this node has seen, of a Vault "
    "that was restored; or bring back a file that is gone."
)  # fmt: skip
def agent(
    cluster: Path | None,
    server: str,
    once: bool,
    interval: float,
    file: Path | None,
    manifest: Path | None,
    allow_rollback: bool,
) -> ExitCode:
    """On a control-plane node: keep the encryption configuration equal to the one in Vault.

    Fetches what a rotation wants of this server, puts it in place when it is a file that
    kube-apiserver accepts, that takes the place of the very one that is here, and that
    lacks no key but those which the rotation lets go of; then reports what is here.
    Restarts nothing: the server must reload by itself. While Vault is away, or wants what
    is refused, the file stays as it is. docs/pull-agents.md

    Ends with 0 when it is asked to (SIGTERM, Ctrl-C). With --once: 0 when the file is as
    wanted or nothing is wanted yet, 3 when what is wanted is damaged, 4 when Vault cannot
    be asked, 5 when it was refused.

    \b
    Examples:
      keyctl agent --server cp1
      keyctl agent --server cp1 --once
      keyctl agent --server cp1 --cluster /etc/keyctl/agent.yaml --interval 1m
    """  # noqa: D301 — click reads the \b
    if allow_rollback and not once:
        raise WrongUsageError("--allow-rollback is for one look", hint="add --once, then start the agent without both")
    made = _agent(wiring.require_cluster(cluster), server, file, manifest, allow_rollback=allow_rollback)
    if once:
        click.echo(_told(server, made.turn()))
        return ExitCode.OK
    stop = _Stop()
    with handled(stop.ask):
        _keep(made, server, interval, stop)
    return ExitCode.OK


def _agent(
    settings: ClusterSettings, server: str, file: Path | None, manifest: Path | None, *, allow_rollback: bool
) -> NodeAgent:
    """The agent of `server`. Raises `WrongUsageError` where the cluster file has no Vault, or no such server."""
    from keyctl.cli.vault_wiring import node_agent

    if not isinstance(settings.keys, VaultKeySettings):
        raise WrongUsageError(
            "an agent fetches its file from Vault, and the keys of this cluster are in a directory",
            hint="set keys.store to vault in the cluster file (docs/pull-agents.md)",
        )
    found = next((one for one in settings.api_servers if one.name == server), None)
    if found is None:
        known = ", ".join(one.name for one in settings.api_servers) or "none"
        raise WrongUsageError(
            f"the cluster file lists no API server {server!r}",
            hint=f"name one with --server, or list it under apiServers; known here: {known}",
        )
    return node_agent(
        server,
        settings.keys,
        settings.name,
        config_path=str(file.absolute()) if file else found.encryption_config,
        manifest_path=str(manifest.absolute()) if manifest else found.manifest,
        allow_rollback=allow_rollback,
    )


class _Stop:
    """Whether somebody asked us to end; a turn that is under way is finished first."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 — signal's signature
        """The `Act` of a signal. The second one ends the turn, too."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def wait(self, seconds: float) -> None:
        """Sleep, and no longer than until somebody asks."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(_TICK, left))


@dataclass(slots=True)
class _Teller:
    """Says on stderr what is new, and each trouble once."""

    server: str
    trouble: tuple[str, ...] = ()
    told: str = ""

    def turned(self, turn: Turn) -> None:
        """All is well."""
        line = _told(self.server, turn)
        if self.trouble or line != self.told:
            click.echo(line, err=True)
        self.trouble, self.told = (), line

    def failed(self, error: KeyctlError) -> None:
        """It is not."""
        cause = (f"cause: {error.cause}",) if error.cause else ()
        lines = (f"error: {error}", *cause, *(f"hint: {hint}" for hint in error.hints))
        if lines != self.trouble:
            click.echo("\n".join((*lines, f"{self.server} keeps the file that it has")), err=True)
        self.trouble = lines


def _keep(made: NodeAgent, server: str, interval: float, stop: _Stop) -> None:
    """Look until somebody asks us to end; less and less often while Vault is away."""
    teller = _Teller(server)
    pause = interval
    while not stop.asked:
        try:
            teller.turned(made.turn())
            pause = interval
        except UnreachableError as error:
            teller.failed(error)
            pause = max(interval, min(pause * 2, _LONGEST_PAUSE))
        except KeyctlError as error:
            teller.failed(error)
            pause = interval
        stop.wait(pause)


def _told(server: str, turn: Turn) -> str:
    at = f" (rendition {turn.seq})" if turn.seq else ""
    return f"{server} {turn.done.value}{at}"
