"""What must be true before anything is touched. Looks, compares, refuses; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.encryption_config.plugin import Plugin
from keyctl.errors import RefusedError, UnreachableError
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.kube.interface import ApiServer, ServerProbe
from keyctl.rotation import membership, plugin_moves, reach, rights
from keyctl.rotation.circular import check_store_outside
from keyctl.rotation.engine_check import check_engine
from keyctl.rotation.etcd_room import MAKE_ROOM, alarm
from keyctl.rotation.kms_values import HINT, first_unread
from keyctl.rotation.loaded import Loads
from keyctl.rotation.override_binding import check_overrides
from keyctl.rotation.owner import check_owner
from keyctl.rotation.plan import Engine, FileChange, Goal, History, OldKey
from keyctl.rotation.renaming import renamed, writer_of
from keyctl.rotation.same_bytes import names_of
from keyctl.rotation.scan import Scan, name_first, scan
from keyctl.rotation.server_facts import ServerFacts, check_etcds, check_file, check_flags, gaps_of, look
from keyctl.rotation.stages import entries_of, entries_to_change, file_change, old_keys, resource_options
from keyctl.rotation.upgrade_check import check_no_upgrade
from keyctl.rotation.world import Event, Reporter, World
from keyctl.stored.decrypt import Opened, open_value

_MINIMUM_FREE = 16 * 1024 * 1024
# API servers correct the kubernetes Endpoints every 10 s; on a busy machine one of them drops out until its next round.
_CENSUS_WAIT = 20.0
_CENSUS_POLL = 1.0
_ROOM = (*MAKE_ROOM, "then run this again")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for. `resources` None means every entry that is encrypted with a static key.

    `provider` is not looked at when the goal is `DISABLE`. `new_name`: the bytes of the key that writes now, under
    this name, instead of a new key. `compromised`: the key that has leaked; every entry that has it changes. `plugin`
    goes with provider KMS, and only with it.
    """

    goal: Goal
    provider: Provider | None = None
    resources: tuple[str, ...] | None = None
    new_name: str | None = None
    compromised: KeyRef | None = None
    allow_downtime: bool = False
    template_updated: bool = False
    history: History = History.COMPACT
    engine: Engine = Engine.PATCH
    second_pass: bool = False
    plugin: Plugin | None = None

    def __post_init__(self) -> None:
        if (self.provider is Provider.KMS) is not (self.plugin is not None):
            raise ValueError("a plugin is what provider kms is")


@dataclass(frozen=True, slots=True)
class Facts:
    """What preflight established.

    `served` maps every resource that the API serves to its group and version. `writer` is the key that writes now and
    stays, where only plaintext goes; `renamed` the same bytes under the name that was wished for. `plugin` is the one
    that comes or leaves. `gaps` say what could not be checked.
    """

    wish: Wish
    servers: tuple[ServerFacts, ...]
    uid: str
    provider: Provider
    change: FileChange
    old: tuple[OldKey, ...]
    served: dict[str, str]
    scan: Scan
    writer: Key | None = field(default=None, repr=False)
    renamed: Key | None = field(default=None, repr=False)
    plugin: Plugin | None = None
    gaps: tuple[str, ...] = ()


