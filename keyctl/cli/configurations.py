"""The EncryptionConfigurations that a command shows: a file that is named, else those of the API servers.

Finds them where `verify-secrets` does: through the cluster file, else by the manifest of this machine's API server.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import click
from click.core import ParameterSource

from keyctl.cli import own_manifest, wiring
from keyctl.cli.files import name_of, read_file, read_regular
from keyctl.cli.own_manifest import OwnManifest
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import ApiServerSettings
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import Decoded, decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.encryption_config.server import Server
from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.hosts.interface import HostUnreachableError
from keyctl.hosts.manifests import read_flags
from keyctl.stored.display import display

WHAT = "the encryption configuration"
_DIFFER = "the API servers differ: each must be able to read what any other writes"
_SAME_MEANING = "these files differ in layout only"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What API servers use. `servers` are those that have it, none for a file that the user named.

    `file` is where it stands; `decoded` is None for a server that was started without a configuration.
    """

    servers: tuple[str, ...]
    file: str
    decoded: Decoded | None = field(repr=False)

    @property
    def config(self) -> EncryptionConfig | None:
        """Its values; None is an API server without a configuration."""
        return self.decoded.config if self.decoded else None

    @property
    def title(self) -> str:
        """Whose it is and where it stands, on one line."""
        place = self.file if self.decoded else f"no configuration ({self.file})"
        return f"{', '.join(self.servers)}: {place}" if self.servers else place

    def line(self, entry: int) -> int | None:
        """Where the entry stands in the file."""
        return self.decoded.raw.entries[entry].node.span.line if self.decoded else None


@dataclass(frozen=True, slots=True)
class Found:
    """The configurations, alike ones together, and what the reader should know of the search."""

    configurations: tuple[Configuration, ...]
    notes: tuple[str, ...] = ()


def read(path: str, server: Server) -> tuple[Decoded, bytes]:
    """The configuration in the file `path`, or of stdin for "-", and its bytes.

    Raises `UnusableInputError` when it cannot be read or `server` refuses it.
    """
    content = read_file(path, WHAT)
    return decode(content, name=name_of(path), server=server), content


def check_one_source(ctx: click.Context, named: str, path: str | None, cluster: Path | None) -> None:
    """Refuse a cluster file beside a file that is explained or shown by itself: it would be ignored.

    One from the environment is no contradiction. Raises `WrongUsageError`.
    """
    typed = ctx.get_parameter_source("cluster") is ParameterSource.COMMANDLINE
    if path is not None and cluster is not None and typed:
        raise WrongUsageError(f"{named} and --cluster exclude each other", hint="give the one to look at")


def find(path: str | None, cluster: Path | None, server: Server) -> Found:
    """The file that is named, else what the API servers of the cluster file have, else this machine's.

    Raises `WrongUsageError` when there is none to be had, `UnusableInputError` when one cannot be read.
    """
    if path is not None:
        return Found((Configuration((), name_of(path), read(path, server)[0]),))
    cluster_file = wiring.find_cluster_file(cluster)
    if cluster_file is not None:
        found = _of_cluster(load(cluster_file).api_servers, server)
        told = f"the cluster is that of {display(str(cluster_file))}"
        return found if cluster is not None else replace(found, notes=(told, *found.notes))
    own = own_manifest.find()
    if own is None:
        raise WrongUsageError(
            "no encryption configuration is named, and none is found from here",
            hint="name the file, or give --cluster, or run this on a control-plane node",
        )
    return Found((_of_own(own, server),), (f"taken from {own.path}",))


def _of_cluster(api_servers: tuple[ApiServerSettings, ...], server: Server) -> Found:
    groups: list[Configuration] = []
    notes: list[str] = []
    for one in api_servers:
        try:
            found = of_server(one, server)
        except HostUnreachableError as exc:
            notes.append(f"the configuration of {display(one.name)} was not read: {exc}")
            continue
        like = next((index for index, other in enumerate(groups) if _alike(found, other)), None)
        if like is None:
            groups.append(found)
        else:
            groups[like] = replace(groups[like], servers=(*groups[like].servers, *found.servers))
    if not groups:
        raise WrongUsageError(
            "no API server's encryption configuration could be read",
            cause="; ".join(notes) or "the cluster file lists no API server",
            hint="name the file, or run this where the files are",
        )
    if len(groups) > 1:
        notes.append(_DIFFER if any(_differ(groups[0], other) for other in groups) else _SAME_MEANING)
    return Found(tuple(groups), tuple(notes))


def _alike(one: Configuration, other: Configuration) -> bool:
    """Whether one answer fits both: the same text at the same path, or none on either."""
    texts = [None if found.decoded is None else found.decoded.text for found in (one, other)]
    return one.file == other.file and texts[0] == texts[1]


def _differ(one: Configuration, other: Configuration) -> bool:
    nothing = EncryptionConfig(())
    return not effective.same_view(one.config or nothing, other.config or nothing)


def of_server(one: ApiServerSettings, server: Server) -> Configuration:
    """What one API server of a cluster file uses; `decoded` is None when it was started without a configuration.

    Raises `HostUnreachableError` for a host that nobody gets to, `UnusableInputError` for a file that is
    missing although the server was told to read it, or that `server` refuses.
    """
    host = wiring.host(one)
    servers, path = (display(one.name),), one.encryption_config
    if one.manifest is not None:
        manifest = host.read(one.manifest)
        if manifest is not None and not read_flags(manifest.content, name=one.manifest).encryption_provider_config:
            return Configuration(servers, "its manifest has no --encryption-provider-config", None)
    file = host.read(path)
    if file is not None:
        return Configuration(
            servers, display(path), decode(file.content, name=display(f"{one.name}:{path}"), server=server)
        )
    if one.manifest is None:
        return Configuration(servers, f"{display(path)} does not exist", None)
    raise UnusableInputError(
        f"{display(path)} is missing on {display(one.name)}",
        hint="the server was told to read it; put it back from another server",
    )


def _of_own(own: OwnManifest, server: Server) -> Configuration:
    path = own.flags.encryption_provider_config
    if path is None:
        return Configuration((), f"{own.path} has no --encryption-provider-config", None)
    return Configuration((), name_of(path), decode(read_regular(path, WHAT), name=name_of(path), server=server))
