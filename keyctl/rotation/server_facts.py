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
from keyctl.rotation.loaded import REPORTS_RELOADS, Loaded, Loads, OnDisk, reports
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
    loaded: Loaded


def look(server: Server, loads: Loads | None = None) -> ServerFacts:
    """Ask the server, and read its manifest and its file. `loads` is what is known of its process from earlier.

    Raises `RefusedError` where its flags cannot be read.
    """
    probe = server.api.probe()
    flags = flags_of(server)
    file = server.host.read(server.config_path)
    config = None
    if file is not None and flags.encryption_provider_config:
        config = decode(file.content, name=f"{server.name}:{server.config_path}").config
    loaded = (loads or Loads()).seen(probe, lambda: on_disk(server))
    return ServerFacts(server, probe, flags, file, config, loaded)


def on_disk(server: Server) -> OnDisk:
    """What the server loads when it starts now. Raises `RefusedError` where its flags cannot be read."""
    manifest = manifest_of(server)
    file = server.host.read(server.config_path)
    flags = read_flags(manifest.content, name=f"{server.name}:{manifest.path}")
    flagged = file is not None and flags.encryption_provider_config is not None
    return OnDisk(
        sha256=file.sha256 if file is not None and flagged else None,
        file_changed=None if file is None else file.changed,
        manifest_changed=manifest.changed,
        ahead=manifest.ahead,
        flag=flags.encryption_provider_config,
    )


def flags_of(server: Server) -> Flags:
    """The flags in its manifest. Raises `RefusedError` where they cannot be read."""
    manifest = manifest_of(server)
    return read_flags(manifest.content, name=f"{server.name}:{manifest.path}")


def manifest_of(server: Server) -> HostFile:
    """Its manifest. Raises `RefusedError` where there is none."""
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
    return manifest


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


def gaps_of(facts: ServerFacts, free: int | None) -> tuple[str, ...]:
    """What no check could look at, because the way to the host does not tell it: a sentence each, for the plan."""
    name, path = facts.server.name, facts.server.config_path
    gaps = []
    if facts.file is not None and facts.file.mode is None:
        gaps.append(f"who may read {path} on {name} is not known: see that it is its owner alone")
    if free is None:
        gaps.append(f"the free space on {name} is not known")
    return tuple(gaps)


def check_file(facts: ServerFacts) -> None:
    """Its file is there exactly when a flag names it, and is what it has loaded; private, where that is known.

    Raises `RefusedError`. What is not known is among `gaps_of`.
    """
    name = facts.server.name
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
    if facts.file.mode is not None and facts.file.mode & 0o077:
        raise RefusedError(
            f"{facts.server.config_path} on {name} can be read by others than its owner (mode {facts.file.mode:o})",
            hint=f"chmod 600 {facts.server.config_path}",
            rule="R13",
        )
    _check_loaded(facts)


def _check_loaded(facts: ServerFacts) -> None:
    name, probe, loaded = facts.server.name, facts.probe, facts.loaded
    if loaded.by is None:
        raise RefusedError(
            f"nothing shows which configuration {name} has loaded",
            cause=loaded.doubt,
            hint=f"{name}: {loaded.mend}, then run this again",
            rule="preflight",
        )
    if facts.file is None or not loaded.is_file(facts.file.sha256):
        raise RefusedError(
            f"{name} has not loaded the file that is on its host",
            hint=f"restart {name} or wait for its reload, then run this again",
            rule="preflight",
        )
    # NOTE: also where keyctl restarts it: with the flag it would reload between two looks, and nobody would know.
    reloads = facts.server.reloads or facts.flags.automatic_reload
    if reloads and probe.loaded_hash is None and not reports(probe, REPORTS_RELOADS):
        raise RefusedError(
            f"{name} runs Kubernetes {probe.version or 'of no version'}, which does not tell when it has reloaded",
            hint=(
                f"set activation of {name} to restart in the cluster file",
                "take --encryption-provider-config-automatic-reload out of its manifest, then run this again",
            ),
            rule="preflight",
        )
