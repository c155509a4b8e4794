"""Look at one API server: its manifest, its file, its process. Through interfaces only; changes nothing.

Whatever cannot be reached or read is a sentence in what comes back, never an exception: one server that is down must
not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import Decoded, attempt, hash_of
from keyctl.encryption_config.server import NEWEST_SERVER, Server
from keyctl.errors import KeyctlError
from keyctl.hosts.interface import Host, HostFile
from keyctl.hosts.manifests import Flags, read_flags
from keyctl.keys.interface import KeyStore
from keyctl.keys.ledger import KeyState
from keyctl.kube.interface import ApiServer, ServerProbe
from keyctl.rotation.diagnosis.facts import ConfigText, KmsSettings, KnownKey, ServerSeen, StageSeen
from keyctl.rotation.loaded import Loaded, LoadedBy, Loads, OnDisk
from keyctl.stored.display import display

KEY_STORE = "the key store"
_NOT_ASKED = ServerProbe("", ready=False)
# k3s and RKE2 keep what they wrote down of a server beside its configuration.
_STATE_FILE, _CONFIG_OF_K3S = "encryption-state.json", "encryption-config.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one API server is. `host` and `api` are None where there is no way there: `no_host` and `no_api` say why.

    `mend_api` says what makes a way to its API, where something does.
    `path` and `manifest` are those of the cluster file; what the flags name counts more.
    """

    name: str
    path: str
    manifest: str | None = None
    reloads: bool | None = None
    host: Host | None = None
    no_host: str = ""
    api: ApiServer | None = None
    no_api: str = ""
    mend_api: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What one server showed. `manifest_problem` says why its flags are not known, "" where they are, or none exist."""

    place: Place
    seen: ServerSeen
    probe: ServerProbe
    file: HostFile | None = field(default=None, repr=False)
    manifest: HostFile | None = field(default=None, repr=False)
    flags: Flags | None = None
    manifest_problem: str = ""
    stage: StageSeen | None = None


def look_at(place: Place, server: Server = NEWEST_SERVER) -> Look:
    """Everything that `place` shows now; `server` is the version whose reading of the file counts."""
    manifest, flags, manifest_problem = _manifest(place)
    path = (flags.encryption_provider_config if flags else None) or place.path
    file, file_problem = _file(place, path)
    text = None
    if file is not None:
        text, file_problem = read_text(file.content, f"the file of {place.name}", server)
    probe = place.api.probe() if place.api is not None else _NOT_ASKED
    loaded = _loaded(place, probe, manifest, flags, file)
    # NOTE: without a manifest, a file that is there is taken for the one in use; the loaded hash tells better.
    flag = None if flags is None else flags.encryption_provider_config is not None
    seen = ServerSeen(
        name=place.name,
        path=path,
        file=text,
        file_problem=file_problem,
        flag=flag,
        reloads=place.reloads if flags is None or not flag else flags.automatic_reload,
        asked=place.api is not None,
        answers=place.api is not None and bool(probe.ready or probe.start_time or probe.version),
        ready=probe.ready,
        problem=place.no_api or probe.problem,
        loaded_hash=loaded.hash,
        loaded_by=loaded.by or "",
        doubt=loaded.doubt,
        version=probe.version,
    )
    return Look(place, seen, probe, file, manifest, flags, manifest_problem, _stage(place, path))


def read_text(content: bytes, origin: str, server: Server = NEWEST_SERVER) -> tuple[ConfigText | None, str]:
    """The configuration in `content`, or why `server` would not take it, in a sentence."""
    result = attempt(content, name=origin, server=server)
    if not isinstance(result, Decoded):
        return None, f"kube-apiserver refuses it: {result[0].message}"
    plugins = (
        KmsSettings(
            name=raw.kms.name.text,
            version=raw.kms.api_version.text or "v1",
            endpoint=raw.kms.endpoint.text,
            timeout=raw.kms.timeout.text if raw.kms.timeout else None,
            cachesize=raw.kms.cachesize,
        )
        for entry in result.raw.entries
        for raw in entry.providers
        if raw.kms is not None
    )
    return ConfigText(origin, hash_of(content), result.config, tuple(plugins)), ""


def keys_of(texts: Iterable[ConfigText]) -> tuple[KnownKey, ...]:
    """Every static key of `texts`, once for each of them."""
    return tuple(
        KnownKey(key, text.origin) for text in texts for key in dict.fromkeys(effective.all_static_keys(text.config))
    )


def keys_in(store: KeyStore) -> tuple[tuple[KnownKey, ...], tuple[str, ...]]:
    """Every key that `store` still has, and why others could not be had, a sentence each."""
    found, problems = [], []
    try:
        records = store.records()
    except KeyctlError as error:
        return (), (sentence(error),)
    for record in records:
        if record.state is KeyState.DESTROYED:
            continue
        try:
            key = store.get(record.ref)
        except KeyctlError as error:
            problems.append(sentence(error))
            continue
        if key is not None:
            found.append(KnownKey(key, KEY_STORE))
    return tuple(found), tuple(problems)


def sentence(error: KeyctlError) -> str:
    """An error on one line: what, and why."""
    return f"{error} ({display(error.cause.splitlines()[0])})" if error.cause else str(error)


def _loaded(
    place: Place, probe: ServerProbe, manifest: HostFile | None, flags: Flags | None, file: HostFile | None
) -> Loaded:
    """What it has loaded, by its own word or by the clocks; this one look has seen nothing in any order."""
    if place.api is None or manifest is None or flags is None:
        by = LoadedBy.HASH if probe.loaded_hash is not None else None
        return Loaded(probe.loaded_hash, by, "its manifest was not read")
    disk = OnDisk(
        sha256=file.sha256 if file is not None and flags.encryption_provider_config else None,
        file_changed=None if file is None else file.changed,
        manifest_changed=manifest.changed,
        ahead=manifest.ahead,
    )
    return Loads().seen(probe, lambda: disk)


def _manifest(place: Place) -> tuple[HostFile | None, Flags | None, str]:
    if place.manifest is None:
        return None, None, "the cluster file names no manifest for it"
    if place.host is None:
        return None, None, place.no_host
    try:
        file = place.host.read(place.manifest)
        if file is None:
            return None, None, f"there is no {place.manifest}"
        return file, read_flags(file.content, name=f"{place.name}:{place.manifest}"), ""
    except KeyctlError as error:
        return None, None, sentence(error)


def _file(place: Place, path: str) -> tuple[HostFile | None, str]:
    if place.host is None:
        return None, place.no_host
    try:
        return place.host.read(path), ""
    except KeyctlError as error:
        return None, sentence(error)


def _stage(place: Place, path: str) -> StageSeen | None:
    """What k3s or RKE2 wrote down on the host; None where there is nothing, or nothing that can be read."""
    config = PurePosixPath(path)
    if place.host is None or config.name != _CONFIG_OF_K3S:
        return None
    try:
        file = place.host.read(str(config.with_name(_STATE_FILE)))
    except KeyctlError:
        return None
    record = "" if file is None else file.content.decode(errors="replace").strip(' "\n')
    return stage_of(place.name, "rke2" if "/rke2/" in path else "k3s", record)


def stage_of(node: str, tool: str, text: str) -> StageSeen | None:
    """A record of k3s or RKE2, "<stage>-<sha256>"; None for anything else."""
    stage, dash, digest = text.rpartition("-")
    return StageSeen(display(node), tool, display(stage), digest) if dash and stage and len(digest) == 64 else None
