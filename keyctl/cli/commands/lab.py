"""`keyctl lab`: a real control plane on loopback, to try keyctl on."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from keyctl.errors import UnreachableError
from keyctl.lab import build, plane, registry
from keyctl.lab.documents import identity_note
from keyctl.lab.topology import MOST_SERVERS, Settings
from keyctl.lab.versions import DEFAULT_KUBERNETES, KUBERNETES_VERSIONS, ON_REQUEST, SERVERS

_name = click.option("--name", default="lab", show_default=True, help="Which lab.")
_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the lab is, instead of the user's state directory.",
)


@click.group()
def lab() -> None:
    """Start a real etcd and real API servers on loopback, to try things on.

    Example: keyctl lab up && eval "$(keyctl lab env)" && keyctl verify-secrets
    """


@lab.command("up")
@_name
@_directory
@click.option(
    "--etcd", "members", type=click.Choice(["1", "3"]), default="1", show_default=True, help="Members of etcd."
)
@click.option(
    "--apiservers", type=click.IntRange(1, MOST_SERVERS), default=3, show_default=True, help="How many API servers."
)
@click.option(
    "--reload/--no-reload",
    default=False,
    help="Start with an EncryptionConfiguration that servers reload by themselves; without: with none.",
)
@click.option(
    "--kubernetes",
    type=click.Choice(list(KUBERNETES_VERSIONS)),
    default=DEFAULT_KUBERNETES,
    show_default=True,
    help="Which version.",
)
@click.option("--with", "extra", type=click.Choice(ON_REQUEST), multiple=True, help="A program to build as well.")
def up_command(
    name: str,
    directory: Path | None,
    members: str,
    apiservers: int,
    reload: bool,
    kubernetes: str,
    extra: tuple[str, ...],
) -> None:
    """Start a lab. It goes on until `keyctl lab down`.

    Programs that are not there are built once from pinned modules.

    Example: keyctl lab up --apiservers 3 --reload
    """
    settings = Settings(name=name, members=int(members), apiservers=apiservers, reload=reload, kubernetes=kubernetes)
    programs = build.binaries((*SERVERS, *extra), kubernetes=kubernetes, progress=_say)
    started = plane.up(settings, directory=directory, programs=programs, progress=_say)
    _say(f"lab {name} is up in {started.layout.root}")
    _say(identity_note(started.topology))
    place = f"--directory {shlex.quote(str(directory.absolute()))}" if directory else f"--name {name}"
    _say(f'next: eval "$(keyctl lab env {place})"; when done: keyctl lab down {place}')
    click.echo(started.cluster_file)


@lab.command("status")
@_name
@_directory
def status_command(name: str, directory: Path | None) -> None:
    """Show every process of a lab. Exits 4 when one is not ready.

    Example: keyctl lab status
    """
    found = plane.find(name, directory)
    rows = plane.status(found)
    click.echo(f"{'NAME':<8}{'PID':<9}{'ADDRESS':<29}{'READY':<7}UPTIME")
    for row in rows:
        ready, uptime = ("yes" if row.ready else "no"), (f"{row.uptime:.0f}s" if row.pid else "-")
        click.echo(f"{row.name:<8}{row.pid or '-':<9}{row.url:<29}{ready:<7}{uptime}")
    click.echo(identity_note(found.topology))
    waiting = [row.name for row in rows if not row.ready]
    if waiting:
        place = shlex.quote(str(found.layout.root))
        raise UnreachableError(
            f"lab {found.topology.settings.name} is not ready: {', '.join(waiting)}",
            hint=f"start an API server again: keyctl lab restart --directory {place} {waiting[-1]}",
        )


@lab.command("env")
@_name
@_directory
def env_command(name: str, directory: Path | None) -> None:
    """Print what a shell needs for etcdctl, kubectl and keyctl to find the lab.

    Example: eval "$(keyctl lab env)"
    """
    click.echo(plane.find(name, directory).layout.environment.read_text(), nl=False)


@lab.command("restart")
@_name
@_directory
@click.option("--wait", default=60, show_default=True, type=click.IntRange(1), help="Seconds to become ready.")
@click.argument("server")
def restart_command(name: str, directory: Path | None, wait: int, server: str) -> None:
    """Restart one API server with the command that its manifest has now.

    Example: keyctl lab restart cp1
    """
    process = plane.find(name, directory).restart(server, seconds=wait)
    _say(f"{server} is ready, with pid {process.pid}")


@lab.command("down")
@_name
@_directory
def down_command(name: str, directory: Path | None) -> None:
    """Stop every process of a lab and remove all of its files.

    Example: keyctl lab down
    """
    layout = registry.find(name, directory)
    stopped = registry.remove(layout)
    _say(f"lab {directory or name} is down: {stopped} processes stopped, {layout.root} removed")


def _say(line: str) -> None:
    click.echo(line, err=True)
