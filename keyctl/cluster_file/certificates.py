"""`certificates` of a member and of an API server in the cluster file: where its files are, and how it is restarted.

Nothing is opened: a folder is a path on the host.
"""

from __future__ import annotations

from collections.abc import Callable

from keyctl.cluster_file.fields import Fields
from keyctl.cluster_file.settings import (
    API_SERVER,
    Activation,
    CertificateSettings,
    CommandActivation,
    HostSettings,
    StaticPodActivation,
)

_MEMBER = ("folder", "peer", "manifest", "restart")
_API_SERVER = ("folder", "client", "restart")
_RESTARTS = "write restart: {command: [program, argument]} or restart: {staticPod: true}"

HostPath = Callable[[Fields, str, HostSettings], str | None]
Restart = Callable[[Fields], CommandActivation | StaticPodActivation]


def of_member(
    fields: Fields, host: HostSettings, path: HostPath, url: Callable[[Fields, str], str], restart: Restart
) -> CertificateSettings | None:
    """Those of a member; None where it has no such section."""
    section = fields.section("certificates", _MEMBER)
    if section is None:
        return None
    way = _restart(section, restart)
    if way is None:
        section.refuse(f"{section.where} does not say how the member is restarted", hint=_RESTARTS)
    manifest = path(section, "manifest", host)
    if isinstance(way, StaticPodActivation) and manifest is None:
        section.refuse(
            f"{section.where} restarts a static pod and has no manifest", hint="add the manifest's path on its host"
        )
    peer = url(section, "peer") if "peer" in section else None
    return CertificateSettings(_folder(section, host, path), restart=way, manifest=manifest, peer=peer)


def of_api_server(
    fields: Fields, host: HostSettings, path: HostPath, activation: Activation, restart: Restart
) -> CertificateSettings | None:
    """Those of an API server, restarted by its `activation` where they name no way; None without such a section."""
    section = fields.section("certificates", _API_SERVER)
    if section is None:
        return None
    way = _restart(section, restart) or (
        activation if isinstance(activation, CommandActivation | StaticPodActivation) else None
    )
    if way is None:
        hint = f"its activation is reload, which is for the configuration alone; {_RESTARTS}"
        section.refuse(f"{section.where} does not say how the API server is restarted", hint=hint)
    if isinstance(way, StaticPodActivation) and "manifest" not in fields:
        section.refuse(
            f"{section.where} restarts a static pod and {fields.where} has no manifest",
            hint="add the manifest's path on its host",
        )
    return CertificateSettings(_folder(section, host, path), restart=way, client=section.text("client") or API_SERVER)


def _folder(section: Fields, host: HostSettings, path: HostPath) -> str:
    folder = path(section, "folder", host)
    if folder is None:
        section.refuse(f"{section.where} has no folder", hint="add the path of the folder with its files on the host")
    return folder


def _restart(section: Fields, restart: Restart) -> CommandActivation | StaticPodActivation | None:
    way = section.section("restart", ("command", "staticPod", "wait"))
    return restart(way) if way is not None else None