def check(world: World, wish: Wish, reporter: Reporter, *, loads: Loads | None = None) -> Facts:
    """Run every check; `loads` is what is known from earlier of what servers have loaded that do not say it.

    Raises `RefusedError` with the rule that is not met, or `UnreachableError`.
    """
    servers = tuple(look(server, loads) for server in world.servers)
    check_owner(
        world, servers[0].probe.version, enabling=wish.goal is Goal.ENABLE, template_updated=wish.template_updated
    )
    _check_takes_writes(world)
    check_membership(world, tuple(facts.probe for facts in servers), reporter)
    check_no_upgrade((facts.server, facts.probe) for facts in servers)
    _check_downtime(world, wish)
    for facts in servers:
        check_flags(world, facts)
        check_file(facts)
    _check_equal(servers)
    config = servers[0].config
    _check_names(world, config)
    api = world.servers[0].api
    uid = check_binding(world, config, api)
    for facts in servers:
        check_etcds(world, facts)
    served = api.discover()
    entries = _entries(world, config, wish)
    leaving = plugin_moves.leaving(servers, entries, wish.goal, wish.provider)
    plugin_moves.check_place(servers, entries, wish.plugin)
    old = (*plugin_moves.old_plugin(leaving, entries), *old_keys(config, entries, wish.goal))
    writer = writer_of(config, entries)
    if wish.goal not in {Goal.ENABLE, Goal.REMOVE_IDENTITY}:
        _check_not_shared(config, entries, old)
    resources = _resources(config, entries, wish)
    _check_decisive(config, entries, resources)
    _check_resources(resources, served, api.aggregated_groups())
    check_overrides(world, config, api, served)
    change = file_change(config, resources=resources, entries=entries, goal=wish.goal)
    reached = reach.reached(config, change, served)
    _check_rights(world, config, (*resources, *reached), served)
    check_engine(wish.engine, api, served, reached)
    reporter.event(Event("step", "reading every value of etcd under the configuration in force"))
    found = scan(world.everything(), prefix=world.prefix, config=config)
    check_readable(found)
    _check_kms(world, config, () if leaving else entries, found)
    plugin_moves.check_count(config, change, found, wish.plugin)
    gaps = (*check_store_outside(world), *_check_room(world, servers, found))
    return Facts(
        wish=wish,
        servers=servers,
        uid=uid,
        provider=_provider(config, entries, wish),
        change=change,
        old=old,
        served=served,
        scan=found,
        writer=writer if wish.goal is Goal.REMOVE_IDENTITY else None,
        renamed=None if wish.new_name is None else renamed(world, config, entries, wish.new_name),
        plugin=wish.plugin or leaving,
        gaps=gaps,
    )


def _entries(world: World, config: EncryptionConfig | None, wish: Wish) -> tuple[int, ...]:
    if wish.compromised is None:
        return entries_to_change(config, wish.resources, wish.goal)
    return entries_of(config, names_of(world, config, wish.compromised))


def check_membership(world: World, probes: tuple[ServerProbe, ...], reporter: Reporter) -> None:
    """R11: every listed server ready, and every source agrees on who there is, at once or within two rounds."""
    for probe in probes:
        if not probe.ready:
            raise RefusedError(
                f"API server {probe.name} is not ready",
                cause=probe.problem or None,
                hint=(
                    f"bring {probe.name} back, or take it out of the cluster file if it is gone for good",
                    "then run this again",
                ),
                rule="R11",
            )
    census = world.servers[0].api.census()
    deadline = world.clock.monotonic() + _CENSUS_WAIT
    if membership.registering(census, world.servers):
        message = f"an API server is missing in the kubernetes Endpoints: looking again for up to {_CENSUS_WAIT:.0f} s"
        reporter.event(Event("wait", message))
    while membership.registering(census, world.servers) and world.clock.monotonic() < deadline:
        world.clock.sleep(_CENSUS_POLL)
        census = world.servers[0].api.census()
    problem = membership.disagreement(census, world.servers, probes)
    if problem is not None:
        raise RefusedError(problem.message, hint=(*problem.hints, "then run this again"), rule="R11")


def check_binding(world: World, config: EncryptionConfig | None, api: ApiServer) -> str:
    """The etcd read is the etcd of this API: the raw kube-system uid is the API's. Returns it."""
    told = api.kube_system_uid()
    key = f"{world.prefix}/namespaces/kube-system".encode()
    stored = world.etcd_of("namespaces").get(key)
    if stored is None:
        raise UnreachableError(
            f"etcd holds no {key.decode()}",
            hint="check etcd.endpoints and etcd.prefix (kube-apiserver's --etcd-prefix) in the cluster file",
            rule="preflight",
        )
    opened = open_value(effective.readers(config, "namespaces"), key, stored[0])
    if not isinstance(opened, Opened) or opened.object.uid != told:
        raise UnreachableError(
            "this etcd is not the one behind these API servers",
            cause="the uid of namespace kube-system differs between raw etcd and the API",
            hint="point etcd.endpoints at the etcd of this cluster (kube-apiserver's --etcd-servers)",
            rule="preflight",
        )
    return told


