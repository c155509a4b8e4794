"""Refuse to begin while Kubernetes is being upgraded, and warn whoever goes on then; asks servers, changes nothing.

What kubeadm itself notes of an upgrade is not looked at: its ConfigMap is data of the
API (R14), and its temporary files have names that only a listing of the host tells.
"""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.documents import parse
from keyctl.errors import KeyctlError, RefusedError
from keyctl.hosts.pod import api_server, field_of, text_of
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.server_facts import manifest_of
from keyctl.rotation.upgrade import ServerVersion, Upgrade, image_version, upgrade_seen
from keyctl.rotation.world import Event, Reporter, Server, World


def check_no_upgrade(servers: Iterable[tuple[Server, ServerProbe]]) -> None:
    """Raise `RefusedError` while an upgrade shows in what `servers` run, or in their manifests."""
    upgrade = _seen(servers)
    if upgrade is not None:
        raise RefusedError(
            upgrade.message, cause=upgrade.cause, hint=f"{upgrade.hint}, then run this again", rule="preflight"
        )


def warn_of_upgrade(world: World, reporter: Reporter) -> None:
    """Say so when one shows: to go on may be what makes it safe, so it is not refused."""
    try:
        upgrade = _seen((server, server.api.probe()) for server in world.servers)
    except KeyctlError:
        # NOTE: what cannot be read here is asked for again, and refused, where it is needed.
        return
    if upgrade is not None:
        message = f"warning: {upgrade.message} ({upgrade.cause}); do not upgrade further before this has ended"
        reporter.event(Event("step", message))


def _seen(servers: Iterable[tuple[Server, ServerProbe]]) -> Upgrade | None:
    return upgrade_seen([ServerVersion(server.name, probe.version, _image(server)) for server, probe in servers])


def _image(server: Server) -> str:
    """The version of the image in its manifest."""
    manifest = manifest_of(server)
    pod = api_server(parse(manifest.content, name=f"{server.name}:{manifest.path}"))
    return image_version(text_of(field_of(pod.container, "image")) or "")
