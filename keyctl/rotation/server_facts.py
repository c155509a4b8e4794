"""What is found of one API server, and what must be true of its flags, its etcds and its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlsplit

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import RefusedError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.manifests import Flags, go_seconds, read_flags
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.world import Server, World

# kube-apiserver's default for --request-timeout: so long a write that was begun may still land.
_REQUEST_TIMEOUT = "1m0s"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What was found of one server. `config` is None where it encrypts nothing."""

    server: Server
    probe: ServerProbe
    flags: Flags
    file: HostFile | None
    config: EncryptionConfig | None = field(repr=False)


def look(server: Server) -> ServerFacts:
    """Ask the server, and read its manifest and its file. Raises `RefusedError` where its flags cannot be read."""
    flags = flags_of(server)
    file = server.host.read(server.config_path)
    config = None
    if file is not None and flags.encryption_provider_config:
        config = decode(file.content, name=f"{server.name}:{server.config_path}").config
    return ServerFacts(server, server.api.probe(), flags, file, config)


def flags_of(server: Server) -> Flags:
    """The flags in its manifest. Raises `RefusedError` where they cannot be read."""
    if server.manifest_path is None:
        raise RefusedError(
            f"the flags of {server.name} cannot be read: the cluster file names no manifest for it",
            hint=f"set apiServers[].manifest for {server.name}",
            rule="preflight",
        )
    manifest = server.host.read(server.manifest_path)
    if manifest is None:
        raise RefusedError(
            f"{server.name} has no manifest at {server.manifest_path}",
            hint="correct apiServers[].manifest in the cluster file",
            rule="preflight",
        )
    return read_flags(manifest.content, name=f"{server.name}:{server.manifest_path}")


def check_flags(world: World, facts: ServerFacts) -> None:
    """Its flags are what the cluster file says, and no write outlasts the settle time; else `RefusedError`."""
    flags, name = facts.flags, facts.server.name
    given = flags.encryption_provider_config
    if given and given != facts.server.config_path:
        _refuse_flag(name, f"reads {given}", f"set encryptionConfig of {name} to {given} in the cluster file")
    # As kube-apiserver reads it: a leading slash is added, a trailing one means nothing.
    if "/" + (flags.etcd_prefix or "registry").strip("/") != world.prefix:
        _refuse_flag(name, f"stores under {flags.etcd_prefix}", f"set etcd.prefix to {flags.etcd_prefix}")
    if facts.server.reloads and given and not flags.automatic_reload:
        _refuse_flag(name, "does not reload by itself", f"set activation of {name} to restart in the cluster file")
    check_settle(world, name, flags)
    if facts.server.reloads and not given:
        _refuse_flag(name, "has no encryption flag yet", f"set activation of {name} to restart for the first enable")


def check_settle(world: World, name: str, flags: Flags) -> None:
    """No request to the server may outlast the settle time; else `RefusedError`."""
    timeout = go_seconds(flags.request_timeout or _REQUEST_TIMEOUT)
    if timeout is None or world.settle < timeout:
        _refuse_flag(
            name,
            f"may be busy with one request for {flags.request_timeout or _REQUEST_TIMEOUT}",
            f"set policy.settle to at least that; it is {world.settle:g}s",
        )


def check_etcds(world: World, facts: ServerFacts) -> None:
    """Every etcd that its flags name is one of ours, resource by resource; else `RefusedError`."""
    check_etcd_flags(world, facts.server.name, facts.flags)


def check_etcd_flags(world: World, name: str, flags: Flags) -> None:
    """`check_etcds` for the server `name` with `flags`."""
    unknown = [url for url in flags.etcd_servers if not _known(url, world.etcds[0].endpoints)]
    if unknown:
        _refuse_flag(
            name, f"uses an etcd that keyctl does not know: {unknown[0]}", f"add {unknown[0]} to etcd.endpoints"
        )
    ours = {resource: place.endpoints for place in world.etcds for resource in place.resources}
    for resource, urls in flags.etcd_servers_overrides:
        if resource not in ours:
            _refuse_flag(name, f"keeps {resource} in another etcd", f"list {resource} under etcd.overrides")
        unknown = [url for url in urls if not _known(url, ours[resource])]
        if unknown:
            _refuse_flag(
                name,
                f"keeps {resource} in another etcd than the cluster file says: {unknown[0]}",
                f"correct the endpoints of {resource} under etcd.overrides",
            )
    gone = sorted(set(ours) - set(flags.overridden_resources))
    if gone:
        _refuse_flag(name, f"keeps {gone[0]} in the main etcd", f"take {gone[0]} out of etcd.overrides")


def _known(url: str, endpoints: tuple[str, ...]) -> bool:
    # NOTE: with stacked etcd a server names its own member by loopback; the binding check proves that it is the same.
    host = urlsplit(url).hostname or ""
    return host in {"127.0.0.1", "::1", "localhost"} or host in {urlsplit(endpoint).hostname for endpoint in endpoints}


def _refuse_flag(server: str, message: str, hint: str) -> NoReturn:
    raise RefusedError(f"{server} {message}", hint=f"{hint}, then run this again", rule="preflight")


def check_file(facts: ServerFacts) -> None:
    """Its file is private, is there exactly when a flag names it, and is what it has loaded; else `RefusedError`."""
    name, probe = facts.server.name, facts.probe
    if not facts.flags.encryption_provider_config:
        if facts.file is not None:
            raise RefusedError(
                f"{facts.server.config_path} exists on {name}, but no flag makes the server read it",
                hint="look at it and move it away, then run this again",
                rule="preflight",
            )
        return
    if facts.file is None:
        raise RefusedError(
            f"{facts.server.config_path} is missing on {name}: its next restart would fail",
            hint="put the file back from another server",
            rule="preflight",
        )
    if facts.file.mode & 0o077:
        raise RefusedError(
            f"{facts.server.config_path} on {name} can be read by others than its owner (mode {facts.file.mode:o})",
            hint=f"chmod 600 {facts.server.config_path}",
            rule="R13",
        )
    if probe.loaded_hash is None:
        raise RefusedError(
            f"{name} does not say which configuration it has loaded",
            cause="no metric apiserver_encryption_config_controller_last_config_info",
            hint="this needs Kubernetes 1.34 or later, and the right to read /metrics",
            rule="preflight",
        )
    if probe.loaded_hash != facts.file.sha256:
        raise RefusedError(
            f"{name} has not loaded the file that is on its host",
            hint=f"restart {name} or wait for its reload, then run this again",
            rule="preflight",
        )