def check_readable(found: Scan) -> None:
    """R10: every encrypted value opens, whatever its resource."""
    if found.unreadable:
        raise RefusedError(
            f"{found.unreadable} stored {_plural(found.unreadable, 'value')} cannot be decrypted",
            cause=name_first(found.problems),
            hint="a restarted API server would never become ready; find the key, or delete the object: "
            "keyctl verify-secrets names them all",
            rule="R10",
        )


def _check_downtime(world: World, wish: Wish) -> None:
    if len(world.servers) == 1 and not world.servers[0].reloads and not wish.allow_downtime:
        raise RefusedError(
            "restarting the only API server interrupts the whole API",
            hint="say that this is fine with --allow-downtime, or use automatic reload",
            rule="R9",
        )


def _check_equal(servers: tuple[ServerFacts, ...]) -> None:
    first = servers[0]
    for other in servers[1:]:
        # NOTE: what changes is planned by places in the first file, so every file has to have the same ones.
        if other.config != first.config:
            raise RefusedError(
                f"{first.server.name} and {other.server.name} have different encryption configurations",
                hint="make the files equal first; every server must be able to read what any other writes",
                rule="R1",
            )


def _check_not_shared(config: EncryptionConfig | None, entries: tuple[int, ...], old: tuple[OldKey, ...]) -> None:
    """R3: a key leaves all entries or none; one that stays somewhere is not taken out of use."""
    for key in old:
        others = () if config is None else [i for i in effective.holders(config, key.ref) if i not in key.entries]
        if config is not None and others:
            resources = dict.fromkeys(r for i in (*entries, *others) for r in config.entries[i].resources)
            raise RefusedError(
                f"{key.ref} is also a key of {', '.join(config.entries[others[0]].resources)}",
                cause="a key that stays in use for other resources cannot be taken away",
                hint=f"change it for all of them: {resource_options(resources)}",
                rule="R3",
            )


def _check_kms(world: World, config: EncryptionConfig | None, entries: tuple[int, ...], found: Scan) -> None:
    """R16: what a KMS plugin sealed stays as it is, and every server reads it now."""
    for item in found.kms:
        covering = () if config is None else effective.covering_entries(config, item.resource)
        if set(covering) & set(entries):
            raise RefusedError(
                f"{found.kms_values} {_plural(found.kms_values, 'value')} can only be opened by a KMS plugin",
                cause=f"one of them is of {item.resource}, which would change",
                hint=_leave_plugin((item.resource,)),
                rule="R16",
            )
    if found.kms_values > len(found.kms):
        raise RefusedError(
            f"{found.kms_values} values can only be opened by a KMS plugin: too many to ask each server for each",
            hint="rotate the key at the KMS, or move some of these resources to a static key first",
            rule="R16",
        )
    for server in world.servers:
        unread = first_unread(world, server, found.kms, between=lambda: None)
        if unread is not None:
            raise RefusedError(unread.message, cause=unread.cause, hint=HINT, rule="R16")


def _check_names(world: World, config: EncryptionConfig | None) -> None:
    """R5: a name stands for the same bytes in the files and in the key store."""
    for key in () if config is None else effective.static_keys(config):
        known = world.store.get(key.ref)
        if known is not None and known.fingerprint != key.fingerprint:
            raise RefusedError(
                f"{key.ref} has other bytes in the files than in the key store at {world.store.location}",
                hint="a key name must mean the same bytes for ever; find out which of them wrote the values",
                rule="R5",
            )


def _resources(config: EncryptionConfig | None, entries: tuple[int, ...], wish: Wish) -> tuple[str, ...]:
    named = () if config is None else tuple(r for index in entries for r in config.entries[index].resources)
    return tuple(dict.fromkeys((*named, *(wish.resources or ()))))


def _check_decisive(config: EncryptionConfig | None, entries: tuple[int, ...], resources: tuple[str, ...]) -> None:
    """The entries that change decide what writes their resources; an entry further up would decide otherwise."""
    for resource in resources:
        covering = effective.covering_entries(config, resource) if config is not None else ()
        if covering and covering[0] not in entries:
            raise RefusedError(
                f"{resource} would still be written by {effective.writer(config, resource).ref}",
                cause=f"resources[{covering[0]}] of the file names it before the entries that change",
                hint=f"say which entries to change with --resources, or take {resource} out of one of them",
                rule="preflight",
            )


def _check_resources(resources: tuple[str, ...], served: dict[str, str], aggregated: frozenset[str]) -> None:
    for resource in resources:
        group = resource.partition(".")[2]
        if group in aggregated:
            raise RefusedError(
                f"{resource} is served by an aggregated API server, which holds its own key",
                hint="rotate it with that server's own configuration",
                rule="R18",
            )
        # NOTE: `secrets.` is another way to write `secrets`.
        if "*" not in resource and str(effective.GroupResource.parse(resource)) not in served:
            raise RefusedError(
                f"the API serves no resource {resource}",
                hint="write it as plural.group, for example deployments.apps; kubectl api-resources lists them",
                rule="R18",
            )


def _check_rights(
    world: World, config: EncryptionConfig | None, resources: tuple[str, ...], served: dict[str, str]
) -> None:
    for right in rights.needed(config, resources, served):
        if not world.servers[0].api.may(right.verb, right.resource, namespace=right.namespace):
            raise RefusedError(
                f"you may not {right}",
                cause="SelfSubjectAccessReview says no",
                hint=right.command,
                rule="preflight",
            )


def _check_takes_writes(world: World) -> None:
    """Before anything that follows from it: servers that cannot renew their Leases look as if they were gone."""
    room = alarm(place.etcd for place in world.etcds)
    if room is not None:
        raise RefusedError("etcd has no room left", cause=room.text, hint=_ROOM, rule="preflight")


def _check_room(world: World, servers: tuple[ServerFacts, ...], found: Scan) -> tuple[str, ...]:
    """There is room for what will be written; returns what is not known of the hosts."""
    gaps: list[str] = []
    for facts in servers:
        server = facts.server
        free = server.host.free_bytes(server.config_path)
        gaps += gaps_of(facts, free)
        if free is not None and free < _MINIMUM_FREE:
            raise RefusedError(
                f"the disk of {server.name} has only {free // 1024} KiB left", hint="make room first", rule="preflight"
            )
    for place in world.etcds:
        for member in place.etcd.status():
            # Every value may be written once more before compaction takes the old revision away.
            if member.quota and member.db_size + found.size > member.quota:
                raise RefusedError(
                    f"rewriting would fill the database of {member.endpoint}",
                    cause=f"{member.db_size} bytes used, {found.size} to rewrite, quota {member.quota}",
                    hint=_ROOM,
                    rule="preflight",
                )
    return tuple(gaps)


def _provider(config: EncryptionConfig | None, entries: tuple[int, ...], wish: Wish) -> Provider:
    """The provider of the new key: the one asked for, or the one in force."""
    if wish.goal is Goal.DISABLE:
        return Provider.IDENTITY
    if wish.provider is not None:
        return wish.provider
    writers = {config.entries[index].providers[0].provider for index in entries} if config is not None else set()
    if Provider.KMS in writers:
        resources = config.entries[entries[0]].resources if config is not None else ()
        raise RefusedError("a KMS plugin writes these values", hint=_leave_plugin(resources), rule="R16")
    static = sorted(writers - {Provider.IDENTITY})
    if len(static) > 1:
        raise RefusedError(
            f"the entries are written by different providers: {' and '.join(static)}",
            cause="no provider was asked for, so the new key takes that of the key that writes",
            hint="say which one to use with --provider, or rotate one entry with --resources",
            rule="preflight",
        )
    return static[0] if static else Provider.AESCBC


def _leave_plugin(resources: tuple[str, ...]) -> tuple[str, str]:
    leave = f"keyctl rotate --provider aescbc {resource_options(resources)}"
    return ("rotate the key at the KMS", f"or leave the plugin: {leave}")


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
